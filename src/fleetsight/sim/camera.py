"""A pinhole camera in the cooler's world.

The world is in millimetres: x to the shopper's right, y up, z into the cooler, the front edge of the shelves at z = 0. A camera stands at z < 0.
With all angles zero it looks along +z. Points go from the world to the camera's frame (right, down, forward) and from there to pixels.
Pixel coordinates are continuous: pixel i covers [i, i + 1), so the principal point is (width / 2, height / 2).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEAR_MM = 1.0  # nothing closer than this is projected; a rendered scene never comes nearer than some 100 mm


@dataclass(frozen=True)
class Camera:
    """Where a camera stands, how it looks, and how it maps points to pixels.

    Attributes:
        width_px: width of the picture.
        height_px: height of the picture.
        focal_px: focal length in pixels, the same for both axes (square pixels, no lens distortion).
        position_mm: centre of projection in the world.
        yaw_rad: positive looks to the right (+x).
        pitch_rad: positive looks down.
        roll_rad: positive turns the camera clockwise as seen from behind it.
    """

    width_px: int
    height_px: int
    focal_px: float
    position_mm: tuple[float, float, float]
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0

    @cached_property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) matrix, rows right, down and forward as unit vectors of the world."""
        sin_y, cos_y = np.sin(self.yaw_rad), np.cos(self.yaw_rad)
        sin_p, cos_p = np.sin(self.pitch_rad), np.cos(self.pitch_rad)
        sin_r, cos_r = np.sin(self.roll_rad), np.cos(self.roll_rad)
        forward = np.array([sin_y * cos_p, -sin_p, cos_y * cos_p])
        right = np.array([cos_y, 0.0, -sin_y])
        down = np.array([-sin_y * sin_p, -cos_p, -cos_y * sin_p])
        return np.stack([cos_r * right + sin_r * down, cos_r * down - sin_r * right, forward])

    def to_camera(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points in the camera's own frame.

        Args:
            points: (n, 3) mm in the world.

        Returns:
            (n, 3) mm to the right, down and forward of the camera.
        """
        world = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        return np.asarray((world - np.asarray(self.position_mm)) @ self.rotation.T)

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """Where points of the world fall in the picture.

        Args:
            points: (n, 3) mm in the world.

        Returns:
            (n, 2) px, x to the right and y down, possibly outside the picture; nan for points behind the camera.
        """
        local = self.to_camera(points)
        ahead = local[:, 2] > NEAR_MM
        depth = np.where(ahead, local[:, 2], 1.0)
        centre = np.array([self.width_px / 2, self.height_px / 2])
        pixels = local[:, :2] * (self.focal_px / depth)[:, None] + centre
        pixels[~ahead] = np.nan
        return np.asarray(pixels)

    def depth(self, points: ArrayLike) -> NDArray[np.float64]:
        """Distance along the camera's axis.

        Args:
            points: (n, 3) mm in the world.

        Returns:
            (n,) mm, negative behind the camera.
        """
        return self.to_camera(points)[:, 2]


def aimed_angles(position_mm: ArrayLike, target_mm: ArrayLike) -> tuple[float, float]:
    """Yaw and pitch with which a camera looks at a point.

    Args:
        position_mm: (3,) where the camera stands.
        target_mm: (3,) what shall fall on the centre of the picture.

    Returns:
        yaw_rad: as in Camera.
        pitch_rad: as in Camera.
    """
    x, y, z = np.asarray(target_mm, dtype=np.float64) - np.asarray(position_mm, dtype=np.float64)
    return float(np.arctan2(x, z)), float(np.arctan2(-y, np.hypot(x, z)))
