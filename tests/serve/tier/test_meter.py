"""What Prometheus scrapes is well formed, bounded in size, and can be switched off."""

import subprocess
import time
from pathlib import Path

from fleetsight.serve.queueing.deployment import Deployment
from fleetsight.serve.queueing.request import Answer, Priority, Reason, Refusal, Request, Times
from fleetsight.serve.tier.meter import Meter
from tests.serve.queueing.drawn import a_lane


def busy(*, is_on: bool = True) -> Meter:
    meter = Meter(is_on=is_on)
    meter.watch(lambda: [Deployment("m", [a_lane("cpu", usd_per_hour=0.36)])], time.monotonic_ns)
    request = Request("m", b"", 0, Priority.CHARGE)
    meter.outcome(request, Answer(b"1", variant="cpu"), seconds=0.03)
    meter.outcome(request, Refusal(Reason.WOULD_BE_LATE), seconds=0.0)
    meter.served("m", "cpu", times=Times(1.0, 22.0, 2), predicted_ms=20.0)
    meter.redispatched("m")
    meter.died("m", "cpu")
    meter.compared("m", "cpu", mean=0.97)
    return meter


def test_promtool_finds_no_fault(prometheus_binary: Path) -> None:
    done = subprocess.run(
        [prometheus_binary.with_name("promtool"), "check", "metrics"],
        input=busy().exposition(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_strangers_cannot_make_series() -> None:
    meter = Meter()
    before = len(meter.exposition())
    for number in range(200):
        unknown = Request(f"stranger-{number}", b"", 0)
        meter.outcome(unknown, Refusal(Reason.UNKNOWN_MODEL), seconds=0.0)
        meter.refused(f"stranger-{number}", Reason.UNKNOWN_MODEL)
    text = meter.exposition().decode()
    assert "stranger" not in text
    assert 'fleetsight_serve_refused_total{model="",reason="unknown_model"} 400.0' in text
    assert len(text) < before + 500


def test_dollars_are_read_when_asked_for() -> None:
    text = busy().exposition().decode()
    assert 'fleetsight_serve_usd_per_million_frames{model="m",variant="cpu"} 2.0' in text
    assert 'fleetsight_serve_service_time_ratio_sum{model="m",variant="cpu"} 1.1' in text


def test_counting_can_be_switched_off() -> None:
    text = busy(is_on=False).exposition().decode()
    assert "fleetsight_serve_requests_total{" not in text
    assert "fleetsight_serve_batch_frames_count{" not in text
