"""A whole bench of a tiny model: compiled, proved, measured in real processes."""

from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.measure.flow import Plan, Way, batches_of, bench_model
from fleetsight.accel.measure.latency import MeasureError
from fleetsight.accel.measure.report import Priced
from fleetsight.accel.portable import ModelError
from fleetsight.accel.proving.parity import Gates
from fleetsight.accel.proving.pictures import made_up_pictures
from fleetsight.accel.sources.reading import Asked
from tests.accel.tiny_models import save_detector


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache", Ed25519PrivateKey.generate())


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    save_detector(tmp_path / "tiny")
    return Asked(model=str(tmp_path / "tiny"))


def gates(limit: float | None = None) -> Gates:
    return Gates({} if limit is None else {"tensors": limit}, made_up_pictures(2))


def plan(asked: Asked, *ways: Way, eager: tuple[str, ...] = (), scenarios: bool = False) -> Plan:
    return Plan(asked, Path("none"), ways, rounds=2, seconds=0.0, eager=eager, scenarios=scenarios)


def test_compiled_ways_are_measured_beside_eager_code(asked: Asked, cache: ArtifactCache) -> None:
    ways = (
        Way("openvino", "f32"),
        Way("openvino", "f32", streams=None),
        Way("openvino", "int8"),
        Way("null", "f32", batch=2),
    )
    priced = Priced("c7i.xlarge", 0.1785, 1.0, "2026-08-21")
    report = bench_model(plan(asked, *ways, eager=("default", "tuned")), gates(), cache=cache, priced=priced)
    assert [(row.target, row.streams, row.parity) for row in report.rows] == [
        ("openvino", 1, "pass"),
        ("openvino", None, "pass"),
    ]
    for row in report.rows:
        assert row.ratio_default_eager is not None
        assert row.ratio_tuned_eager is not None
        assert row.usd_per_million is not None
        assert row.parity_detail["inputs"] == 2
        assert row.memory_mb > 0
    assert [len(rows) for rows in report.baselines.values()] == [1, 2]
    reasons = {(one.target, one.precision): one.reason for one in report.failed}
    assert "calibration" in reasons["openvino", "int8"] or "real inputs" in reasons["openvino", "int8"]
    assert "batch" in reasons["null", "f32"]  # the tiny graph's batch is one
    assert cache.made == 1
    assert any("made-up" in note for note in report.notes)


def test_what_fails_its_gates_is_measured_and_says_so_and_is_no_artifact(asked: Asked, cache: ArtifactCache) -> None:
    strict = Gates({"scores": 0.0, "boxes": 0.0, "tensors": 0.0}, made_up_pictures(2))
    report = bench_model(plan(asked, Way("openvino", "f32")), strict, cache=cache)
    (row,) = report.rows
    assert (row.parity, row.parity_detail["passed"]) == ("fail", False)
    assert row.images_per_s > 0
    assert row.ratio_default_eager is None
    assert cache.made == 0


def test_scenarios_come_with_each_row(asked: Asked, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetsight.accel.measure.flow.FLEET_S", 0.05)
    report = bench_model(plan(asked, Way("null", "f32"), scenarios=True), gates(), cache=cache)
    (row,) = report.rows
    assert set(row.scenarios) == {"single_stream", "multi_stream", "server", "fleet"}
    assert row.scenarios["single_stream"]["p90_ms"] >= 0


def test_batches_are_full_and_few() -> None:
    inputs = [(np.full((1, 2), number, np.float32),) for number in range(5)]
    assert [list(batch[0][:, 0]) for batch in batches_of(inputs, 2)] == [[0, 1], [2, 3], [4, 0]]
    assert [list(batch[0][:, 0]) for batch in batches_of(inputs[:1], 3)] == [[0, 0, 0]]
    assert len(batches_of(inputs, 1)) == 4


def test_nothing_to_measure_and_no_model_are_errors(asked: Asked, cache: ArtifactCache) -> None:
    with pytest.raises(MeasureError, match="nothing to measure"):
        bench_model(plan(asked), gates(), cache=cache)
    with pytest.raises(ModelError):
        bench_model(plan(Asked("nobody"), Way("null", "f32")), gates(), cache=cache)
