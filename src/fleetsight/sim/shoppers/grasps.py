"""How a hand comes to a product: from which side of the picture, with the palm facing where, closed around what."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.camera import Camera

GRASPS = ("side", "cover", "cradle", "top")
"""From beside it, palm over it, palm behind it with the fingers in front, from its top."""
GRASP_SHARES = (0.33, 0.4, 0.15, 0.12)
STEEP_RAD = 0.5
"""A camera that looks down more than this hangs above the door: shoppers come from the picture's bottom."""
OUTSIDE_MM = 215.0
"""A grip this far outside the picture shows neither hand nor product."""
SHOULDER_MM = 400.0
"""The arm comes from this far beyond the hand's resting place."""
WRAP_ALONG_MM = 60.0
WRAP_ACROSS_MM = 44.0
WRAP_HEIGHT_MM = 40.0
"""A hand closes around at most these half extents of a product."""


@dataclass(frozen=True)
class Entry:
    """Where an arm comes from.

    Attributes:
        side: "bottom", "left", "right" or "top" of the picture.
        outside_mm: (3,) where the hand waits, out of sight.
        shoulder_mm: (3,) the far end of the arm.
    """

    side: str
    outside_mm: NDArray[np.float64]
    shoulder_mm: NDArray[np.float64]


def draw_entry(camera: Camera, point: NDArray[np.float64], *, rng: np.random.Generator, side: str | None) -> Entry:
    """Decide where an arm comes from.

    Args:
        camera: the camera.
        point: (3,) what is reached for.
        rng: the session's generator.
        side: of the picture; None draws it.

    Returns:
        The entry; hand and product are out of sight at `outside_mm`.
    """
    if side is None:
        near = "left" if point[0] < 0 else "right"
        front = camera.pitch_rad <= STEEP_RAD
        side = str(rng.choice(["bottom", near, "top"], p=[0.62, 0.33, 0.05])) if front else "bottom"
    u, v = camera.project(point)[0]
    depth = float(camera.depth(point)[0]) * rng.uniform(0.74, 0.9)
    scale = camera.focal_px / depth
    width, height = camera.width_px, camera.height_px
    margin, further, slant = OUTSIDE_MM * scale, SHOULDER_MM * scale, rng.uniform(-0.5, 0.5)
    if side in {"bottom", "top"}:
        sign, edge = (1.0, height) if side == "bottom" else (-1.0, 0.0)
        rest = np.array([u + slant * 160.0 * scale, edge + sign * margin])
        way = np.array([slant * 0.8, sign])
    else:
        sign, edge = (1.0, width) if side == "right" else (-1.0, 0.0)
        rest = np.array([edge + sign * margin, min(v + rng.uniform(0.0, 0.35) * height, height * 1.05)])
        way = np.array([sign, rng.uniform(0.1, 0.6)])
    return Entry(side, _unproject(camera, rest, depth), _unproject(camera, rest + way * further, 0.93 * depth))


def _unproject(camera: Camera, pixel: NDArray[np.float64], depth_mm: float) -> NDArray[np.float64]:
    x, y = (pixel - [camera.width_px / 2, camera.height_px / 2]) / camera.focal_px * depth_mm
    return np.asarray(camera.position_mm) + np.array([x, y, depth_mm]) @ camera.rotation


def palm_normal(grasp: str, camera: Camera, *, point: NDArray[np.float64], right: bool) -> NDArray[np.float64]:
    """Where the palm faces.

    Args:
        grasp: one of `GRASPS`.
        camera: the camera.
        point: (3,) what is reached for.
        right: a right hand.

    Returns:
        (3,) not yet unit, not yet square to the fingers.
    """
    view = point - np.asarray(camera.position_mm)
    view = view / np.linalg.norm(view)
    inward = np.array([-1.0 if right else 1.0, 0.0, 0.0])
    if grasp == "cover":
        return np.asarray(view)
    if grasp == "cradle":
        return np.asarray(-view - 0.4 * inward)
    if grasp == "top":
        return np.array([0.0, -1.0, 0.0])
    return np.asarray(0.85 * inward + 0.5 * view)


def wrap_for(
    size_mm: NDArray[np.float64], normal: NDArray[np.float64], *, side: str, grasp: str
) -> tuple[float, float]:
    """What a hand closes around.

    Args:
        size_mm: (3,) width, height, depth of all that is held.
        normal: (3,) where the palm faces.
        side: of the picture from which the arm comes.
        grasp: one of `GRASPS`.

    Returns:
        Half extents in mm along the fingers and across the palm.
    """
    half = size_mm / 2
    half[1] = min(half[1], WRAP_HEIGHT_MM)
    along = np.array([0.0, 0.35, 0.94]) if side == "bottom" else np.array([0.7, 0.1, 0.7])
    longest = 36.0 if grasp == "cradle" else WRAP_ALONG_MM
    across = np.abs(normal) / np.linalg.norm(normal)
    return min(longest, float(along @ half)), min(WRAP_ACROSS_MM, float(across @ half))
