"""Compares two calm views of one place and says what must have happened in between.

The print of the front product is searched in the later view at all plausible sizes (registration). Size and position of
the match give the product's movement in space in units of its own width, which needs the focal length only: a point seen
at (x, y) on a product w pixels wide lies at W/w * (x, y, f). A row that loses its front product shows the next one a
row pitch further away; two pitches are two products.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.apps.cooler.shelf import Run
from fleetsight.vision.image import Image

SCALES = np.exp(np.arange(np.log(0.62), np.log(1.62), 0.016)).astype(np.float64)
"""Sizes searched: three pitches of 80 mm at 700 mm make 0.74; steps of 1.6 % resolve a fifth of a pitch at 1200 mm."""
UPSAMPLE = 2
REFINE_STEPS = 40
REFINE_LOG_SCALE = 0.08
"""A refinement that changes the size by more than this went astray."""
PRINT_INSET = 0.10
"""Share cut off each side of a box before matching, so that background at its rim does not vote."""
MATCH_MIN = 0.55
"""Below this correlation the two views do not show the same print."""
UNMOVED_MIN = 0.965
"""A print that moved by 2 px correlates with itself below this; noise and compression leave 0.98 and more."""
HFOV_DEFAULT_DEG = 62.0
"""Horizontal field of view assumed without calibration; an error of 20 % scales the step by about as much."""


@dataclass(frozen=True)
class Lens:
    """Pinhole of the clip: focal length and picture size in pixels."""

    focal_px: float
    width_px: int
    height_px: int

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
class Shift:
    """How a print moved between two views.

    Attributes:
        scale: size after over size before.
        dx_px: movement of its centre to the right.
        dy_px: movement of its centre downwards.
        score: normalised correlation of the match, -1 to 1.
    """

    scale: float
    dx_px: float
    dy_px: float
    score: float


def mean_picture(run: Run) -> NDArray[np.float32]:
    """Mean of a run's pictures: less noise than one frame.

    Args:
        run: a run with at least one picture.
    Returns:
        (h, w, 3) float32, 0-255.
    """
    mean: NDArray[np.float32] = np.mean(np.stack(run.pictures).astype(np.float32), axis=0, dtype=np.float32)
    return mean


def register(
    before: NDArray[np.float32], after: NDArray[np.float32], *, box_xyxy_px: NDArray[np.float32]
) -> Shift | None:
    """Find the print of one view in another view of the same window.

    Args:
        before: (h, w, 3) float32 window.
        after: (h, w, 3) float32 window, same size.
        box_xyxy_px: (4,) the product in `before`, in pixels of the window.
    Returns:
        The best match, or None when the print is too small or too plain to match.
    """
    x0, y0, x1, y1 = box_xyxy_px
    inset_x, inset_y = PRINT_INSET * (x1 - x0), PRINT_INSET * (y1 - y0)
    cut = np.rint([x0 + inset_x, y0 + inset_y, x1 - inset_x, y1 - inset_y]).astype(int)
    cut = np.clip(cut, 0, [before.shape[1], before.shape[0]] * 2)
    template = before[cut[1] : cut[3], cut[0] : cut[2]]
    if template.shape[0] < 6 or template.shape[1] < 6 or float(template.std()) < 4.0:
        return None
    up = UPSAMPLE
    field = cv2.resize(after, None, fx=up, fy=up, interpolation=cv2.INTER_CUBIC)
    centre = np.array([(cut[0] + cut[2]) / 2, (cut[1] + cut[3]) / 2])
    best: Shift | None = None
    for scale in SCALES:
        width = round(template.shape[1] * up * scale)
        height = round(template.shape[0] * up * scale)
        if width > field.shape[1] or height > field.shape[0] or min(width, height) < 8:
            continue
        sized = cv2.resize(template, (width, height), interpolation=cv2.INTER_AREA if up * scale < 1 else 1)
        match = cv2.matchTemplate(field, sized, cv2.TM_CCOEFF_NORMED)
        _, score, _, (left, top) = cv2.minMaxLoc(match)
        if best is None or score > best.score:
            found = np.array([(left + width / 2) / up, (top + height / 2) / up])
            dx, dy = found - centre
            true_scale = (width / template.shape[1] + height / template.shape[0]) / 2 / up
            best = Shift(scale=float(true_scale), dx_px=float(dx), dy_px=float(dy), score=float(score))
    return None if best is None else _refined(best, (before, after), cut)


def _refined(shift: Shift, views: tuple[NDArray[np.float32], NDArray[np.float32]], cut: NDArray[np.int64]) -> Shift:
    """Affine refinement below the grid of sizes (enhanced correlation, Evangelidis and Psarakis 2008)."""
    before, after = (cv2.cvtColor(view, cv2.COLOR_RGB2GRAY) for view in views)
    x0, y0, x1, y1 = (int(v) for v in cut)
    up = UPSAMPLE
    template = cv2.resize(before[y0:y1, x0:x1], None, fx=up, fy=up, interpolation=cv2.INTER_CUBIC)
    field = cv2.resize(after, None, fx=up, fy=up, interpolation=cv2.INTER_CUBIC)
    half = np.array([template.shape[1] / 2, template.shape[0] / 2])
    centre = up * np.array([(x0 + x1) / 2 + shift.dx_px, (y0 + y1) / 2 + shift.dy_px])
    warp = np.array([[shift.scale, 0, 0], [0, shift.scale, 0]], dtype=np.float32)
    warp[:, 2] = centre - shift.scale * half
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, REFINE_STEPS, 1e-4)
    try:
        score, fine = cv2.findTransformECC(template, field, warp, cv2.MOTION_AFFINE, stop, None, 3)
    except cv2.error:  # it did not converge: the grid's answer stands
        return shift
    scale = float(np.sqrt(abs(np.linalg.det(fine[:, :2].astype(np.float64)))))
    moved = fine[:, :2] @ half + fine[:, 2] - up * np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    if score < shift.score - 0.05 or abs(np.log(scale / shift.scale)) > REFINE_LOG_SCALE:
        return shift
    return Shift(scale, float(moved[0]) / up, float(moved[1]) / up, max(float(score), shift.score))


def step_in_widths(
    shift: Shift, box_xyxy_px: NDArray[np.float32], *, lens: Lens, width_px: float | None = None
) -> tuple[float, float]:
    """Movement in space of a product, in units of its width.

    A row runs away from the camera and, seen from above, up or down in the picture, but not sideways. Sideways movement is
    kept apart: a can that was put down turned shows its print shifted.

    Args:
        shift: how its print moved.
        box_xyxy_px: (4,) where it stood, pixels of the picture.
        lens: the pinhole.
        width_px: its width when the box shows a part of it only; None takes the box's.
    Returns:
        along: signed movement along the row, away from the camera positive.
        aside: movement to the right.
    """
    x0, y0, x1, y1 = (float(v) for v in box_xyxy_px)
    width = width_px or x1 - x0
    centre = np.array([(x0 + x1 - lens.width_px) / 2, (y0 + y1 - lens.height_px) / 2])
    before = np.array([*centre, lens.focal_px]) / width
    after = np.array([centre[0] + shift.dx_px, centre[1] + shift.dy_px, lens.focal_px]) / (width * shift.scale)
    moved = after - before
    away = float(np.linalg.norm(after) - np.linalg.norm(before))
    return float(np.copysign(np.hypot(moved[1], moved[2]), away)), float(moved[0])


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
