"""Whether a product was put down again: a fraction of a pixel off, and less like itself than what nobody touched."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fleetsight.apps.cooler.audit import View, turned

WINDOW = np.array([0, 0, 140, 210])
BOX = np.array([22.0, 25.0, 118.0, 185.0], dtype=np.float32)


def view(*, shift_px: float = 0.0, hidden: bool = False) -> View:
    """A finely printed front, moved by a fraction of a pixel, or half behind something."""
    scene: NDArray[np.float32] = np.full((210, 140, 3), 120, dtype=np.float32)
    fine = np.random.default_rng(3).integers(30, 226, (80, 48, 3)).astype(np.float32)
    scene[25:185, 22:118] = cv2.resize(fine, (96, 160), interpolation=cv2.INTER_NEAREST)
    moved = np.array([[1.0, 0.0, shift_px], [0.0, 1.0, 0.0]])
    warped = cv2.warpAffine(scene, moved, (140, 210), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    scene = warped.astype(np.float32, copy=False)
    if hidden:
        scene[25:185, 22:60] = 60.0
    noise = np.random.default_rng(round(shift_px * 10)).normal(0.0, 1.0, scene.shape)
    return View(BOX, (scene + noise).astype(np.float32), WINDOW)


def test_a_print_that_stands_a_fraction_of_a_pixel_off_was_put_down_again() -> None:
    assert turned(view(), view(shift_px=0.7))


@pytest.mark.parametrize("later", [view(), view(shift_px=0.1)])
def test_a_print_that_nobody_moved_was_not(later: View) -> None:
    assert not turned(view(), later)


def test_a_print_of_which_something_hides_a_part_was_not() -> None:
    assert not turned(view(), view(hidden=True))


def test_nothing_is_said_without_pictures() -> None:
    assert not turned(View(BOX, None, WINDOW), view())
