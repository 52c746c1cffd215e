"""Compares two calm views of one place: did the row in it step back, and by how many products?

A row that loses its front product shows the next one a row pitch further away; two pitches are two products. Where that one
appears follows from the pinhole, the camera's tilt and the product's proportions; the mean boxes of both views are held
against every number of steps. (Registering the prints was tried first: cans stand turned, and their print shifts with them.)
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.apps.cooler.shelf import Run
from fleetsight.vision.image import Image

ROW_STEPS = np.round(np.arange(-4.2, 4.21, 0.1), 1)
STEP_NUMBERS = np.arange(-4, 5)
STEP_SLACK = 0.2
"""Products stand up to a fifth of a pitch off: gaps of 3 to 10 mm and a hand's error."""
UNMOVED_MIN = 0.965
"""A print that moved by 2 px correlates with itself below this; noise and compression leave 0.98 and more."""
PLAIN_LEVELS = 4.0
"""A product whose grey levels vary less than this has no print to compare."""
STILL_EDGES_PX = 0.5
"""Mean edges of a product that did not move stay this close in a picture 640 px wide."""
SHIFT_MAX_PX = 6
"""A returned product stands within this of where it was taken; further off it is found by its edges."""
SHIFTED_LIKENESS = 0.8
"""Below this correlation a print is not found again, so nothing is known of its shift."""
TURNED_PX = 0.3
"""A product that was put down again stands at least this far off: what nobody touched repeats within 0.2 px, or else is as alike as before."""
TURNED_LIKENESS = 0.965
"""Of 106 rendered views before which a hand lingered and nothing happened one was less alike and as far off, of 7 returned products 4."""
TURNED_RESPONSE = 0.95
"""Height of the peak of the phase correlation below which more than the position of the print differs: something hides a part of it."""
TILTS_RAD = (0.0, 0.2, 0.45, 0.7, 0.95)
"""Tilts tried when the camera is not calibrated: from a level camera to one above the door."""
PRINT_NOISE = 0.02
"""Noise and compression keep the same print at the same spot this far from a correlation of 1."""
PRINT_UPSAMPLE = 2
PRINT_SEARCH = np.array([4, 1])
"""Pixels of the upsampled picture by which a print may be off: sideways a product stands freely, in height it does not."""
LEVEL_RAD = 0.5
"""A camera that looks down further than this looks from above."""
HFOV_DEFAULT_DEG = 62.0
"""Horizontal field of view assumed without calibration; an error of 20 % scales the step by about as much."""


@dataclass(frozen=True)
class Lens:
    """Pinhole of the clip.

    Attributes:
        focal_px: focal length in pixels.
        width_px: width of the picture.
        height_px: height of the picture.
        tilts_rad: how far the camera may look down; one value when it is calibrated.
    """

    focal_px: float
    width_px: int
    height_px: int
    tilts_rad: tuple[float, ...] = TILTS_RAD

    @staticmethod
    def assumed(width_px: int, height_px: int) -> "Lens":
        """A lens of usual width for a camera that is not calibrated.

        Args:
            width_px: width of the picture.
            height_px: height of the picture.
        Returns:
            The lens.
        """
        focal = width_px / 2 / np.tan(np.radians(HFOV_DEFAULT_DEG) / 2)
        return Lens(focal_px=float(focal), width_px=width_px, height_px=height_px)


@dataclass(frozen=True)
class Extent:
    """Proportions of a product as it stands.

    Attributes:
        pitch: distance to the next one of its row, in units of its width.
        slimness: width over height; 0 when unknown.
    """

    pitch: float = 1.05
    slimness: float = 0.0


def mean_picture(run: Run) -> NDArray[np.float32] | None:
    """Mean of a run's pictures: less noise than one frame.

    Args:
        run: a calm view.
    Returns:
        (h, w, 3) float32, 0-255; None when the run kept no picture.
    """
    if not run.pictures:
        return None
    mean: NDArray[np.float32] = np.mean(np.stack(run.pictures).astype(np.float32), axis=0, dtype=np.float32)
    return mean


@dataclass(frozen=True)
class View:
    """A calm view of a place.

    Attributes:
        box_xyxy_px: (4,) its product, in pixels of the frame.
        picture: (h, w, 3) float32 mean picture of the window, None when there is none.
        window_xyxy_px: (4,) the window in the frame.
    """

    box_xyxy_px: NDArray[np.float32]
    picture: NDArray[np.float32] | None
    window_xyxy_px: NDArray[np.int64]


def print_votes(before: View, after: View, *, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlate the earlier print with the later picture at each number of steps.

    Args:
        before: the earlier view.
        after: the later view of the same window.
        predicted: (len(ROW_STEPS), 4) boxes of the product at every step.
    Returns:
        (9,) in [0, 1]; where a step would lie outside of the window, the least of the others stands in.
    """
    votes = np.full(len(STEP_NUMBERS), np.nan)
    if before.picture is None or after.picture is None:
        return np.zeros(len(STEP_NUMBERS))
    up = PRINT_UPSAMPLE
    origin = np.tile(before.window_xyxy_px[:2], 2)
    x0, y0, x1, y1 = np.rint(before.box_xyxy_px - origin).astype(int)
    template = before.picture[max(0, y0) : y1, max(0, x0) : x1]
    if min(template.shape[:2]) < 8 or float(template.std()) < PLAIN_LEVELS:
        return np.zeros(len(STEP_NUMBERS))
    rounded = np.array([max(0, x0), max(0, y0), x1, y1]) + origin - before.box_xyxy_px
    grey = cv2.cvtColor(template, cv2.COLOR_RGB2GRAY).astype(np.float32, copy=False)
    wide = cv2.resize(cv2.cvtColor(after.picture, cv2.COLOR_RGB2GRAY), None, fx=up, fy=up)
    scene = wide.astype(np.float32, copy=False)
    for index, number in enumerate(STEP_NUMBERS):
        tries = [
            _correlation(grey, scene, up * (predicted[i] + rounded - origin))
            for i in np.flatnonzero(np.abs(ROW_STEPS - number) <= STEP_SLACK + 1e-9)[::2]
        ]
        votes[index] = np.nan if np.isnan(tries).all() else np.nanmax(tries)
    return np.asarray(np.nan_to_num(votes, nan=0.0 if np.isnan(votes).all() else float(np.nanmin(votes))))


def _correlation(template: NDArray[np.float32], scene: NDArray[np.float32], box: NDArray[np.float64]) -> float:
    """Best correlation of a print drawn into a box of the scene, give or take PRINT_SEARCH; nan outside of the scene."""
    wide, high = (int(v) for v in np.rint([box[2] - box[0], box[3] - box[1]]))
    left, top = (int(v) for v in np.rint(box[:2]) - PRINT_SEARCH)
    right, bottom = left + wide + 2 * PRINT_SEARCH[0], top + high + 2 * PRINT_SEARCH[1]
    field = scene[max(0, top) : bottom, max(0, left) : right]
    if min(wide, high) < 8 or field.shape[0] < high or field.shape[1] < wide:
        return float("nan")
    sized = cv2.resize(template, (wide, high), interpolation=cv2.INTER_LINEAR)
    return max(0.0, float(cv2.matchTemplate(field, sized, cv2.TM_CCOEFF_NORMED).max()))


def row_boxes(box_xyxy_px: NDArray[np.float32], lens: Lens, *, tilt_rad: float, extent: Extent) -> NDArray[np.float64]:
    """Predict where a row's front product stands after every step.

    Args:
        box_xyxy_px: (4,) where it stands now.
        lens: the camera.
        tilt_rad: how far the camera looks down.
        extent: proportions of the product.
    Returns:
        (len(ROW_STEPS), 4) float64 boxes in pixels of the frame.
    """
    x0, y0, x1, y1 = (float(v) for v in box_xyxy_px)
    middle = np.array([lens.width_px / 2, lens.height_px / 2])
    foot = np.array([(x0 + x1) / 2, y1])
    width = max(1.0, x1 - x0)
    if extent.slimness > 0.0:
        view = tilt_rad + np.arctan(((y0 + y1) / 2 - middle[1]) / lens.focal_px)
        tall = np.cos(view) / extent.slimness + abs(np.sin(view)) * extent.pitch * 0.9
        # Neighbours hide a part of the width, and side faces and leaning add to it: the height tells the distance better.
        width = float(np.clip((y1 - y0) / tall, 0.5 * width, 1.6 * width))
    start = np.array([*(foot - middle), lens.focal_px]) / width
    row = extent.pitch * np.array([0.0, -np.sin(tilt_rad), np.cos(tilt_rad)])
    points = start + ROW_STEPS[:, None] * row
    depth = np.maximum(points[:, 2], 0.3 * start[2])
    feet = points[:, :2] / depth[:, None] * lens.focal_px + middle
    scale = start[2] / depth
    edges = np.array([x0 - foot[0], y0 - foot[1], x1 - foot[0], 0.0])
    return np.asarray(np.concatenate([feet, feet], axis=1) + scale[:, None] * edges, dtype=np.float64)


def unmoved(before: View, after: View) -> bool:
    """Whether two views show the same print at the same spot.

    Args:
        before: the earlier view.
        after: the later view of the same window.
    Returns:
        True when the correlation without any movement is above UNMOVED_MIN; without a print the edges decide.
    """
    still = bool(np.abs(after.box_xyxy_px - before.box_xyxy_px).max() < STILL_EDGES_PX)
    if before.picture is None or after.picture is None:
        return still
    x0, y0, x1, y1 = (round(float(v)) for v in local_box(before.box_xyxy_px, before.window_xyxy_px))
    first, second = before.picture[y0:y1, x0:x1], after.picture[y0:y1, x0:x1]
    if first.size < 100 or float(first.std()) < PLAIN_LEVELS:
        return still
    return float(cv2.matchTemplate(first, second, cv2.TM_CCOEFF_NORMED)[0, 0]) >= UNMOVED_MIN


def print_shift_px(before: View, after: View) -> float:
    """How far a print moved without changing its size.

    Args:
        before: the earlier view.
        after: the later view of the same window.
    Returns:
        Whole pixels, |x| + |y|; 0 where the print correlates best with itself unmoved, or is not found again.
    """
    if before.picture is None or after.picture is None:
        return 0.0
    x0, y0, x1, y1 = (round(float(v)) for v in local_box(before.box_xyxy_px, before.window_xyxy_px))
    left, top = max(0, x0 - SHIFT_MAX_PX), max(0, y0 - SHIFT_MAX_PX)
    template = before.picture[y0:y1, x0:x1]
    field = after.picture[top : y1 + SHIFT_MAX_PX, left : x1 + SHIFT_MAX_PX]
    if min(template.shape[:2]) < 6 or float(template.std()) < PLAIN_LEVELS:
        return 0.0
    likeness = cv2.matchTemplate(field, template, cv2.TM_CCOEFF_NORMED)
    y, x = np.unravel_index(int(likeness.argmax()), likeness.shape)
    if likeness[y, x] < SHIFTED_LIKENESS:
        return 0.0
    return float(abs(int(x) - (x0 - left)) + abs(int(y) - (y0 - top)))


def turned(before: View, after: View) -> bool:
    """Whether a print stands a fraction of a pixel off and no more like itself: the same product, put down again.

    Args:
        before: the earlier view.
        after: the later view of the same window.
    Returns:
        False where there is no print to compare.
    """
    if before.picture is None or after.picture is None:
        return False
    x0, y0, x1, y1 = (round(float(v)) for v in local_box(before.box_xyxy_px, before.window_xyxy_px))
    pictures = before.picture[y0:y1, x0:x1], after.picture[y0:y1, x0:x1]
    first, second = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures)
    if min(first.shape) < 10 or float(first.std()) < PLAIN_LEVELS:
        return False
    window = cv2.createHanningWindow((first.shape[1], first.shape[0]), cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(first, second, window)
    alike = float(cv2.matchTemplate(first, second, cv2.TM_CCOEFF_NORMED)[0, 0])
    return response >= TURNED_RESPONSE and float(np.hypot(x, y)) >= TURNED_PX and alike < TURNED_LIKENESS


def local_box(box_xyxy_px: NDArray[np.float32], window_xyxy_px: NDArray[np.int64]) -> NDArray[np.float32]:
    """A box in pixels of the frame as pixels of a window.

    Args:
        box_xyxy_px: (4,) in the frame.
        window_xyxy_px: (4,) the window in the frame.
    Returns:
        (4,) float32 in the window, clipped to it.
    """
    x0, y0, x1, y1 = (int(v) for v in window_xyxy_px)
    shifted = np.clip(box_xyxy_px - np.array([x0, y0, x0, y0]), 0, [x1 - x0, y1 - y0] * 2)
    result: NDArray[np.float32] = shifted.astype(np.float32)
    return result


def product_pictures(run: Run, window_xyxy_px: NDArray[np.int64], *, margin: float = 0.04) -> list[Image]:
    """Crops of the product in a run, as the embedder wants them.

    Args:
        run: a run with a product.
        window_xyxy_px: (4,) window of the place.
        margin: share of the box added on each side.
    Returns:
        The mean crop first, then single frames; empty when there is no product.
    """
    if run.box_xyxy_px is None or not run.pictures:
        return []
    x0, y0, x1, y1 = (float(v) for v in local_box(run.box_xyxy_px, window_xyxy_px))
    mx, my = margin * (x1 - x0), margin * (y1 - y0)
    height, width = run.pictures[0].shape[:2]
    left, top = max(0, round(x0 - mx)), max(0, round(y0 - my))
    right, bottom = min(width, round(x1 + mx)), min(height, round(y1 + my))
    if right - left < 4 or bottom - top < 4:
        return []
    mean = np.clip(np.mean(np.stack(run.pictures), axis=0), 0, 255).astype(np.uint8)
    pictures = [mean, *run.pictures[:: max(1, len(run.pictures) // 3)][:3]]
    return [np.ascontiguousarray(picture[top:bottom, left:right]) for picture in pictures]
