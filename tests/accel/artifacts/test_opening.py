"""A detector is opened by name, by folder, or from an artifact, through one door."""

from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.artifact import Artifact
from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.artifacts.manifest import ArtifactError
from fleetsight.accel.artifacts.opening import open_detector
from fleetsight.accel.compiling import compile_model
from fleetsight.accel.portable import ModelError, PortableModel
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.accel.targets.options import Options
from tests.accel.proved import gates
from tests.accel.tiny_models import LABELS, TinyHead, save_detector

KEY = Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("opening")
    save_detector(path / "tiny", TinyHead(gain=8.0))
    return path


@pytest.fixture(scope="module")
def cache(folder: Path) -> ArtifactCache:
    return ArtifactCache(folder / "cache", KEY)


@pytest.fixture(scope="module")
def artifact(folder: Path, cache: ArtifactCache) -> Artifact:
    source = portable_source(PortableModel.load(folder / "tiny"))
    return compile_model(source, "onnxruntime", options=Options(), gates=gates(), cache=cache).artifact


def test_a_model_and_its_artifact_find_the_same(folder: Path, artifact: Artifact, cache: ArtifactCache) -> None:
    picture = np.random.default_rng(3).integers(0, 255, size=(64, 96, 3), dtype=np.uint8)
    found = []
    for place in (folder / "tiny", artifact.folder):
        with open_detector(place, models_dir=None, trusted=cache.trusted, target="onnxruntime") as detector:
            assert detector.labels == LABELS
            found.append(detector.detect(picture, score_min=0.0))
    np.testing.assert_allclose(found[0].scores, found[1].scores, atol=1e-4)


def test_an_artifact_of_a_stranger_or_for_another_chip_is_refused(artifact: Artifact, cache: ArtifactCache) -> None:
    with pytest.raises(ArtifactError, match="not trusted"):
        open_detector(artifact.folder, models_dir=None, trusted=())
    with pytest.raises(ArtifactError, match="compiled for onnxruntime, not for openvino"):
        open_detector(artifact.folder, models_dir=None, trusted=cache.trusted, target="openvino")


def test_a_name_that_nobody_knows_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model 'nothing'"):
        open_detector("nothing", models_dir=tmp_path, trusted=())
