import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fleetsight.cli.main import app
from tests.accel.tiny_models import LABELS, TinyHead

RUNNER = CliRunner()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLEETSIGHT_MODELS_DIR", str(tmp_path / "models"))
    path = tmp_path / "tiny.onnx"
    path.write_bytes(TinyHead(columns=7, sigmoid=True, gain=0.05).onnx())
    return path


def imported(file: Path, *more: str) -> list[str]:
    return ["model", "import", str(file), "--decoder", "yolox", "--labels", ",".join(LABELS), "--name", "tiny", *more]


def test_import_list_show_and_verify_work_together(file: Path) -> None:
    done = RUNNER.invoke(app, imported(file, "--licence", "Apache-2.0", "--json"))
    assert done.exit_code == 0, done.output
    card = json.loads(done.stdout)
    assert (card["name"], card["decoder"], card["labels"]) == ("tiny", "yolox", list(LABELS))
    listed = json.loads(RUNNER.invoke(app, ["model", "list", "--json"]).stdout)["models"]
    assert ("tiny", "imported", "") in {(row["name"], row["origin"], row["problem"]) for row in listed}
    shown = json.loads(RUNNER.invoke(app, ["model", "show", "tiny", "--json"]).stdout)
    assert shown == card
    verified = json.loads(RUNNER.invoke(app, ["model", "verify", card["folder"], "--json"]).stdout)
    assert verified["sound"]
    assert {row["target"] for row in verified["targets"]} == {"openvino", "onnxruntime"}


def test_people_get_lines(file: Path) -> None:
    done = RUNNER.invoke(app, imported(file))
    assert "warning: the licence of these weights is not stated" in done.stderr
    assert "decoder         yolox" in done.stdout
    assert "tiny" in RUNNER.invoke(app, ["model", "list"]).stdout
    assert (
        "files, digest, card, shapes and licence are in order" in RUNNER.invoke(app, ["model", "verify", "tiny"]).stdout
    )


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--licence", "AGPL-3.0"], "model_licence"),
        (["--labels", "one"], "model_import"),
        (["--name", "../up"], "model_card"),
        (["--labels", "nothing.txt"], "labels"),
    ],
)
def test_what_does_not_fit_ends_with_its_code_and_a_way_out(file: Path, more: list[str], code: str) -> None:
    done = RUNNER.invoke(app, imported(file, *more))
    assert done.exit_code == 2
    assert f"error[{code}]" in done.stderr
    as_json = RUNNER.invoke(app, imported(file, *more, "--json"))
    assert json.loads(as_json.stderr)["error"]["code"] == code
    assert as_json.stdout == ""


@pytest.mark.parametrize("more", [["--decoder", "ssd"], ["--size", "big"]])
def test_options_that_make_no_sense_are_refused(file: Path, more: list[str]) -> None:
    done = RUNNER.invoke(app, imported(file, *more))
    assert done.exit_code == 2
    assert more[0] in done.stderr


def test_a_pickle_in_the_folder_is_refused_with_the_reason(file: Path, tmp_path: Path) -> None:
    RUNNER.invoke(app, imported(file))
    (tmp_path / "models" / "tiny" / "weights.pt").write_bytes(b"\x80\x02.")
    done = RUNNER.invoke(app, ["model", "verify", "tiny"])
    assert done.exit_code == 2
    assert "never pickles" in done.stderr
    listed = RUNNER.invoke(app, ["model", "list"])
    assert "damaged" in listed.stdout


def test_an_unknown_model_is_an_error_with_a_suggestion(file: Path) -> None:
    RUNNER.invoke(app, imported(file))
    done = RUNNER.invoke(app, ["model", "show", "tinny"])
    assert done.exit_code == 2
    assert "did you mean 'tiny'?" in done.stderr
