"""What Prometheus scrapes is well formed, true, and bounded in size."""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, Response

from fleetsight.web.metrics import CONTENT_TYPE, Metrics, Reading, Timed, operation_of
from tests.services import prometheus
from tests.web.asking import ask


def readings() -> Sequence[Reading]:
    return [
        Reading("queue_age_seconds", "Age of the oldest letter that is due.", 4.5, (("topic", "settle"),)),
        Reading("queue_age_seconds", "Age of the oldest letter that is due.", 0.0, (("topic", "notify"),)),
        Reading("open_holds", "Holds that stand.", 3),
    ]


def service(metrics: Metrics) -> FastAPI:
    app = FastAPI()

    @app.get("/metrics")
    def scrape() -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    @app.get("/v1/operator/bug")
    def bug() -> None:
        raise ZeroDivisionError

    app.add_middleware(Timed, metrics=metrics)
    return app


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/shopper/sessions", "unlock"),
        ("GET", "/v1/shopper/sessions", "shopper"),
        ("POST", "/v1/shopper/sessions/8f/contest", "shopper"),
        ("POST", "/v1/shoppers", "shopper"),
        ("PATCH", "/v1/device/uploads/1", "upload"),
        ("GET", "/v1/device/commands", "wait_for_command"),
        ("POST", "/v1/device/commands/7/ack", "device"),
        ("POST", "/v1/enrolments", "device"),
        ("GET", "/v1/operator/money", "operator"),
        ("GET", "/operator/sessions.json", "operator_page"),
        ("GET", "/q", "shopper_page"),
        ("GET", "/quota", "other"),
        ("GET", "/readyz", "watching"),
        ("BREW", "/../../etc/passwd", "other"),
    ],
)
def test_each_request_has_a_class(method: str, path: str, name: str) -> None:
    assert operation_of(method, path) == name


def test_requests_are_counted_by_class_and_outcome() -> None:
    metrics = Metrics(readings)
    app = service(metrics)
    for path in ("/v1/operator/bug", "/nowhere/1", "/nowhere/2"):
        ask(app, "GET", path)
    text = ask(app, "GET", "/metrics").text
    assert 'fleetsight_requests_total{operation="operator",status="5xx"} 1.0' in text
    assert 'fleetsight_requests_total{operation="other",status="4xx"} 2.0' in text
    assert 'fleetsight_request_duration_seconds_count{operation="other"} 2.0' in text
    assert "fleetsight_requests_under_way 1.0" in text  # the scrape itself


def test_a_client_that_leaves_is_counted() -> None:
    metrics = Metrics(list)

    async def left(scope: object, receive: object, send: object) -> None:
        raise asyncio.CancelledError

    async def ask() -> None:
        timed = Timed(left, metrics=metrics)
        await timed({"type": "http", "method": "GET", "path": "/q"}, None, None)  # type: ignore[arg-type]

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask())
    text = metrics.exposition().decode()
    assert 'fleetsight_requests_total{operation="shopper_page",status="5xx"} 1.0' in text
    assert "fleetsight_requests_under_way 0.0" in text


def test_rows_are_read_at_most_every_moment() -> None:
    asked = []

    def read() -> Sequence[Reading]:
        asked.append(1)
        return readings()

    metrics = Metrics(read)
    for _ in range(5):
        assert b'fleetsight_queue_age_seconds{topic="settle"} 4.5' in metrics.exposition()
    assert len(asked) == 1


@pytest.fixture
def address() -> Iterator[str]:
    """Where a service with these metrics listens: host and port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(service(Metrics(readings)), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_a_real_prometheus_scrapes_it(prometheus_binary: Path, tmp_path: Path, address: str) -> None:
    with prometheus.running(prometheus_binary, tmp_path, target=address) as server:
        assert server.value("up") == 1
        assert server.value('fleetsight_queue_age_seconds{topic="settle"}') == 4.5
        assert server.value('sum(fleetsight_requests_total{operation="watching"})') >= 1


def test_promtool_finds_no_fault(prometheus_binary: Path) -> None:
    metrics = Metrics(readings)
    metrics.observe("unlock", 201, seconds=0.02)
    done = subprocess.run(
        [prometheus_binary.with_name("promtool"), "check", "metrics"],
        input=metrics.exposition(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
