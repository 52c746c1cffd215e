"""Black, covered and frozen pictures are found; dim, flickering and half-hidden ones are not."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from fleetsight.video.decode import ClipReader
from fleetsight.video.encode import write_clip
from fleetsight.video.health import HealthSpan, PictureHealth
from fleetsight.video.timeline import NS
from fleetsight.vision.image import Image

RATE_HZ = 30
GENERATOR = np.random.default_rng(5)


def shelf(index: int, *, noise: float = 3.0) -> Image:
    """A still shelf as a sensor sees it: bays of different brightness, with noise."""
    bays = np.kron(np.random.default_rng(2).integers(40, 220, (9, 16, 3)), np.ones((20, 20, 1)))
    return np.clip(bays + GENERATOR.normal(0, noise, bays.shape), 0, 255).astype(np.uint8)


def hand(image: Image, radius_px: int) -> Image:
    return np.asarray(cv2.circle(image.copy(), (160, 90), radius_px, (190, 140, 120), -1), np.uint8)


def examine(frames: Iterable[Image], start: int = 0) -> tuple[HealthSpan, ...]:
    health = PictureHealth()
    for index, image in enumerate(frames, start):
        health.update(image, index * NS // RATE_HZ)
    return health.report()


def test_a_black_picture_is_found_with_its_times() -> None:
    frames = [
        shelf(i) if not 30 <= i < 75 else np.clip(GENERATOR.normal(3, 2, (180, 320, 3)), 0, 255).astype(np.uint8)
        for i in range(120)
    ]
    (span,) = examine(frames)
    assert span.kind == "black"
    assert span.start_s == pytest.approx(1.0, abs=0.04)
    assert span.end_s == pytest.approx(74 / 30, abs=0.04)


def test_a_covered_lens_is_found() -> None:
    glow = np.linspace(40, 70, 640)[None, :, None] * np.array([1.0, 0.7, 0.6])
    cover = [np.clip(glow + GENERATOR.normal(0, 3, (360, 640, 3)), 0, 255).astype(np.uint8) for _ in range(60)]
    scene = [np.repeat(np.repeat(shelf(i), 2, axis=0), 2, axis=1) for i in range(30)]
    (span,) = examine([*scene, *cover])
    assert span.kind == "covered"
    assert span.start_s == pytest.approx(1.0, abs=0.04)


def test_a_frozen_picture_is_found() -> None:
    frames = [shelf(i) for i in range(60)]
    (span,) = examine([*frames, *[frames[-1]] * 120, *(shelf(i) for i in range(30))])
    assert span.kind == "frozen"
    assert span.start_s == pytest.approx(59 / 30)
    assert span.end_s == pytest.approx(179 / 30)


@pytest.mark.parametrize("crf", [18, 28])
def test_a_frozen_picture_is_found_after_encoding(tmp_path: Path, crf: int) -> None:
    frames = [shelf(i) for i in range(40)]
    write_clip(tmp_path / "clip.mp4", [*frames, *[frames[-1]] * 120], rate_hz=Fraction(RATE_HZ), crf=crf)
    health = PictureHealth()
    with ClipReader(tmp_path / "clip.mp4") as reader:
        for frame in reader:
            health.update(frame.image, frame.pts_ns)
    assert [span.kind for span in health.report()] == ["frozen"]


@pytest.mark.parametrize(
    "look",
    [
        shelf,
        lambda i: np.asarray(shelf(i) * (0.15 + 0.05 * (i % 2)), np.uint8),
        lambda i: hand(shelf(i), 85),
        lambda i: hand(shelf(i), 160) if 30 <= i < 50 else shelf(i),
        lambda i: shelf(0, noise=0) if i % 60 else shelf(i),
        lambda i: np.roll(shelf(i, noise=0), i, axis=1),
    ],
    ids=[
        "still",
        "dim flicker",
        "large hand",
        "hand right before the lens",
        "still for two seconds",
        "moving without noise",
    ],
)
def test_a_picture_in_order_is_left_alone(look: Callable[[int], Image]) -> None:
    assert examine(look(i) for i in range(150)) == ()


@pytest.mark.parametrize("kind", ["black", "frozen"])
def test_a_clip_that_is_nothing_else_is_found_however_short(kind: str) -> None:
    image = np.zeros((180, 320, 3), np.uint8) if kind == "black" else shelf(0)
    assert [span.kind for span in examine([image] * 10)] == [kind]


def test_no_picture_and_tiny_pictures_do_no_harm() -> None:
    assert PictureHealth().report() == ()
    assert examine([np.full((2, 2, 3), 200, np.uint8)] * 3) != ()


@pytest.mark.parametrize("name", ["bottles.mp4", "dog.mp4"])
def test_real_clips_are_in_order(shared_dir: Path, name: str) -> None:
    health = PictureHealth()
    with ClipReader(shared_dir / "data" / "clips" / name) as reader:
        for frame in reader:
            health.update(frame.image, frame.pts_ns)
    assert health.report() == ()
