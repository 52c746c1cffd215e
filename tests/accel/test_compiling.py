"""A compile is proved, kept and found again; a failed gate is a failed compile."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel import compiling
from fleetsight.accel.artifacts.artifact import Artifact
from fleetsight.accel.artifacts.cache import ArtifactCache, ForbiddenError
from fleetsight.accel.artifacts.manifest import ArtifactError
from fleetsight.accel.compiling import check_licence, compile_int8, compile_model, key_of
from fleetsight.accel.detector import Detector
from fleetsight.accel.embedder import Embedder
from fleetsight.accel.licence import LicenceError
from fleetsight.accel.portable import ModelError, PortableModel
from fleetsight.accel.proving.parity import GateError, Gates
from fleetsight.accel.session import TargetError
from fleetsight.accel.sources.fused import fused
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets import onnxruntime, openvino
from fleetsight.accel.targets.options import Options
from fleetsight.accel.tuning import tune
from tests.accel.proved import drawn, gates, pictures, tiny_embedder, tiny_source
from tests.accel.tiny_models import TinyHead, save_detector

KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache", KEY)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return tiny_source(tmp_path)


def counted(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[str]:
    """Every compile of a target from here on."""
    seen: list[str] = []
    real = module.compile

    def counting(source: Source, options: Options, *, folder: Path) -> None:
        seen.append(options.precision)
        real(source, options, folder=folder)

    monkeypatch.setattr(module, "compile", counting)
    return seen


def test_a_second_compile_is_found_and_compiles_nothing(
    source: Source, cache: ArtifactCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compile_model(source, "onnxruntime", options=Options(), gates=gates(), cache=cache)
    seen = counted(monkeypatch, onnxruntime)

    def never() -> Any:
        raise AssertionError("a hit needs no graph")

    silent = replace(source, graph=never, module=never)
    forbidding = ArtifactCache(tmp_path / "cache", KEY, forbid_compiling=True)
    second = compile_model(silent, "onnxruntime", options=Options(), gates=gates(), cache=forbidding)
    assert (first.hit, second.hit, seen, forbidding.made) == (False, True, [], 0)
    assert second.artifact.manifest == first.artifact.manifest
    assert second.as_json().keys() == {"artifact", "cache", "seconds", "manifest"}


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "1" * 64},
        {"options": Options(batch=None)},
        {"options": Options(flags={"provider": "cpu"})},
        {"held": gates(boxes=2.0)},
        {"held": Gates({}, pictures(sha256="2" * 64))},
        {"target": "null"},
        {"licence": "MIT"},
    ],
)
def test_whatever_decides_the_artifact_is_in_its_key(source: Source, change: dict[str, Any]) -> None:
    def key(target: str = "onnxruntime", options: Options | None = None, held: Gates | None = None, **of: Any) -> str:
        return key_of(replace(source, **of), target, options=options or Options(), gates=held or gates())

    assert key() == key()
    assert key(**change) != key()


def test_other_calibration_data_of_the_same_length_is_another_artifact(source: Source) -> None:
    def key(value: float) -> str:
        data = ((np.full(source.example[0].shape, value, dtype=np.float32),),)
        return key_of(source, "onnxruntime", options=Options(precision="int8", calibration=data), gates=gates())

    assert key(0.0) == key(0.0)
    assert key(0.0) != key(1.0)


def test_another_compiler_or_chip_is_another_artifact(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = key_of(source, "onnxruntime", options=Options(), gates=gates())
    with monkeypatch.context() as patch:
        patch.setattr(onnxruntime, "compiler", lambda: "onnxruntime 99")
        assert key_of(source, "onnxruntime", options=Options(), gates=gates()) != plain
    monkeypatch.setattr(compiling, "chip", lambda: "another")
    assert key_of(source, "onnxruntime", options=Options(), gates=gates()) != plain


def test_a_failed_gate_is_a_failed_compile_and_leaves_nothing(
    source: Source, cache: ArtifactCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnxruntime.compile

    def wrong(asked: Source, options: Options, *, folder: Path) -> None:
        real(other if folder.parent.name.startswith(".making") else asked, options, folder=folder)

    other = portable_source(save_detector(tmp_path / "seven", TinyHead(gain=8.0, seed=7)))
    monkeypatch.setattr(onnxruntime, "compile", wrong)
    with pytest.raises(GateError, match="boxes"):
        compile_model(source, "onnxruntime", options=Options(), gates=gates(), cache=cache)
    assert cache.made == 0
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_missing_compiler_says_so(source: Source, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> str:
        raise ImportError("No module named 'onnxruntime'")

    monkeypatch.setattr(onnxruntime, "compiler", absent)
    with pytest.raises(TargetError, match="cannot compile here") as caught:
        compile_model(source, "onnxruntime", options=Options(), gates=gates(), cache=cache)
    assert "doctor" in caught.value.hint


def test_a_target_that_is_none_is_refused(source: Source, cache: ArtifactCache) -> None:
    with pytest.raises(TargetError, match="no target 'openvin'") as caught:
        compile_model(source, "openvin", options=Options(), gates=gates(), cache=cache)
    assert "openvino" in caught.value.hint


def test_forbidden_compiling_reaches_the_caller(source: Source, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "empty", KEY, forbid_compiling=True)
    for way in (compile_model, tune):
        with pytest.raises(ForbiddenError):
            way(source, "onnxruntime", options=Options(), gates=gates(), cache=cache)


def test_a_restricted_lineage_is_refused(source: Source) -> None:
    check_licence(source)
    with pytest.raises(LicenceError, match="non-commercial"):
        check_licence(replace(source, lineage={"licence_of_weights": "CC-BY-NC-4.0"}))


def test_a_detector_runs_from_its_artifact_as_from_its_model(
    source: Source, cache: ArtifactCache, tmp_path: Path
) -> None:
    made = compile_model(source, "openvino", options=Options(), gates=gates(), cache=cache)
    opened = Artifact.open(made.artifact.folder, trusted=cache.trusted)
    images = drawn(3, seed=5)
    plain = Detector.open(PortableModel.load(tmp_path / "tiny"), "onnxruntime", precision="f32")
    with plain, Detector.of_artifact(opened, threads=1) as compiled:
        assert compiled.labels == plain.labels
        for one, other in zip(plain.stream(images), compiled.stream(images), strict=True):
            assert len(one)
            np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)


def test_a_fused_detector_takes_bytes_and_finds_the_same(source: Source, cache: ArtifactCache) -> None:
    host = compile_model(source, "onnxruntime", options=Options(), gates=gates(), cache=cache)
    inside = compile_model(fused(source), "onnxruntime", options=Options(), gates=gates(), cache=cache)
    assert (host.artifact.manifest.preprocess, inside.artifact.manifest.preprocess) == ("host", "fused")
    assert inside.parity["gates"]["boxes"]["passed"]
    images = drawn(3, seed=5)
    with Detector.of_artifact(host.artifact) as first, Detector.of_artifact(inside.artifact) as second:
        for one, other in zip(first.stream(images), second.stream(images), strict=True):
            np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)
        np.testing.assert_allclose(second.detect(images[0]).scores, first.detect(images[0]).scores, atol=1e-4)


def test_an_embedder_runs_from_its_artifact(tmp_path: Path, cache: ArtifactCache) -> None:
    made = compile_model(tiny_embedder(tmp_path), "onnxruntime", options=Options(), gates=gates(), cache=cache)
    rows = Embedder.of_artifact(made.artifact).embed(drawn(3))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    with pytest.raises(ModelError, match="a detector is needed"):
        Detector.of_artifact(made.artifact)


def test_int8_without_real_pictures_is_refused(source: Source, cache: ArtifactCache) -> None:
    held = gates()
    held = replace(held, pictures=replace(held.pictures, is_real=False))
    with pytest.raises(TargetError, match="real inputs"):
        compile_int8(source, "openvino", options=Options(precision="int8"), gates=held, cache=cache)


def test_where_int8_fails_its_gates_the_guard_leaves_operators_in_float(
    source: Source, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def counting(asked: Source, options: Options, *, folder: Path) -> None:
        seen.append(options.accuracy is not None)
        real(asked, replace(options, precision="f32"), folder=folder)
        if options.accuracy is None:
            raise GateError("made up")
        session = openvino.load(folder)
        assert options.accuracy(session) == pytest.approx(1.0, abs=options.max_drop)
        session.close()

    real = openvino.compile
    monkeypatch.setattr(openvino, "compile", counting)
    asked = Options(precision="int8")
    assert not compile_int8(source, "openvino", options=asked, gates=gates(), cache=cache).hit
    assert compile_int8(source, "openvino", options=asked, gates=gates(), cache=cache).hit
    assert seen == [False, True]


def test_the_null_target_proves_nothing_and_says_so(source: Source, cache: ArtifactCache) -> None:
    made = compile_model(source, "null", options=Options(), gates=gates(), cache=cache)
    assert "computes nothing" in made.parity["vacuous"]


def test_a_card_is_needed_to_detect(source: Source, cache: ArtifactCache) -> None:
    bare = replace(source, card=None, answer="tensors")
    made = compile_model(bare, "onnxruntime", options=Options(), gates=gates(), cache=cache)
    with pytest.raises(ArtifactError, match="no card"):
        Detector.of_artifact(made.artifact)
