"""Products standing, lying or held before a camera, drawn onto a canvas.

`draw_product` opens a window of the canvas around the product at twice its resolution, lets the painters of `surfaces` fill it, averages it down and lays it over
what is there. Draw from far to near: later products cover earlier ones. `packshot` and `gallery_pictures` photograph one product alone.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.camera import Camera, aimed_angles
from fleetsight.sim.designs import BOX, POUCH, Design
from fleetsight.sim.surfaces import (
    FINE,
    LIGHT,
    Window,
    paint_disc,
    paint_pillow,
    paint_quad,
    paint_revolution,
    shade_of,
)
from fleetsight.vision.image import Image

NEAREST_MM = 60.0  # a product with a corner closer to the camera than this is not drawn
GALLERY_VIEWS_DEG = (
    (0, 0),
    (-25, 0),
    (25, 0),
    (0, 35),
    (0, 55),
    (20, 25),
)  # (yaw, pitch): as a retailer would photograph a product
PAPER = (244, 244, 242)


@dataclass(frozen=True)
class Pose:
    """Where a product stands, and how it is turned about the centre of its base: roll first, then pitch, then yaw.

    Attributes:
        x_mm: centre of the base.
        y_mm: the base itself.
        z_mm: centre of the base.
        yaw_rad: positive turns the front to the shopper's right.
        pitch_rad: positive leans the top towards the shopper.
        roll_rad: positive leans the top to the shopper's right.
    """

    x_mm: float
    y_mm: float
    z_mm: float
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) matrix from the product's frame (x right, y up, z to its back) to the world."""
        sin_y, cos_y = np.sin(self.yaw_rad), np.cos(self.yaw_rad)
        sin_p, cos_p = np.sin(self.pitch_rad), np.cos(self.pitch_rad)
        sin_r, cos_r = np.sin(self.roll_rad), np.cos(self.roll_rad)
        yaw = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]])
        pitch = np.array([[1, 0, 0], [0, cos_p, sin_p], [0, -sin_p, cos_p]])
        roll = np.array([[cos_r, sin_r, 0], [-sin_r, cos_r, 0], [0, 0, 1]])
        return np.asarray(yaw @ pitch @ roll)


@dataclass
class Canvas:
    """A picture under way, and who is to be seen where.

    Attributes:
        rgb: (h, w, 3) uint8.
        owner: (h, w) int16, the number given to `draw_product`, -1 where the background is seen.
    """

    rgb: Image
    owner: NDArray[np.int16]

    @classmethod
    def over(cls, background: Image) -> "Canvas":
        """A canvas that begins with a copy of a picture.

        Args:
            background: (h, w, 3) uint8 RGB.

        Returns:
            It, owned by nobody.
        """
        return cls(background.copy(), np.full(background.shape[:2], -1, np.int16))


def product_corners(design: Design, pose: Pose) -> NDArray[np.float64]:
    """Corners of the block a product fills.

    Args:
        design: gives the size.
        pose: where it is.

    Returns:
        (8, 3) mm in the world; x varies slowest, z fastest.
    """
    width, height, depth = design.size_mm
    local = np.array([[x, y, z] for x in (-width / 2, width / 2) for y in (0, height) for z in (-depth / 2, depth / 2)])
    return np.asarray(local @ pose.rotation.T + (pose.x_mm, pose.y_mm, pose.z_mm))


def draw_product(canvas: Canvas, design: Design, *, pose: Pose, camera: Camera, owner: int, gain: float = 1.0) -> int:
    """Draw a product over what is on the canvas.

    Args:
        canvas: drawn on; may be smaller than the camera's picture, then its upper left corner is the picture's.
        design: the product.
        pose: where it is.
        camera: who looks.
        owner: written to `canvas.owner` where the product covers more than half a pixel.
        gain: brightness factor, 1 in full light.

    Returns:
        Pixels covered (at least half), 0 when out of sight.
    """
    window = _open(canvas, design, pose, camera)
    if window is None:
        return 0
    _paint(window, design)
    return _close(canvas, window, owner, gain)


def _open(canvas: Canvas, design: Design, pose: Pose, camera: Camera) -> Window | None:
    corners = product_corners(design, pose)
    if float(camera.depth(corners).min()) < NEAREST_MM:
        return None
    pixels = camera.project(corners)
    low = np.floor(pixels.min(axis=0)).astype(int) - 1
    high = np.ceil(pixels.max(axis=0)).astype(int) + 1
    height, width = canvas.owner.shape
    left, top = max(int(low[0]), 0), max(int(low[1]), 0)
    right, bottom = min(int(high[0]), width), min(int(high[1]), height)
    if right <= left or bottom <= top:
        return None
    turn = pose.rotation
    shape = ((bottom - top) * FINE, (right - left) * FINE)
    return Window(
        rgb=np.zeros((*shape, 3), np.uint8),
        mask=np.zeros(shape, np.uint8),
        left_px=left,
        top_px=top,
        focal_px=camera.focal_px,
        centre_px=(camera.width_px / 2, camera.height_px / 2),
        turn=camera.rotation @ turn,
        shift=camera.to_camera([(pose.x_mm, pose.y_mm, pose.z_mm)])[0],
        light=turn.T @ LIGHT,
    )


def _paint(window: Window, design: Design) -> None:
    if design.shape == BOX:
        _paint_box(window, design)
    elif design.shape == POUCH:
        for behind in (window.eye[2] < 0, window.eye[2] >= 0):  # the sheet turned away first: its rim may show
            texture = design.textures["back" if behind else "front"]
            paint_pillow(window, texture, size_mm=design.size_mm, behind=bool(behind), gloss=design.gloss)
    else:
        (base, base_radius), (height, radius) = design.profile_mm[0], design.profile_mm[-1]
        paint_revolution(window, design.profile_mm, wrap=design.textures["wrap"], gloss=design.gloss)
        paint_disc(window, design.textures["top"], height_mm=height, radius_mm=radius)
        paint_disc(window, design.textures["top"], height_mm=base, radius_mm=base_radius, under=True)


def _paint_box(window: Window, design: Design) -> None:
    x, height, z = design.size_mm[0] / 2, design.size_mm[1], design.size_mm[2] / 2
    faces = (
        ("front", (0, 0, -1), [(-x, height, -z), (x, height, -z), (x, 0, -z), (-x, 0, -z)]),
        ("right", (1, 0, 0), [(x, height, -z), (x, height, z), (x, 0, z), (x, 0, -z)]),
        ("left", (-1, 0, 0), [(-x, height, z), (-x, height, -z), (-x, 0, -z), (-x, 0, z)]),
        ("back", (0, 0, 1), [(x, height, z), (-x, height, z), (-x, 0, z), (x, 0, z)]),
        ("top", (0, 1, 0), [(-x, height, z), (x, height, z), (x, height, -z), (-x, height, -z)]),
        ("bottom", (0, -1, 0), [(-x, 0, -z), (x, 0, -z), (x, 0, z), (-x, 0, z)]),
    )
    for name, normal, corners in faces:
        outward, quad = np.array(normal, float), np.array(corners, float)
        if outward @ (window.eye - quad[0]) > 0:
            texture = design.textures["top" if name == "bottom" else name]
            paint_quad(window, texture, corners=quad, shade=shade_of(outward, window.light))


def _close(canvas: Canvas, window: Window, owner: int, gain: float) -> int:
    height, width = window.mask.shape[0] // FINE, window.mask.shape[1] // FINE
    where = np.s_[window.top_px : window.top_px + height, window.left_px : window.left_px + width]
    colour = cv2.resize(window.rgb, (width, height), interpolation=cv2.INTER_AREA)
    cover = np.asarray(cv2.resize(window.mask, (width, height), interpolation=cv2.INTER_AREA))
    under = cv2.multiply(canvas.rgb[where], cv2.merge([255 - cover] * 3), scale=1 / 255)
    canvas.rgb[where] = cv2.addWeighted(colour, gain, under, 1.0, 0.0)
    solid = cover > 127
    canvas.owner[where][solid] = owner
    return int(np.count_nonzero(solid))


def packshot(design: Design, *, yaw_rad: float = 0.0, pitch_rad: float = 0.0, side_px: int = 160) -> Image:
    """Photograph a product alone on light paper, cut tight with a small margin.

    Args:
        design: the product.
        yaw_rad: how far it is turned; positive turns its front to the right.
        pitch_rad: how far from above it is seen; 0 is level.
        side_px: the longer side of the picture.

    Returns:
        (h, w, 3) uint8 RGB, max(h, w) = side_px.
    """
    middle = np.array([0.0, design.size_mm[1] / 2, 0.0])
    distance = 7.0 * max(design.size_mm)
    eye = middle + distance * np.array([0.0, np.sin(pitch_rad), -np.cos(pitch_rad)])
    yaw, pitch = aimed_angles(eye, middle)
    pose = Pose(0, 0, 0, yaw_rad=yaw_rad)
    place = (float(eye[0]), float(eye[1]), float(eye[2]))
    trial = Camera(1000, 1000, 1000.0, place, yaw, pitch)
    spread = np.ptp(trial.project(product_corners(design, pose)), axis=0)
    focal = 1000.0 * side_px / float(spread.max())
    canvas = Canvas.over(np.full((side_px + 8, side_px + 8, 3), PAPER, np.uint8))
    draw_product(canvas, design, pose=pose, camera=Camera(side_px + 8, side_px + 8, focal, place, yaw, pitch), owner=0)
    rows, columns = np.flatnonzero((canvas.owner == 0).any(axis=1)), np.flatnonzero((canvas.owner == 0).any(axis=0))
    margin = max(1, round(0.03 * side_px))
    cut = canvas.rgb[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    framed = cv2.copyMakeBorder(cut, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=PAPER)
    scale = side_px / max(framed.shape[:2])
    size = (max(1, round(framed.shape[1] * scale)), max(1, round(framed.shape[0] * scale)))
    return np.asarray(
        cv2.resize(framed, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8
    )


def gallery_pictures(design: Design, *, side_px: int = 160) -> list[Image]:
    """The pictures a retailer's catalogue would hold of a product.

    Args:
        design: the product.
        side_px: the longer side of each picture.

    Returns:
        One picture for each of GALLERY_VIEWS_DEG.
    """
    return [
        packshot(design, yaw_rad=np.radians(yaw), pitch_rad=np.radians(pitch), side_px=side_px)
        for yaw, pitch in GALLERY_VIEWS_DEG
    ]
