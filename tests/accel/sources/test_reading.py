"""A name means one kind of source; pickles are none."""

from pathlib import Path

import pytest

from fleetsight.accel.portable import ModelError
from fleetsight.accel.sources.reading import Asked, read_source
from fleetsight.accel.sources.source import SourceError
from tests.accel.sources.test_huggingface import RESNET, folder_of
from tests.accel.sources.test_onnx_source import flattened
from tests.accel.tiny_models import save_detector


def test_each_kind_is_told_from_the_others(tmp_path: Path) -> None:
    store = tmp_path / "store"
    save_detector(store / "mine")
    save_detector(tmp_path / "elsewhere")
    kinds = {
        "cooler-detector": "dense",
        "mine": "dense",
        str(tmp_path / "elsewhere"): "dense",
        str(flattened(tmp_path / "net.onnx")): "tensors",
        str(folder_of(tmp_path / "resnet", RESNET)): "classes",
        "tests.accel.sources.toy_modules:pair": "tensors",
    }
    for name, answer in kinds.items():
        assert read_source(Asked(name, size_wh=(8, 8)), models_dir=store).answer == answer


@pytest.mark.parametrize("name", ["weights.pth", "weights.pkl", "pytorch_model.bin", "runs/last.ckpt"])
def test_pickles_are_refused_unread(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(SourceError, match="pickle") as caught:
        read_source(Asked(str(path)), models_dir=tmp_path)
    assert "safetensors" in caught.value.hint


def test_a_folder_of_nothing_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is no model"):
        read_source(Asked(str(tmp_path)), models_dir=tmp_path)


def test_an_artifact_is_not_compiled_again(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(SourceError, match="artifact already"):
        read_source(Asked(str(tmp_path)), models_dir=tmp_path)


def test_a_name_that_nobody_knows_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model 'cooler-detectr'") as caught:
        read_source(Asked("cooler-detectr"), models_dir=tmp_path)
    assert "cooler-detector" in caught.value.hint
