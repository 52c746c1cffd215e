"""Rows, ratios and the table of a bench."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fleetsight.accel.measure.latency import MeasureError
from fleetsight.accel.measure.report import Failed, Measured, Priced, Report, make_row, scenario_lines, table_of
from fleetsight.accel.measure.rounds import Turns

READY = {"precision": "f32", "load_s": 0.5, "warm_up_s": 1.5}


def measured(rates: list[float], times_ms: list[float], **changes: Any) -> Measured:
    turns = tuple(
        {"images_per_s": rate, "latency": {"p50_ms": ms, "p90_ms": ms, "p99_ms": 2 * ms}, "memory_mb": 100.0}
        for rate, ms in zip(rates, times_ms, strict=True)
    )
    fields: dict[str, Any] = {"target": "openvino", "batch": 1, "streams": 1, "turns": Turns(READY, turns)}
    return Measured(**(fields | changes))


def eager(*rows: Measured) -> list[Measured]:
    return [replace(row, target="torch-eager") for row in rows]


def report(*rows: Measured, **changes: Any) -> Report:
    baselines = {"default": eager(measured([10.0], [100.0]))}
    made = Report(
        model="tiny",
        hardware="2 cores of a chip",
        rows=tuple(make_row(row, baselines, priced=None) for row in rows),
        baselines={kind: tuple(make_row(one, {}, priced=None) for one in many) for kind, many in baselines.items()},
        failed=(Failed("onnxruntime", "int8", 4, None, "no calibration"),),
        notes=(),
        priced=None,
        versions={},
        made_at="2026-11-30T00:00:00Z",
    )
    return replace(made, **changes)


def test_one_picture_at_a_time_is_compared_by_its_time() -> None:
    one = measured([400.0, 400.0, 400.0], [10.0, 20.0, 10.0])
    alone = measured([1.0, 1.0, 1.0], [100.0, 400.0, 80.0])
    row = make_row(one, {"default": eager(alone), "tuned": eager(measured([1, 1, 1], [50.0, 60.0, 50.0]))}, priced=None)
    assert row.waits
    assert row.ratio_default_eager == 10.0  # of 10, 20 and 8: within a round, not of the medians (100 / 10 is chance)
    assert row.ratio_tuned_eager == 5.0


def test_throughput_is_compared_with_the_best_batch_of_eager() -> None:
    many = measured([100.0, 120.0], [10.0, 10.0], batch=4, streams=2)
    tuned = eager(measured([5.0, 5.0], [1.0, 1.0]), measured([20.0, 30.0], [1.0, 1.0], batch=8))
    row = make_row(many, {"tuned": tuned}, priced=None)
    assert row.ratio_tuned_eager == pytest.approx((5.0 + 4.0) / 2)
    assert row.ratio_default_eager is None
    assert row.spread == pytest.approx(20.0 / 110.0)


def test_what_was_not_compared_has_no_ratio() -> None:
    assert make_row(measured([1.0], [1.0]), {}, priced=None).ratio_tuned_eager is None
    only_batches = {"tuned": eager(measured([1.0], [1.0], batch=4))}
    assert make_row(measured([1.0], [1.0]), only_batches, priced=None).ratio_tuned_eager is None


def test_a_million_pictures_are_priced_at_the_measured_rate_and_utilisation() -> None:
    priced = Priced("c7i.xlarge", 0.1785, 0.5, "2026-08-21")
    row = make_row(measured([100.0], [10.0]), {}, priced=priced)
    assert row.usd_per_million == pytest.approx(0.1785 / 3600 / 50 * 1e6)


def test_nothing_measured_is_no_row() -> None:
    with pytest.raises(MeasureError):
        make_row(measured([], []), {}, priced=None)


def test_json_holds_what_scripts_rely_on() -> None:
    made = report(measured([1.0], [1.0], parity="pass", parity_detail={"box_px": 0.1}))
    told = json.loads(json.dumps(made.as_json()))
    assert {"model", "hardware", "rows"} <= told.keys()
    assert set(told["rows"][0]) >= {
        "target",
        "precision",
        "batch",
        "streams",
        "p50_ms",
        "p99_ms",
        "images_per_s",
        "ratio_default_eager",
        "ratio_tuned_eager",
        "parity",
        "parity_detail",
        "usd_per_million",
    }
    assert told["rows"][0]["parity"] == "pass"


def test_the_table_has_a_line_for_every_row_and_every_failure() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table_of(report(measured([123.4], [10.0], parity="fail"), measured([5.0], [1.0], streams=None))))
    text = capture.get()
    assert "123.4" in text
    assert "eager, default" in text
    assert "auto" in text
    assert [line for line in text.splitlines() if "onnxruntime" in line and "failed" in line]


def test_scenarios_are_told_in_a_line() -> None:
    found = {
        "single_stream": {"p90_ms": 9.87},
        "multi_stream": {"p99_ms": 80.0},
        "server": {"rate_hz": 45.67, "bound_ms": 100.0},
        "fleet": {"cameras": 12, "rate_hz": 5.0, "deadline_ms": 200.0},
    }
    lines = scenario_lines(
        report(
            measured([99.0], [10.0], scenarios=found),
            measured([1.0], [1.0]),
            measured([1.0], [1.0], scenarios={"failed": "it died"}),
        )
    )
    assert lines == [
        (
            "openvino f32 b1 s1: SingleStream p90 9.9 ms, MultiStream p99 80.0 ms, Server 45.7/s within 100 ms, "
            "Offline 99.0/s, Fleet 12 cameras x 5/s within 200 ms"
        ),
        "openvino f32 b1 s1: failed: it died",
    ]


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="plots need matplotlib (extra dev)")
def test_files_are_json_and_two_plots(tmp_path: Path) -> None:
    files = report(measured([123.4], [10.0], parity="pass")).save(tmp_path / "out")
    assert [path.name for path in files] == ["report.json", "report.svg", "report.png"]
    assert all(path.stat().st_size > 0 for path in files)
    assert "tiny" in files[1].read_text(encoding="utf-8") or files[1].read_text(encoding="utf-8").startswith("<?xml")
