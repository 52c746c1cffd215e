"""`fleetsight compile`: the answer for scripts, the second time, and what a user can get wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fleetsight.accel.portable import PortableModel
from fleetsight.cli.main import app
from tests.accel.parts.tiny_blip import save_tiny_blip
from tests.accel.proved import drawn
from tests.accel.targets.conftest import standin
from tests.accel.tiny_models import TinyHead, detector_card, save_detector

__all__ = ["standin"]  # fixtures


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLEETSIGHT_DATA_DIR", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_detector(tmp_path / "tiny", TinyHead(gain=8.0)).folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for index, image in enumerate(drawn(4)):
        cv2.imwrite(str(folder / f"{index}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compile", *map(str, arguments)])


def test_the_answer_has_what_scripts_rely_on_and_a_second_one_is_a_hit(model: Path, data: Path, tmp_path: Path) -> None:
    asked = (model, "--target", "onnxruntime", "--precision", "f32", "--data", data, "--json")
    first = json.loads(run(*asked, "--out", tmp_path / "out").stdout)
    assert first.keys() == {"artifact", "cache", "seconds", "manifest"}
    assert (first["cache"], first["artifact"]) == ("miss", str(tmp_path / "out"))
    assert first["manifest"]["parity"]["data"] == "4 pictures of data"
    second = json.loads(run(*asked, "--forbid-compiling").stdout)
    assert second["cache"] == "hit"
    assert second["manifest"] == first["manifest"]


def test_a_model_of_several_parts_is_compiled_by_its_recipe(tmp_path: Path) -> None:
    save_tiny_blip(tmp_path / "blip")
    refused = run(tmp_path / "blip", "--target", "onnxruntime", "--precision", "f32")
    assert "--recipe blip-vqa" in refused.stderr
    asked = (tmp_path / "blip", "--target", "onnxruntime", "--precision", "f32", "--recipe", "blip-vqa")
    said = run(*asked)
    assert said.exit_code == 0, said.output
    assert "parts: " in said.stdout
    words = ["compile", *map(str, asked), "--forbid-compiling", "--json"]
    code = f"""
import sys
from typer.testing import CliRunner
from fleetsight.cli.main import app
print(CliRunner().invoke(app, {words!r}).stdout, end="")
assert not {{"torch", "transformers", "onnx"}} & set(sys.modules)
"""
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["cache"] == "hit"
    assert run(*asked, "--gate", "boxes=1").exit_code == 2
    assert "no size 'answers'" in run(*asked, "--recipe-size", "answers=3").stderr
    assert "no part 'vision'" in run(*asked, "--part-precision", "vision=f32").stderr
    assert run(*asked, "--recipe-size", "answer_tokens=many").exit_code == 2


def test_the_manifest_of_an_artifact_is_shown(model: Path, tmp_path: Path) -> None:
    run(model, "--target", "null", "--precision", "f32", "--out", tmp_path / "out")
    shown = CliRunner().invoke(app, ["model", "show", str(tmp_path / "out"), "--json"])
    assert json.loads(shown.stdout)["target"] == "null"
    (tmp_path / "out" / "compiled" / "session.json").write_text("{}")
    assert "was changed" in CliRunner().invoke(app, ["model", "show", str(tmp_path / "out")]).stderr


@pytest.mark.usefixtures("standin")
def test_what_cannot_be_proved_here_is_kept_on_demand_and_proved_at_the_chip(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (model, "--target", "neuron", "--precision", "f32", "--data", data)
    refused = run(*asked)
    assert refused.exit_code == 2
    assert "--unproved" in refused.stderr
    kept = run(*asked, "--unproved", "--out", tmp_path / "out")
    assert kept.exit_code == 0, kept.output
    assert "warning: unproved" in kept.stderr
    monkeypatch.setattr("fleetsight.accel.targets.neuron.probe", lambda: None)
    proved = run(*asked, "--prove", tmp_path / "out")
    assert proved.exit_code == 0, proved.output
    assert "unproved" not in proved.output
    assert "gate boxes    pass" in proved.stdout
    shown = CliRunner().invoke(app, ["model", "show", str(tmp_path / "out"), "--json"])
    assert json.loads(shown.stdout)["parity"]["passed"] is True
    assert run(*asked, "--prove", tmp_path / "out", "--recipe", "sam").exit_code == 2


def test_auto_prints_every_candidate(model: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetsight.accel.tuning.TURN_S", 0.005)
    monkeypatch.setattr("fleetsight.accel.targets.onnxruntime.precisions", lambda: ("f32",))
    said = run(model, "--target", "onnxruntime", "--data", data)
    assert said.exit_code == 0, said.output
    assert "<- kept" in said.stdout
    assert "gate boxes" in said.stdout


def test_a_compile_without_pictures_says_that_it_proves_little(model: Path) -> None:
    said = run(model, "--target", "null", "--precision", "f32")
    assert said.exit_code == 0
    assert "proves little" in said.stderr


def test_a_failed_gate_is_an_error_with_the_figures(model: Path, data: Path) -> None:
    said = run(model, "--target", "onnxruntime", "--precision", "f32", "--data", data, "--gate", "task=0.5", "--json")
    assert said.exit_code == 2
    error = json.loads(said.stderr)["error"]
    assert error["code"] == "gate_failed"
    assert "no truth" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--batch", "0"), "batch"),
        (("--batch", "many"), "batch"),
        (("--precision", "fp8"), "precision"),
        (("--gate", "boxes"), "NAME=VALUE"),
        (("--gate", "boxes=wide"), "no number"),
        (("--gate", "boxen=1"), "no gate"),
        (("--target", "openvin"), "openvino"),
        (("--data", "/nowhere"), "no folder"),
        (("--flag", "nonsense=1", "--target", "null", "--precision", "f32"), "nonsense"),
        (("--batch", "4", "--target", "onnxruntime", "--precision", "f32"), "batch"),
    ],
)
def test_what_a_user_gets_wrong_is_said(model: Path, arguments: tuple[str, ...], said: str) -> None:
    found = run(model, *arguments)
    assert found.exit_code == 2
    assert said in found.stderr


def test_a_restricted_licence_is_refused_unless_asked_for(tmp_path: Path) -> None:
    folder = PortableModel.save(
        tmp_path / "nc",
        TinyHead().onnx(),
        card=detector_card(licence="CC-BY-NC-4.0"),
        allow_restricted_licence=True,
    ).folder
    refused = run(folder, "--target", "null", "--precision", "f32")
    assert refused.exit_code == 2
    assert "non-commercial" in refused.stderr
    taken = run(folder, "--target", "null", "--precision", "f32", "--allow-restricted-licence", "--json")
    assert taken.exit_code == 0, taken.output
    assert json.loads(taken.stdout)["manifest"]["source"]["licence"] == "CC-BY-NC-4.0"


def test_a_clip_is_settled_with_an_artifact_and_not_with_one_that_was_changed(
    data: Path, tmp_path: Path, home: Path
) -> None:
    from fleetsight.accel.detector import Detector
    from fleetsight.cli.cooler import _engine

    made = run("cooler-detector", "--target", "onnxruntime", "--precision", "f32", "--out", tmp_path / "compiled")
    assert made.exit_code == 0, made.output
    engine = _engine(str(tmp_path / "compiled"), None, ("product",))
    assert isinstance(engine.detector, Detector)
    assert engine.detector.detect(np.zeros((360, 640, 3), np.uint8)) is not None
    engine.detector.close()
    (row,) = json.loads(CliRunner().invoke(app, ["model", "list", "--json"]).stdout)["artifacts"]
    assert (row["name"], row["target"], row["unproved"], row["problem"]) == ("cooler-detector", "onnxruntime", "", "")
    assert (
        "cooler-detector          compiled  onnxruntime f32 1  proved"
        in CliRunner().invoke(app, ["model", "list"]).stdout
    )
    shutil.rmtree(home)  # another machine, with another key
    settled = CliRunner().invoke(
        app, ["cooler", "settle", str(data / "0.png"), "--model", str(tmp_path / "compiled"), "--skus", "product"]
    )
    assert settled.exit_code == 2
    assert "not trusted" in settled.stderr
