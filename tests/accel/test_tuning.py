"""Precision is chosen by measuring: what fails is told why, the fastest that passes is kept, and found again at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel import tuning
from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.proving.parity import GateError, Gates
from fleetsight.accel.session import TargetError
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets import openvino
from fleetsight.accel.targets.options import Options
from fleetsight.accel.tuning import Tried, tune
from tests.accel.proved import gates, tiny_source

KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache", KEY)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return tiny_source(tmp_path)


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception | None]:
    """Precisions on offer and how each fails; every one computes in f32."""
    fate: dict[str, Exception | None] = {"f32": None, "bf16": None, "f16": TargetError("no such unit")}
    real = openvino.compile

    def counting(source: Source, options: Options, *, folder: Path) -> None:
        failure = fate[options.precision]
        if failure is not None:
            raise failure
        real(source, replace(options, precision="f32"), folder=folder)

    monkeypatch.setattr(openvino, "precisions", lambda: tuple(fate))
    monkeypatch.setattr(openvino, "compile", counting)
    return fate


def told_speeds(monkeypatch: pytest.MonkeyPatch, **rates: float) -> None:
    def measure(tried: Sequence[Tried], _: Gates) -> list[Tried]:
        def of(entry: Tried) -> float:
            return rates[entry.candidate.name.replace(" ", "_")]

        return [entry if entry.compiled is None else replace(entry, images_per_s=of(entry)) for entry in tried]

    monkeypatch.setattr(tuning, "measure", measure)


def test_the_fastest_that_passes_is_kept_and_all_are_told(
    source: Source, cache: ArtifactCache, offered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told_speeds(monkeypatch, f32=10.0, f32_fused=9.0, bf16=20.0, bf16_fused=30.0)
    made = tune(source, "openvino", options=Options(precision="auto"), gates=gates(), cache=cache)
    manifest = made.artifact.manifest
    assert (manifest.precision, manifest.preprocess) == ("bf16", "fused")
    rows = {row["candidate"]: row for row in manifest.candidates}
    assert rows.keys() == {"f32", "f32 fused", "bf16", "bf16 fused", "f16", "f16 fused"}
    assert rows["f16"]["reason"] == "no such unit"
    assert rows["f16"]["parity"] == "fail"
    assert [name for name, row in rows.items() if row["kept"]] == ["bf16 fused"]


def test_lower_precision_is_not_taken_for_faster(
    source: Source, cache: ArtifactCache, offered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told_speeds(monkeypatch, f32=10.0, f32_fused=9.0, bf16=8.0, bf16_fused=7.0)
    made = tune(source, "openvino", options=Options(), gates=gates(), cache=cache)
    assert (made.artifact.manifest.precision, made.artifact.manifest.preprocess) == ("f32", "host")


def test_a_second_time_nothing_is_compiled_or_measured(
    source: Source, cache: ArtifactCache, offered: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told_speeds(monkeypatch, f32=10.0, f32_fused=9.0, bf16=20.0, bf16_fused=19.0)
    first = tune(source, "openvino", options=Options(), gates=gates(), cache=cache)
    offered |= dict.fromkeys(offered, TargetError("compiled again"))
    monkeypatch.setattr(tuning, "measure", None)
    forbidding = ArtifactCache(tmp_path / "cache", KEY, forbid_compiling=True)
    second = tune(source, "openvino", options=Options(), gates=gates(), cache=forbidding)
    assert second.hit
    assert second.artifact.manifest == first.artifact.manifest


def test_where_nothing_passes_every_reason_is_told(
    source: Source, cache: ArtifactCache, offered: dict[str, Any]
) -> None:
    offered |= {"f32": TargetError("too large"), "bf16": TargetError("too small")}
    with pytest.raises(GateError, match=r"f32: too large.*bf16: too small.*f16: no such unit"):
        tune(source, "openvino", options=Options(), gates=gates(), cache=cache)


def test_int8_without_calibration_is_told_and_left_out(
    source: Source, cache: ArtifactCache, offered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    offered["int8"] = None
    told_speeds(monkeypatch, f32=10.0, f32_fused=9.0, bf16=20.0, bf16_fused=19.0)
    held = gates()
    held = replace(held, pictures=replace(held.pictures, is_real=False))
    made = tune(source, "openvino", options=Options(), gates=held, cache=cache)
    row = next(row for row in made.artifact.manifest.candidates if row["candidate"] == "int8")
    assert "no calibration pictures" in row["reason"]


def test_candidates_are_really_measured_in_turns(
    source: Source, cache: ArtifactCache, offered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "TURN_S", 0.005)
    made = tune(source, "openvino", options=Options(), gates=gates(), cache=cache)
    passed = [row for row in made.artifact.manifest.candidates if row["parity"] == "pass"]
    assert len(passed) == 4
    for row in passed:
        low, high = row["spread"]
        assert 0 < low <= row["images_per_s"] <= high
    assert max(passed, key=lambda row: row["images_per_s"])["kept"]
