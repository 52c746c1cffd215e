"""Where the camera stands: in front of the shelves, or above the door looking down and in.

Both are drawn within the knobs and then pointed and zoomed so that every facing's front product is in the picture.
"""

import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.camera import Camera, aimed_angles
from fleetsight.sim.cooler.shelf import Shelf
from fleetsight.sim.knobs import CameraKnobs

FRONT, ABOVE = "front", "above"


def make_camera(
    view: str, shelf: Shelf, *, knobs: CameraKnobs, size_wh: tuple[int, int], rng: np.random.Generator
) -> Camera:
    """Draw a camera.

    Args:
        view: "front" or "above".
        shelf: what it looks at.
        knobs: ranges to draw from.
        size_wh: size of the picture.
        rng: the session's generator.

    Returns:
        The camera.
    """
    middle = shelf.top_y_mm / 2
    side, roll = knobs.side_mm.draw(rng), float(np.radians(knobs.roll_deg.draw(rng)))
    aim = np.array([0.3 * side + knobs.aim_mm.draw(rng), middle + knobs.aim_mm.draw(rng), 60.0])
    margin = knobs.margin.draw(rng)
    if view == FRONT:
        eye = np.array([side, middle + knobs.front_height_mm.draw(rng), -knobs.front_distance_mm.draw(rng)])
        yaw, pitch = aimed_angles(eye, aim)
        hfov = knobs.front_hfov_deg
        camera = _fitted(eye, (yaw, pitch, roll), shelf, size_wh, margin)
        return _limited(camera, (hfov.low, hfov.high), shelf, margin)
    eye = np.array([side, shelf.top_y_mm + knobs.above_height_mm.draw(rng), -knobs.above_out_mm.draw(rng)])
    yaw, _ = aimed_angles(eye, aim)
    wanted = np.radians([knobs.above_pitch_deg.low, knobs.above_pitch_deg.high])
    _, pitch = aimed_angles(eye, _balanced_aim(eye, shelf))
    return _fitted(eye, (yaw, float(np.clip(pitch, wanted[0] - 0.12, wanted[1])), roll), shelf, size_wh, margin)


def _corners(shelf: Shelf) -> NDArray[np.float64]:
    half = shelf.width_mm / 2
    return np.array([(x, y, z) for x in (-half, half) for y in (-24.0, shelf.top_y_mm - 20.0) for z in (0.0, 60.0)])


def _balanced_aim(eye: NDArray[np.float64], shelf: Shelf) -> NDArray[np.float64]:
    """The point of the door plane halfway, in angle, between the top and the bottom of the shelves."""
    angles = [aimed_angles(eye, (eye[0], y, 20.0))[1] for y in (0.0, shelf.top_y_mm)]
    pitch = sum(angles) / 2
    return np.array([eye[0], eye[1] - np.tan(pitch) * (20.0 - eye[2]), 20.0])


def _fitted(
    eye: NDArray[np.float64],
    angles: tuple[float, float, float],
    shelf: Shelf,
    size_wh: tuple[int, int],
    margin: float,
) -> Camera:
    """The longest focal length with which the shelf fits into the picture."""
    place = (float(eye[0]), float(eye[1]), float(eye[2]))
    unit = Camera(*size_wh, 1.0, place, *angles)
    centre = np.array(size_wh) / 2
    spread = np.abs(unit.project(_corners(shelf)) - centre).max(axis=0)
    focal = float(((1.0 - margin) * centre / spread).min())
    return Camera(*size_wh, focal, place, *angles)


def _limited(camera: Camera, hfov_deg: tuple[float, float], shelf: Shelf, margin: float) -> Camera:
    """Step back or forward when the fitted focal length leaves the range of the field of view."""
    width = camera.width_px
    longest, shortest = (0.5 * width / np.tan(np.radians(v) / 2) for v in hfov_deg)
    if shortest <= camera.focal_px <= longest:
        return camera
    wanted = float(np.clip(camera.focal_px, shortest, longest))
    x, y, z = camera.position_mm
    eye = np.array([x, y, z * wanted / camera.focal_px])
    yaw, pitch = aimed_angles(eye, np.array([0.3 * x, shelf.top_y_mm / 2, 60.0]))
    return _fitted(eye, (yaw, pitch, camera.roll_rad), shelf, (camera.width_px, camera.height_px), margin)
