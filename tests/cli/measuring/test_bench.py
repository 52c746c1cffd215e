import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fleetsight.accel.measure.flow import Way
from fleetsight.cli.main import app
from fleetsight.cli.measuring.bench import counts, price_of, split, stream_counts, ways_of
from tests.accel.tiny_models import save_detector

RUNNER = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLEETSIGHT_DATA_DIR", str(tmp_path / "data"))
    save_detector(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_script_gets_one_object_and_files(folder: Path, tmp_path: Path) -> None:
    options = ["--targets", "null", "--streams", "1", "--rounds", "1", "--seconds", "0", "--no-eager"]
    done = RUNNER.invoke(
        app,
        ["bench", "model", str(folder), *options, "--machine", "c7i.xlarge", "--out", str(tmp_path / "out"), "--json"],
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["model"] == "tiny"
    (row,) = told["rows"]
    assert (row["target"], row["batch"], row["streams"], row["ratio_tuned_eager"]) == ("null", 1, 1, None)
    assert row["usd_per_million"] > 0
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == told
    assert "measuring null f32 b1 s1" in done.stderr


def test_people_get_a_table_and_what_failed(folder: Path) -> None:
    options = [
        "--targets",
        "null",
        "--batches",
        "1,2",
        "--streams",
        "1",
        "--rounds",
        "1",
        "--seconds",
        "0",
        "--no-eager",
    ]
    done = RUNNER.invoke(app, ["bench", "model", str(folder), *options])
    assert done.exit_code == 0, done.output
    assert "images/s" in done.stdout
    assert "null f32, batch 2:" in done.stdout
    assert "note: inputs: 16 made-up pictures" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--targets", "openvin"], "did you mean openvino"),
        (["--precisions", "int4"], "there is no 'int4'"),
        (["--batches", "0"], "no list of numbers"),
        (["--streams", "many"], "no list of numbers"),
        (["--size", "big"], "not WIDTHxHEIGHT"),
        (["--machine", "c7i.xlarg"], "c7i.xlarge"),
        (["--utilisation", "2"], "utilisation"),
    ],
)
def test_wrong_options_say_what_is_right(options: list[str], said: str, folder: Path) -> None:
    done = RUNNER.invoke(app, ["bench", "model", str(folder), *options], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert said in done.stderr


def test_lists_are_read_once_each_in_order() -> None:
    assert split(" a, b,,a") == ("a", "b")
    assert counts("4,1,4", "--batches") == (4, 1)
    assert stream_counts("auto") == (None,)
    assert stream_counts("auto,2") == (2, None)
    with pytest.raises(typer.BadParameter):
        stream_counts("")


def test_every_combination_is_a_way() -> None:
    assert ways_of(("null",), ("f32",), (1, 2), (1, None)) == (
        Way("null", "f32", 1, 1),
        Way("null", "f32", 1, None),
        Way("null", "f32", 2, 1),
        Way("null", "f32", 2, None),
    )
    assert {way.target for way in ways_of((), ("f32",), (1,), (1,))} <= {"openvino", "onnxruntime"}
    assert {way.precision for way in ways_of(("null",), (), (1,), (1,))} == {"f32"}


def test_a_processor_is_priced_as_the_smallest_machine_that_has_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    priced = price_of("", 1.0, None)
    assert priced is not None
    assert priced.instance == "c7i.2xlarge"
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert price_of("", 1.0, None) is None
