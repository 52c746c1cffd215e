"""What is compiled where its chip is not stays unproved, says so, and is proved at the chip."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel import compiling
from fleetsight.accel.artifacts.artifact import Artifact
from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.artifacts.manifest import ArtifactError
from fleetsight.accel.compiling import compile_model
from fleetsight.accel.proving.parity import GateError, Gates
from fleetsight.accel.proving.proof import prove
from fleetsight.accel.session import TargetError
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets import neuron
from fleetsight.accel.targets.options import Options
from fleetsight.accel.tuning import tune
from tests.accel.proved import pictures, tiny_source
from tests.accel.targets.conftest import standin
from tests.accel.tiny_models import TinyHead, save_detector

__all__ = ["standin"]  # fixtures

NO_CHIP = "no Neuron device here"


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache", Ed25519PrivateKey.generate())


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return tiny_source(tmp_path)


@pytest.fixture
def at_the_chip() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def held(*, may_be_unproved: bool = False, **limits: float) -> Gates:
    return Gates(limits, pictures(), may_be_unproved=may_be_unproved)


def compiled(source: Source, cache: ArtifactCache, gates: Gates) -> compiling.Compiled:
    return compile_model(source, "neuron", options=Options(), gates=gates, cache=cache)


def test_without_the_compiler_it_stays_an_error(source: Source, cache: ArtifactCache) -> None:
    with pytest.raises(TargetError, match="not installed"):
        compiled(source, cache, held(may_be_unproved=True))


@pytest.mark.usefixtures("standin")
class TestWithoutAChip:
    def test_nothing_is_compiled_unless_the_user_agrees(self, source: Source, cache: ArtifactCache) -> None:
        with pytest.raises(TargetError, match=NO_CHIP) as caught:
            compiled(source, cache, held())
        assert "--unproved" in caught.value.hint
        assert cache.made == 0

    def test_what_is_kept_says_that_it_is_unproved_and_why(
        self, source: Source, cache: ArtifactCache, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = compiled(source, cache, held(may_be_unproved=True))
        assert NO_CHIP in made.artifact.manifest.unproved
        assert made.parity["passed"] is False
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            opened = Artifact.open(made.artifact.folder, trusted=cache.trusted)
        assert "artifact unproved" in caplog.text
        assert NO_CHIP in opened.manifest.unproved

    def test_a_hit_that_is_unproved_is_refused_to_who_did_not_agree(self, source: Source, cache: ArtifactCache) -> None:
        compiled(source, cache, held(may_be_unproved=True))
        assert compiled(source, cache, held(may_be_unproved=True)).hit
        with pytest.raises(TargetError, match="cannot be proved here"):
            compiled(source, cache, held())

    def test_a_precision_cannot_be_chosen_by_measuring(self, source: Source, cache: ArtifactCache) -> None:
        with pytest.raises(TargetError, match="cannot be measured here") as caught:
            tune(source, "neuron", options=Options(), gates=held(may_be_unproved=True), cache=cache)
        assert "--unproved" in caught.value.hint

    def test_the_next_compile_at_the_chip_proves_it_and_compiles_nothing(
        self, source: Source, cache: ArtifactCache, at_the_chip: pytest.MonkeyPatch
    ) -> None:
        first = compiled(source, cache, held(may_be_unproved=True))
        at_the_chip.setattr(neuron, "probe", lambda: None)
        at_the_chip.setattr(compiling, "chip", lambda: "the processor of another machine")
        second = compiled(source, cache, held())
        assert (second.hit, cache.made, second.artifact.manifest.unproved) == (True, 1, "")
        assert second.parity["passed"] is True
        assert second.parity["gates"]["boxes"]["passed"]
        assert second.artifact.manifest.files == first.artifact.manifest.files
        assert Artifact.open(second.artifact.folder, trusted=cache.trusted).manifest == second.artifact.manifest

    def test_a_copy_is_proved_by_name(
        self, source: Source, cache: ArtifactCache, tmp_path: Path, at_the_chip: pytest.MonkeyPatch
    ) -> None:
        copy = compiled(source, cache, held(may_be_unproved=True)).artifact.copy_to(tmp_path / "copy")
        with pytest.raises(TargetError, match=NO_CHIP):
            prove(copy, source, gates=held(may_be_unproved=True), cache=cache)
        at_the_chip.setattr(neuron, "probe", lambda: None)
        proved = prove(copy, source, gates=held(), cache=cache)
        assert proved.folder == copy.folder
        assert Artifact.open(copy.folder, trusted=cache.trusted).manifest.parity["passed"] is True

    def test_another_model_proves_nothing(
        self, source: Source, cache: ArtifactCache, tmp_path: Path, at_the_chip: pytest.MonkeyPatch
    ) -> None:
        made = compiled(source, cache, held(may_be_unproved=True))
        at_the_chip.setattr(neuron, "probe", lambda: None)
        other = portable_source(save_detector(tmp_path / "seven", TinyHead(gain=8.0, seed=7)))
        with pytest.raises(ArtifactError, match="was not compiled from"):
            prove(made.artifact, other, gates=held(), cache=cache)

    def test_one_that_fails_its_gates_stays_unproved(
        self, source: Source, cache: ArtifactCache, at_the_chip: pytest.MonkeyPatch
    ) -> None:
        made = compiled(source, cache, held(may_be_unproved=True))
        at_the_chip.setattr(neuron, "probe", lambda: None)
        with pytest.raises(GateError, match="no truth"):
            prove(made.artifact, source, gates=held(task=0.5), cache=cache)
        assert Artifact.open(made.artifact.folder, trusted=cache.trusted).manifest.unproved
