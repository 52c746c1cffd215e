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
STEP_PRIOR = np.array([0.002, 0.01, 0.04, 0.3, 1.0, 0.3, 0.04, 0.01, 0.002])
"""How often a touched row steps by -4 … 4 (our own choice; most touches take one or nothing)."""
EDGE_SIGMA_PX = 1.1
"""Error of a mean detection edge in a picture 640 px wide."""
EDGE_SIGMA_SHARE = 0.02
EDGE_LOSS_MAX = 4.0
"""An edge that is off by more sigmas is hidden, not wrong."""
UNMOVED_MIN = 0.965
"""A print that moved by 2 px correlates with itself below this; noise and compression leave 0.98 and more."""
TILTS_RAD = (0.0, 0.2, 0.45, 0.7, 0.95)
"""Tilts tried when the camera is not calibrated: from a level camera to one above the door."""
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


def mean_picture(run: Run) -> NDArray[np.float32]:
    """Mean of a run's pictures: less noise than one frame.

    Args:
        run: a run with at least one picture.
    Returns:
        (h, w, 3) float32, 0-255.
    """
    mean: NDArray[np.float32] = np.mean(np.stack(run.pictures).astype(np.float32), axis=0, dtype=np.float32)
    return mean


@dataclass(frozen=True)
class RowStep:
    """How many row pitches the front of a row went back.

    Attributes:
        steps: whole pitches, away from the shopper positive.
        probability: of that number among all numbers tried.
        aside: movement to the right in widths of the product.
    """

    steps: int
    probability: float
    aside: float


def row_step(
    before_xyxy_px: NDArray[np.float32], after_xyxy_px: NDArray[np.float32], *, lens: Lens, extent: Extent
) -> RowStep:
    """Explain two boxes of one place as a row that went back or came forward by whole pitches.

    A product w pixels wide at distance Z shows its base at W/w * (x, y, f); one pitch further it lies on the line of the row,
    which the camera's tilt gives. Each of the four edges votes with a bounded loss, because boards, rails and neighbours hide
    some of them.

    Args:
        before_xyxy_px: (4,) box of the earlier product.
        after_xyxy_px: (4,) box of the later one.
        lens: the camera.
        extent: proportions of the product.
    Returns:
        The most probable number of steps.
    """
    best: tuple[float, NDArray[np.float64]] | None = None
    for tilt_rad in lens.tilts_rad:
        predicted = _row_boxes(before_xyxy_px, lens, tilt_rad, extent=extent)
        sigma = EDGE_SIGMA_PX * lens.width_px / 640 + EDGE_SIGMA_SHARE * float(before_xyxy_px[2] - before_xyxy_px[0])
        off = np.minimum(np.abs(predicted - after_xyxy_px.astype(np.float64)) / sigma, EDGE_LOSS_MAX).sum(axis=1)
        losses = np.array([off[np.abs(ROW_STEPS - n) <= STEP_SLACK + 1e-9].min() for n in STEP_NUMBERS])
        if best is None or losses.min() < best[0]:
            best = (float(losses.min()), losses)
    assert best is not None, "a lens has a tilt"
    weights = np.exp(-best[1]) * STEP_PRIOR
    weights /= weights.sum()
    choice = int(weights.argmax())
    width = max(1.0, float(before_xyxy_px[2] - before_xyxy_px[0]))
    aside = float(after_xyxy_px[0] + after_xyxy_px[2] - before_xyxy_px[0] - before_xyxy_px[2]) / 2 / width
    return RowStep(int(STEP_NUMBERS[choice]), float(weights[choice]), aside)


def _row_boxes(
    box_xyxy_px: NDArray[np.float32], lens: Lens, tilt_rad: float, *, extent: Extent
) -> NDArray[np.float64]:
    """(len(ROW_STEPS), 4) boxes of the same product at every step of its row."""
    x0, y0, x1, y1 = (float(v) for v in box_xyxy_px)
    middle = np.array([lens.width_px / 2, lens.height_px / 2])
    foot = np.array([(x0 + x1) / 2, y1])
    width = max(1.0, x1 - x0)
    if extent.slimness > 0.0:
        view = tilt_rad + np.arctan(((y0 + y1) / 2 - middle[1]) / lens.focal_px)
        tall = np.cos(view) / extent.slimness + abs(np.sin(view)) * extent.pitch * 0.9
        width = max(width, (y1 - y0) / tall)
    start = np.array([*(foot - middle), lens.focal_px]) / width
    row = extent.pitch * np.array([0.0, -np.sin(tilt_rad), np.cos(tilt_rad)])
    points = start + ROW_STEPS[:, None] * row
    depth = np.maximum(points[:, 2], 0.3 * start[2])
    feet = points[:, :2] / depth[:, None] * lens.focal_px + middle
    scale = start[2] / depth
    edges = np.array([x0 - foot[0], y0 - foot[1], x1 - foot[0], 0.0])
    return np.asarray(np.concatenate([feet, feet], axis=1) + scale[:, None] * edges, dtype=np.float64)


def unmoved(before: NDArray[np.float32], after: NDArray[np.float32], *, box_xyxy_px: NDArray[np.float32]) -> bool:
    """Whether two views show the same print at the same spot; much cheaper than a registration.

    Args:
        before: (h, w, 3) float32 window.
        after: (h, w, 3) float32 window, same size.
        box_xyxy_px: (4,) the product in `before`, in pixels of the window.
    Returns:
        True when the correlation without any movement is above UNMOVED_MIN.
    """
    x0, y0, x1, y1 = (round(float(v)) for v in box_xyxy_px)
    first, second = before[y0:y1, x0:x1], after[y0:y1, x0:x1]
    if first.size < 100 or float(first.std()) < 4.0:
        return False
    return float(cv2.matchTemplate(first, second, cv2.TM_CCOEFF_NORMED)[0, 0]) >= UNMOVED_MIN


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
    mean = np.clip(mean_picture(run), 0, 255).astype(np.uint8)
    pictures = [mean, *run.pictures[:: max(1, len(run.pictures) // 3)][:3]]
    return [np.ascontiguousarray(picture[top:bottom, left:right]) for picture in pictures]
