"""Ultralytics files go through a process of their own, after the user accepted the AGPL, and stay stamped with it."""

import os
import sys
from pathlib import Path

import pytest

from fleetsight.accel.compiling import check_licence
from fleetsight.accel.licence import LicenceError
from fleetsight.accel.sources.reading import Asked, read_source
from fleetsight.accel.sources.source import SourceError
from fleetsight.accel.sources.ultralytics import ultralytics_source
from tests.accel.tiny_models import TinyHead

STAND_IN = """
import shutil
__version__ = "0.0-stand-in"
class YOLO:
    def __init__(self, path):
        assert path.endswith(".pt")
    def export(self, *, format, imgsz, dynamic, simplify, nms, opset):
        assert (format, imgsz, nms) == ("onnx", (8, 12), False)
        return shutil.copy("{onnx}", "{copy}")
"""
"""Has the signature of the real package's export; the package itself is AGPL-3.0 and not installed."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "yolo.pt"
    path.write_bytes(b"PK\x03\x04 a pickle that this process never opens")
    return path


@pytest.fixture
def plugin_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = tmp_path / "made.onnx"
    onnx.write_bytes(TinyHead().onnx())
    package = tmp_path / "site" / "ultralytics"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(STAND_IN.format(onnx=onnx, copy=tmp_path / "copy.onnx"))
    path = os.pathsep.join([str(tmp_path / "site"), *sys.path])
    monkeypatch.setenv("PYTHONPATH", path)


def test_the_agpl_has_to_be_accepted_first(weights: Path) -> None:
    with pytest.raises(LicenceError, match="AGPL") as caught:
        read_source(Asked(str(weights)), models_dir=weights.parent)
    assert "--allow-restricted-licence" in caught.value.hint


def test_without_the_package_the_plugin_says_what_to_install(weights: Path) -> None:
    with pytest.raises(SourceError, match="ultralytics is not installed") as caught:
        ultralytics_source(weights, allow_restricted_licence=True)
    assert "AGPL" in caught.value.hint


@pytest.mark.usefixtures("plugin_installed")
def test_what_it_makes_is_stamped_and_this_process_stays_clean(weights: Path) -> None:
    source = ultralytics_source(weights, allow_restricted_licence=True, size_wh=(12, 8))
    assert source.licence == "AGPL-3.0"
    assert source.graph().licence == "AGPL-3.0"
    assert source.lineage["licence_of_weights"] == "AGPL-3.0"
    assert "stand-in" in source.lineage["converted_by"]
    assert "ultralytics" not in sys.modules
    with pytest.raises(LicenceError):
        check_licence(source)
