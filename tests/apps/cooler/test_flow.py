"""Settling whole clips: the real one with public weights, and evidence that must never be charged."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fleetsight.accel.detector import Detector
from fleetsight.accel.importing.importer import ImportOptions, import_onnx
from fleetsight.accel.importing.labels import COCO
from fleetsight.apps.cooler.decide import Decision
from fleetsight.apps.cooler.events import Kind, Role
from fleetsight.apps.cooler.flow import Engine, settle
from fleetsight.apps.cooler.models import load_detector
from fleetsight.apps.cooler.show import report
from fleetsight.apps.cooler.show.evidence import write_evidence
from fleetsight.catalog.sku import CatalogError
from fleetsight.video.encode import write_clip
from fleetsight.vision.image import Image

TOLERANCE_S = 1.0


@pytest.fixture(scope="module")
def bottles(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    store = tmp_path_factory.mktemp("models")
    weights = shared_dir / "models/yolox_nano.onnx"
    model = import_onnx(weights, ImportOptions("yolox-nano", "yolox", COCO), store_dir=store)
    return Engine.for_labels(Detector.open(model), ("bottle",))


@pytest.fixture(scope="module")
def products() -> Engine:
    return Engine.for_labels(load_detector(), ("product",))


def quiet(seconds: float, *, level: int = 120) -> Iterator[Image]:
    rng = np.random.default_rng(1)
    for _ in range(round(seconds * 20)):
        yield np.clip(rng.normal(level, 3, (180, 320, 3)), 0, 255).astype(np.uint8)


def test_the_real_clip_gives_its_four_events_and_a_basket_of_two(bottles: Engine, shared_dir: Path) -> None:
    truth = json.loads((shared_dir / "data/clips/bottles.truth.json").read_text(encoding="utf-8"))
    rate_hz = Fraction(truth["rate_hz"])
    settlement = settle(shared_dir / "data/clips/bottles.mp4", bottles)
    assert settlement.basket == {"bottle": 2}
    assert settlement.decision is Decision.CHARGE
    assert [str(e.kind) for e in settlement.events] == [e["kind"] for e in truth["events"]]
    for event, true in zip(settlement.events, truth["events"], strict=True):
        low, high = float(true["first_frame"] / rate_hz), float(true["last_frame"] / rate_hz)
        assert low - TOLERANCE_S <= event.at_s <= high + TOLERANCE_S


def test_evidence_is_a_playable_clip_and_a_strip_for_each_event(
    bottles: Engine, shared_dir: Path, tmp_path: Path
) -> None:
    settlement = settle(shared_dir / "data/clips/bottles.mp4", bottles)
    written = write_evidence(settlement, tmp_path)
    assert set(written) == {"clip", "event_0", "event_1", "event_2", "event_3"}
    assert all((tmp_path / name).stat().st_size > 1000 for name in written.values())
    again = settle(tmp_path / written["clip"], bottles)
    assert again.summary.frames == settlement.summary.frames


def test_the_json_has_the_keys_that_scripts_rely_on(bottles: Engine, shared_dir: Path) -> None:
    value = report.as_json(settle(shared_dir / "data/clips/bottles.mp4", bottles))
    assert {
        "clip",
        "frames",
        "decoded_fraction",
        "degraded",
        "events",
        "basket",
        "decision",
        "confidence",
        "stages_s",
        "frames_per_s",
    } <= set(value)
    assert {"kind", "sku", "count", "at_s", "window_s", "confidence", "rule", "alternatives"} <= set(value["events"][0])
    json.dumps(value)


def test_a_truncated_clip_is_degraded_and_never_charged(bottles: Engine, shared_dir: Path, tmp_path: Path) -> None:
    from fleetsight.video.decode import ClipReader

    with ClipReader(shared_dir / "data/clips/bottles.mp4") as reader:
        frames = [frame.image for frame in reader][:300]
    whole = tmp_path / "whole.mkv"
    write_clip(whole, frames, rate_hz=Fraction(30))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    settlement = settle(cut, bottles)
    assert 0 < settlement.summary.frames < 300
    assert settlement.degraded
    assert settlement.decision is Decision.REVIEW


@pytest.mark.parametrize(("name", "level"), [("black", 0), ("flat", 128)])
def test_a_picture_without_a_shelf_is_never_charged(products: Engine, tmp_path: Path, name: str, level: int) -> None:
    clip = tmp_path / f"{name}.mp4"
    frame: Image = np.full((180, 320, 3), level, dtype=np.uint8)
    write_clip(clip, (frame for _ in range(60)), rate_hz=Fraction(20))
    settlement = settle(clip, products)
    assert settlement.degraded
    assert settlement.decision is Decision.REVIEW
    assert settlement.basket == {}


def test_a_quiet_clip_is_released_and_names_no_event(products: Engine, tmp_path: Path) -> None:
    clip = tmp_path / "noise.mp4"
    write_clip(clip, quiet(2.0), rate_hz=Fraction(20))
    settlement = settle(clip, products, role=Role.SHOPPER)
    assert not any(event.kind is Kind.TAKE for event in settlement.events)
    assert settlement.decision is not Decision.CHARGE


def test_labels_that_the_detector_does_not_know_are_refused(products: Engine) -> None:
    with pytest.raises(CatalogError, match="no label cola"):
        Engine.for_labels(products.detector, ("cola",))
