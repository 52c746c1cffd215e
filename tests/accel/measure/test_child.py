"""The measuring process, spoken to in this one and once for real."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetsight.accel.measure.child import read_batches, serve, write_batches
from fleetsight.accel.measure.latency import MeasureError
from fleetsight.accel.measure.rounds import Child, ChildError, Turns, take_turns
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.accel.targets import null
from fleetsight.accel.targets.options import Options
from tests.accel.tiny_models import save_detector


@pytest.fixture
def request_null(tmp_path: Path) -> dict[str, Any]:
    """Opens a compiled model that takes no time."""
    source = portable_source(save_detector(tmp_path / "tiny"))
    (tmp_path / "compiled").mkdir()
    null.compile(source, Options(), folder=tmp_path / "compiled")
    write_batches(tmp_path / "inputs.npz", (source.example, source.example))
    return {
        "target": "null",
        "folder": str(tmp_path / "compiled"),
        "inputs": str(tmp_path / "inputs.npz"),
        "warm_up_s": 0.0,
        "streams": 1,
    }


def answers(*requests: Any) -> list[dict[str, Any]]:
    told = io.StringIO()
    lines = [request if isinstance(request, str) else json.dumps(request) for request in requests]
    serve(io.StringIO("\n".join(lines) + "\n"), told)
    return [json.loads(line) for line in told.getvalue().splitlines()]


def test_it_opens_then_measures_as_often_as_asked(request_null: dict[str, Any]) -> None:
    ready, first, second = answers(request_null, {"do": "turn", "seconds": 0.0}, {"do": "turn", "seconds": 0.0})
    assert ready["precision"] == "f32"
    assert ready["load_s"] >= 0.0
    assert first["images_per_s"] > 0.0
    assert second["latency"]["n"] >= 12
    assert second["latency"]["p50_ms"] <= second["latency"]["p99_ms"]


def test_every_scenario_can_be_asked_for(request_null: dict[str, Any]) -> None:
    asked = [
        {"do": "single_stream", "queries": 5},
        {"do": "multi_stream", "queries": 3},
        {"do": "server", "bound_ms": 1000.0, "queries": 5},
        {"do": "fleet", "rate_hz": 500.0, "deadline_ms": 1000.0, "seconds": 0.01},
    ]
    told = answers(request_null, *asked)[1:]
    assert not [answer for answer in told if "error" in answer], told
    assert [answer.get("n", 0) for answer in told[:2]] == [5, 3]
    assert told[2]["rate_hz"] > 0
    assert told[3]["cameras"] > 0


def test_what_goes_wrong_is_an_answer(request_null: dict[str, Any]) -> None:
    told = answers({**request_null, "target": "nul"}, {**request_null}, {"do": "guess"}, "no json")
    assert told[0]["error"]["hint"] == "did you mean 'null'?"
    assert "load_s" in told[1]  # what failed to open can be opened after all
    assert (told[2]["error"]["code"], "turn" in told[2]["error"]["hint"]) == ("measure", True)
    assert told[3]["error"]["code"] == "child"


def test_batches_come_back_as_they_were(tmp_path: Path) -> None:
    batches = tuple((np.full((2, 3), row, np.float32), np.arange(row + 1)) for row in range(12))
    write_batches(tmp_path / "b.npz", batches)
    found = read_batches(tmp_path / "b.npz")
    assert len(found) == 12
    for mine, theirs in zip(batches, found, strict=True):
        for first, second in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(first, second)


def test_no_batches_are_refused(tmp_path: Path) -> None:
    write_batches(tmp_path / "b.npz", ())
    with pytest.raises(MeasureError):
        read_batches(tmp_path / "b.npz")


def test_a_real_process_measures_and_ends(request_null: dict[str, Any]) -> None:
    with Child({**request_null, "cores": [0]}) as one:
        found = take_turns({"one": one}, {"do": "turn", "seconds": 0.0}, rounds=2)["one"]
        with pytest.raises(ChildError, match="no measurement"):
            one.ask({"do": "nothing"})
    assert isinstance(found, Turns)
    assert len(found.values("images_per_s")) == 2
