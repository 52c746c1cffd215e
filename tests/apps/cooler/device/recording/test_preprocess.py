"""Pictures are scaled down, never up, and faces are blurred when told to."""

from collections.abc import Sequence

import numpy as np
import pytest

from fleetsight.apps.cooler.device.recording.faces import Box
from fleetsight.apps.cooler.device.recording.preprocess import RecordingConfig, prepared, stored_size
from fleetsight.vision.image import Image
from tests.apps.cooler.device.stand import scene


@pytest.mark.parametrize(
    ("size_wh", "height_px", "stored"),
    [
        ((1280, 720), 360, (640, 360)),
        ((640, 360), 360, (640, 360)),
        ((320, 180), 360, (320, 180)),
        ((641, 361), 361, (640, 360)),
        ((1919, 1079), 361, (642, 360)),
        ((3, 3), 360, (2, 2)),
    ],
)
def test_the_stored_size_is_even_keeps_the_aspect_and_never_grows(
    size_wh: tuple[int, int], height_px: int, stored: tuple[int, int]
) -> None:
    assert stored_size(size_wh, height_px) == stored


def test_a_picture_of_the_right_size_is_not_copied() -> None:
    image = scene(0)
    assert prepared(image, RecordingConfig(), faces=None) is image


class Finder:
    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def find(self, image: Image) -> Sequence[Box]:
        self.sizes.append(image.shape)
        return [(0, 0, 40, 40)]


def test_faces_are_looked_for_in_the_full_picture_and_only_when_told() -> None:
    finder, image = Finder(), scene(0, width=160, height=120)
    config = RecordingConfig(clip_height_px=60)
    assert prepared(image, config, faces=finder).shape == (60, 80, 3)
    assert finder.sizes == []
    blurred = prepared(image, RecordingConfig(blur_faces=True, clip_height_px=60), faces=finder)
    assert finder.sizes == [(120, 160, 3)]
    plain = prepared(image, config, faces=None)
    assert np.array_equal(blurred[:, 30:], plain[:, 30:])
    assert blurred[:18, :18].std() < plain[:18, :18].std()
