"""Painting surfaces into a small window of a picture: flat quads, solids of revolution, pillows.

A `Window` is a piece of the picture at twice its resolution, with the pose of one product as seen from the camera. Each painter writes colour and coverage into
it. Curved surfaces are found by casting a ray per pixel in the product's own frame (x to its right, y up, z to its back; origin at the centre of its base).
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.faces import Texture
from fleetsight.vision.image import Image

FINE = 2  # the window's pixels per pixel of the picture, each way
AMBIENT, DIFFUSE = 0.62, 0.5  # chosen by eye: a front face comes out at about 1.0, a side at 0.62 to 0.72
LIGHT = np.array([-0.2, 0.62, -0.76]) / np.linalg.norm(
    [-0.2, 0.62, -0.76]
)  # towards the lamp: above, before the shelf, a little left
SHARPNESS = (
    0.35  # in halvings: how much finer than one texel per pixel a print may be read before its reduced copy is taken
)
PILLOW_STEP = 3  # rays of a pillow are cast every so many window pixels and interpolated
FARTHEST_MM = 5000.0  # no product is seen from farther away
NEWTON_STEPS = 6  # 0.1 mm at the sizes seen

Vector = NDArray[np.float64]
Field = NDArray[np.float32]


@dataclass
class Window:
    """A piece of the picture, FINE times as fine, and how the product stands before the camera.

    Attributes:
        rgb: (h, w, 3) uint8, painted colour, black where nothing is.
        mask: (h, w) uint8, 255 where something is.
        left_px: the picture's column at which the window begins.
        top_px: the picture's row at which the window begins.
        focal_px: of the camera.
        centre_px: the camera's principal point in the picture.
        turn: (3, 3) from the product's frame to the camera's (right, down, forward).
        shift: (3,) mm, the product's origin in the camera's frame.
        light: (3,) unit vector towards the lamp in the product's frame.
    """

    rgb: Image
    mask: NDArray[np.uint8]
    left_px: int
    top_px: int
    focal_px: float
    centre_px: tuple[float, float]
    turn: Vector
    shift: Vector
    light: Vector

    @property
    def eye(self) -> Vector:
        """(3,) mm, where the camera stands in the product's frame."""
        eye: Vector = -self.turn.T @ self.shift
        return eye

    def project(self, points: Vector) -> Vector:
        """Points of the product's frame in window pixels, whole numbers at pixel centres.

        Args:
            points: (n, 3) mm.

        Returns:
            (n, 2) window px.
        """
        seen = points @ self.turn.T + self.shift
        pixels = seen[:, :2] * (self.focal_px / seen[:, 2])[:, None] + (
            self.centre_px[0] - self.left_px,
            self.centre_px[1] - self.top_px,
        )
        return np.asarray(pixels * FINE - 0.5)

    def rays(self, columns: Field, rows: Field) -> tuple[Field, Field, Field]:
        """Directions through window pixels in the product's frame, of length 1 along the camera's axis.

        Args:
            columns: (w,) window px.
            rows: (h,) window px.

        Returns:
            x, y, z: (h, w) each.
        """
        across = ((columns + 0.5) / FINE + self.left_px - self.centre_px[0]) / self.focal_px
        down = ((rows + 0.5) / FINE + self.top_px - self.centre_px[1]) / self.focal_px
        parts = []
        for axis in range(3):
            on_row = (across * self.turn[0, axis] + self.turn[2, axis]).astype(np.float32)
            on_column = (down * self.turn[1, axis]).astype(np.float32)
            parts.append(on_row[None, :] + on_column[:, None])
        return parts[0], parts[1], parts[2]

    def clip(self, pixels: Vector) -> tuple[int, int, int, int] | None:
        """The part of the window that points span.

        Args:
            pixels: (n, 2) window px.

        Returns:
            x0, y0, x1, y1 with exclusive ends, or None if it is empty.
        """
        height, width = self.mask.shape
        low, high = np.floor(pixels.min(axis=0)), np.ceil(pixels.max(axis=0)) + 1
        x0, y0, x1, y1 = max(int(low[0]), 0), max(int(low[1]), 0), min(int(high[0]), width), min(int(high[1]), height)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def shade_of(normal: Vector, light: Vector) -> float:
    """Brightness of a flat face.

    Args:
        normal: (3,) unit vector.
        light: (3,) unit vector towards the lamp, same frame.

    Returns:
        A factor, AMBIENT to AMBIENT + DIFFUSE.
    """
    return float(AMBIENT + DIFFUSE * max(0.0, float(normal @ light)))


def _halvings(texels: float, pixels: float) -> int:
    return max(0, int(np.floor(np.log2(max(texels, 1.0) / max(pixels, 1.0)) + SHARPNESS)))


def paint_quad(window: Window, texture: Texture, *, corners: Vector, shade: float) -> None:
    """Paint a flat printed face.

    Args:
        window: painted on.
        texture: its print.
        corners: (4, 3) mm in the product's frame: upper left, upper right, lower right, lower left as seen from outside.
        shade: brightness factor.
    """
    quad = window.project(corners)
    part = window.clip(quad)
    if part is None:
        return
    covered: NDArray[np.uint8] = np.zeros((part[3] - part[1], part[2] - part[0]), np.uint8)
    cv2.fillConvexPoly(covered, np.round((quad - part[:2]) * 16).astype(np.int32), 255, cv2.LINE_8, 4)
    _lay(window, part, cv2.convertScaleAbs(_warped(texture, quad, part), alpha=shade), covered)


def _warped(texture: Texture, quad: Vector, part: tuple[int, int, int, int]) -> Image:
    """A print in perspective, as large as the part of the window it is for."""
    edges = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    height, width = texture.pixels.shape[:2]
    source = texture.reduced(_halvings(width, max(edges[0], edges[2])), _halvings(height, max(edges[1], edges[3])))
    height, width = source.shape[:2]
    inside = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - np.float32(0.5)
    matrix = cv2.getPerspectiveTransform(inside, (quad - part[:2]).astype(np.float32))
    size = (part[2] - part[0], part[3] - part[1])
    warped = cv2.warpPerspective(source, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _lay(window: Window, part: tuple[int, int, int, int], colour: object, covered: NDArray[np.uint8]) -> None:
    x0, y0, x1, y1 = part
    cv2.copyTo(np.asarray(colour), covered, window.rgb[y0:y1, x0:x1])
    np.maximum(window.mask[y0:y1, x0:x1], covered, out=window.mask[y0:y1, x0:x1])


def paint_revolution(
    window: Window, profile_mm: tuple[tuple[float, float], ...], *, wrap: Texture, gloss: float
) -> None:
    """Paint the outside of a solid of revolution about the product's y axis, without its ends.

    Each piece of the outline is a cone's frustum. Planes across the axis part the pieces, so that letting those nearer the eye's height win is exact.

    Args:
        window: painted on.
        profile_mm: (height, radius) from the bottom up.
        wrap: print once around, the product's front in its middle.
        gloss: strength of the highlight, 0 to 1.
    """
    rows, columns = window.mask.shape
    height_mm = profile_mm[-1][0]
    dx, dy, dz = window.rays(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    along, slope = _cast(window, (dx, dy, dz), profile_mm)
    hit = along > 0
    if not hit.any():
        return
    ox, oy, oz = window.eye.tolist()
    x, y, z = along * dx + ox, along * dy + oy, along * dz + oz
    source = _reduced_wrap(window, wrap, height_mm, max(radius for _, radius in profile_mm))
    turn = cv2.phase(z, -x)  # 0 to 2 pi, pi at the front
    at_column, at_row = (
        turn * (source.shape[1] / (2 * np.pi)) - 0.5,
        (source.shape[0] - 0.5) - y * (source.shape[0] / height_mm),
    )
    print_ = cv2.remap(source, at_column, at_row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lean = 1 / np.sqrt(slope * slope + 1)
    outward = lean / np.maximum(cv2.magnitude(x, z), 1e-3)
    normal_x, normal_z, normal_y = x * outward, z * outward, -slope * lean
    lamp = window.light.tolist()
    shade = AMBIENT + DIFFUSE * np.maximum(normal_x * lamp[0] + normal_y * lamp[1] + normal_z * lamp[2], 0)
    shine = _highlight(window, normal_x, normal_z, gloss) if gloss > 0 else None
    _lay(window, (0, 0, columns, rows), _lit(print_, shade, shine), hit.view(np.uint8) * np.uint8(255))


def _cast(
    window: Window, rays: tuple[Field, Field, Field], profile_mm: tuple[tuple[float, float], ...]
) -> tuple[Field, Field]:
    """How far along each ray the surface is met (0: not at all), and the slope of the outline there."""
    dx, dy, dz = rays
    ox, oy, oz = window.eye.tolist()
    flat, rise, lead, away = dx * dx + dz * dz, dy * dy, dx * ox + dz * oz, ox * ox + oz * oz
    found, slopes = np.zeros_like(dx), np.zeros_like(dx)
    pieces = [(low, high) for low, high in pairwise(profile_mm) if high[0] - low[0] > 1e-6]
    pieces.sort(key=lambda piece: -max(piece[0][0] - oy, oy - piece[1][0]))
    for (y0, r0), (y1, r1) in pieces:
        reach = max(r0, r1)
        part = window.clip(
            window.project(np.array([[x, y, z] for x in (-reach, reach) for y in (y0, y1) for z in (-reach, reach)]))
        )
        if part is None:
            continue
        at = np.s_[part[1] : part[3], part[0] : part[2]]
        slope = (r1 - r0) / (y1 - y0)
        start = r0 + slope * (oy - y0)  # radius of the whole cone at the eye's height, negative beyond its tip
        a = flat[at] - (slope * slope) * rise[at] if slope else flat[at]
        b = lead[at] - (slope * start) * dy[at] if slope else lead[at]
        inside = b * b - a * (away - start * start)
        with np.errstate(divide="ignore", invalid="ignore"):  # rays that miss
            along = -(b + np.sqrt(inside)) / a
            y = along * dy[at] + oy
        slack = 0.02 * (y1 - y0) + 0.2  # closes the hairline between neighbouring pieces
        hit = (y >= y0 - slack) & (y <= y1 + slack) & (along > 0)
        np.copyto(found[at], along, where=hit)
        np.copyto(slopes[at], slope, where=hit)
    return found, slopes


def _reduced_wrap(window: Window, wrap: Texture, height_mm: float, radius_mm: float) -> Image:
    r = radius_mm
    ends = window.project(np.array([[0, 0, 0], [0, height_mm, 0], [-r, 0, 0], [r, 0, 0], [0, 0, -r], [0, 0, r]]))
    diameter = max(np.linalg.norm(ends[3] - ends[2]), np.linalg.norm(ends[5] - ends[4]))
    rows, columns = wrap.pixels.shape[:2]
    return wrap.reduced(
        _halvings(columns, float(np.pi * diameter)), _halvings(rows, float(np.linalg.norm(ends[1] - ends[0])))
    )


def _highlight(window: Window, normal_x: Field, normal_z: Field, gloss: float) -> Field:
    """Blinn's highlight (half vector) around the axis only, for a lamp is a long tube; a parabola in place of his power."""
    view = window.eye / np.linalg.norm(window.eye)
    half = (view + window.light).tolist()
    peak = max(float(np.hypot(half[0], half[2])), 1e-3)
    match = normal_x * (half[0] / peak) + normal_z * (half[2] / peak)
    near = np.maximum(match - 0.93, 0)
    return np.asarray(near * near * float(110 * gloss / 0.07**2), np.float32)


def _lit(print_: object, shade: Field, shine: Field | None) -> Image:
    lit = cv2.multiply(np.asarray(print_), cv2.merge([shade] * 3), dtype=cv2.CV_8U if shine is None else cv2.CV_32F)
    if shine is None:
        return np.asarray(lit, np.uint8)
    return np.asarray(cv2.add(lit, cv2.merge([shine] * 3), dtype=cv2.CV_8U), np.uint8)


def paint_disc(window: Window, texture: Texture, *, height_mm: float, radius_mm: float, under: bool = False) -> None:
    """Paint a flat end of a solid of revolution, unless it faces away.

    Args:
        window: painted on.
        texture: its print; the disc is the circle within.
        height_mm: above the base.
        radius_mm: of the disc.
        under: the lower end instead of the upper one.
    """
    facing = -1.0 if under else 1.0
    if (window.eye[1] - height_mm) * facing <= 0:
        return
    r, y = radius_mm, height_mm
    quad = window.project(np.array([[-r, y, r], [r, y, r], [r, y, -r], [-r, y, -r]]))
    part = window.clip(quad)
    if part is None:
        return
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rim = window.project(np.stack([r * np.cos(turns), np.full(24, y), r * np.sin(turns)], axis=1)) - part[:2]
    covered: NDArray[np.uint8] = np.zeros((part[3] - part[1], part[2] - part[0]), np.uint8)
    cv2.fillConvexPoly(covered, np.round(rim * 16).astype(np.int32), 255, cv2.LINE_8, 4)
    print_ = _warped(texture, quad, part)
    _lay(window, part, cv2.convertScaleAbs(print_, alpha=shade_of(np.array([0.0, facing, 0.0]), window.light)), covered)


def paint_pillow(
    window: Window, texture: Texture, *, size_mm: tuple[float, float, float], behind: bool, gloss: float
) -> None:
    """Paint one sheet of a pouch: flat along its seams, bulging between them by half the pouch's depth.

    Args:
        window: painted on.
        texture: the sheet's print.
        size_mm: width, height, depth of the pouch.
        behind: the back sheet instead of the front one.
        gloss: strength of the sheen, 0 to 1.
    """
    width, height, depth = size_mm
    if not _sheet_in_sight(window, size_mm, behind=behind):
        return
    side = -1.0 if behind else 1.0
    rows, columns = window.mask.shape
    x, y, before, missed = _meet_sheet(window, size_mm, side)
    slope_x, slope_y = x * (1 - y * y) * (2 * depth / width), (1 - x * x) * y * (2 * depth / height)
    lamp = window.light.tolist()
    facing = (slope_x * lamp[0] + slope_y * lamp[1] - side * lamp[2]) / np.sqrt(
        slope_x * slope_x + slope_y * slope_y + 1
    )
    size = (x.shape[1] * PILLOW_STEP, x.shape[0] * PILLOW_STEP)
    fields = cv2.resize(np.dstack([x, y, facing, before + 50 * missed]), size, interpolation=cv2.INTER_LINEAR)[
        :rows, :columns
    ]
    x, y, facing, beyond = (np.asarray(field, np.float32) for field in cv2.split(fields))
    hit = (np.abs(x) <= 1) & (np.abs(y) <= 1) & (beyond <= 0)
    ends = window.project(
        np.array([[-width / 2, height / 2, 0], [width / 2, height / 2, 0], [0, 0, 0], [0, height, 0]])
    )
    texels = texture.pixels.shape
    across, upward = float(np.linalg.norm(ends[1] - ends[0])), float(np.linalg.norm(ends[3] - ends[2]))
    source = texture.reduced(_halvings(texels[1], across), _halvings(texels[0], upward))
    high, wide = source.shape[:2]
    at_column, at_row = (side * x + 1) * (wide / 2) - 0.5, (1 - y) * (high / 2) - 0.5
    print_ = cv2.remap(source, at_column, at_row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shade = np.asarray(AMBIENT + DIFFUSE * np.maximum(facing, 0), np.float32)
    shine = np.asarray(np.maximum(facing - 0.86, 0) * (500 * gloss), np.float32)
    _lay(window, (0, 0, columns, rows), _lit(print_, shade, shine), hit.view(np.uint8) * np.uint8(255))


def _sheet_in_sight(window: Window, size_mm: tuple[float, float, float], *, behind: bool) -> bool:
    """Whether some of a sheet faces the eye; it is steepest in the middle of its seams."""
    width, height, depth = size_mm
    x, y, z = window.eye.tolist()
    toward = z if behind else -z
    rim_x = 2 * depth / width * (abs(x) - width / 2) + toward
    rim_y = 2 * depth / height * (abs(y - height / 2) - height / 2) + toward
    return bool(max(toward, rim_x, rim_y) > 0)


def _meet_sheet(window: Window, size_mm: tuple[float, float, float], side: float) -> tuple[Field, Field, Field, Field]:
    """Where rays, one every PILLOW_STEP window pixels, come down on a sheet.

    A sheet bounds a nearly convex body, so Newton's steps from where the ray enters the pouch's block approach it without overshooting.

    Args:
        window: gives the rays.
        size_mm: width, height, depth of the pouch.
        side: 1 for the front sheet, -1 for the back one.

    Returns:
        x, y: (h, w) float32, -1 to 1 between the seams.
        before: (h, w) float32 mm, negative where the ray enters on this sheet's side of the other.
        missed: (h, w) float32, 1 where the ray passes by.
    """
    width, height, depth = size_mm
    eye, bulge = window.eye.tolist(), depth / 2
    ox, oy, oz = eye[0] / (width / 2), eye[1] / (height / 2) - 1, side * eye[2]
    rows, columns = (-(-n // PILLOW_STEP) for n in window.mask.shape)
    across, down = (
        np.arange(n, dtype=np.float32) * PILLOW_STEP + np.float32(0.5 * PILLOW_STEP - 0.5) for n in (columns, rows)
    )
    dx, dy, dz = window.rays(across, down)
    dx, dy, dz = dx * (2 / width), dy * (2 / height), dz * side
    along = np.maximum(np.maximum(_entry(ox, dx, 1.0), _entry(oy, dy, 1.0)), _entry(oz, dz, bulge))
    before = np.zeros_like(dx)
    for step in range(NEWTON_STEPS):
        x, y = np.clip(along * dx + ox, -1.4, 1.4), np.clip(along * dy + oy, -1.4, 1.4)
        on_x, on_y = (1 - x * x) * bulge, 1 - y * y
        value = along * dz + oz + on_x * on_y
        if step == 0:
            before = value
        gain = dz - (2 * bulge) * x * on_y * dx - 2 * on_x * y * dy
        along -= value / np.maximum(gain, 0.05)
    missed = ((gain < 0.02) | (np.abs(value) > 2.0)).astype(np.float32)
    return np.clip(along * dx + ox, -3, 3), np.clip(along * dy + oy, -3, 3), before, missed


def _entry(eye: float, direction: Field, reach: float) -> Field:
    """How far along a ray it comes between two planes at -reach and reach; very early when it has always been."""
    if abs(eye) <= reach:
        return np.full_like(direction, -1e6)
    toward = -direction if eye > 0 else direction
    return np.asarray(np.minimum((abs(eye) - reach) / np.maximum(toward, 1e-5), FARTHEST_MM), np.float32)
