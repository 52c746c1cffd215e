"""What is printed on packs under and beside the words: patterns that fill a face, and pictograms of fruit, leaves, flames and the like."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.vision.image import Image

Colour = tuple[int, int, int]  # RGB, 0-255
Point = tuple[float, float]

GREEN: Colour = (52, 128, 48)
BROWN: Colour = (98, 62, 36)
_SHIFT = 3  # binary places of coordinates handed to OpenCV


def blend(image: Image, mask: NDArray[np.uint8], *, colour: Colour) -> None:
    """Lay a colour over a picture.

    Args:
        image: (h, w, 3) uint8 RGB, drawn on.
        mask: (h, w) uint8, 255 where the colour covers wholly.
        colour: RGB 0-255.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    where = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = mask[where].astype(np.float32)[..., None] / 255
    under = image[where].astype(np.float32)
    image[where] = (under + (np.asarray(colour, np.float32) - under) * share + 0.5).astype(np.uint8)


def tinted(colour: Colour, amount: float) -> Colour:
    """A lighter or darker kind of a colour.

    Args:
        colour: RGB 0-255.
        amount: -1 gives black, 0 the colour, 1 white.

    Returns:
        RGB 0-255.
    """
    goal = 255 if amount > 0 else 0
    red, green, blue = (round(v + (goal - v) * abs(amount)) for v in colour)
    return red, green, blue


class _Pen:
    """Draws shapes in a frame whose unit is the pictogram's radius."""

    def __init__(self, image: Image, centre: Point, radius: float) -> None:
        self.image, self.centre, self.radius = image, centre, radius

    def _at(self, point: Point) -> tuple[int, int]:
        x, y = (c + p * self.radius for c, p in zip(self.centre, point, strict=True))
        return round(x * 2**_SHIFT), round(y * 2**_SHIFT)

    def oval(self, at: Point, size: Point, colour: Colour, *, angle: float = 0.0, arc: Point = (0, 360)) -> None:
        axes = tuple(max(1, round(s * self.radius * 2**_SHIFT)) for s in size)
        cv2.ellipse(self.image, self._at(at), axes, angle, arc[0], arc[1], colour, -1, cv2.LINE_AA, _SHIFT)

    def shape(self, points: list[Point], colour: Colour) -> None:
        cv2.fillPoly(self.image, [np.array([self._at(p) for p in points], np.int32)], colour, cv2.LINE_AA, _SHIFT)

    def line(self, start: Point, end: Point, colour: Colour, *, width: float = 0.1) -> None:
        thick = max(1, round(width * self.radius))
        cv2.line(self.image, self._at(start), self._at(end), colour, thick, cv2.LINE_AA, _SHIFT)


def _citrus(pen: _Pen, colour: Colour) -> None:
    pen.oval((0, 0), (1, 1), colour)
    pen.oval((0, 0), (0.82, 0.82), tinted(colour, 0.75))
    for start in range(0, 360, 45):
        pen.oval((0, 0), (0.74, 0.74), tinted(colour, 0.15), arc=(start + 5, start + 40))


def _lemon(pen: _Pen, colour: Colour) -> None:
    pen.oval((0, 0), (1.05, 0.72), colour, angle=-25)
    pen.oval((0.85, -0.4), (0.25, 0.18), colour, angle=-25)
    pen.oval((-0.2, -0.25), (0.35, 0.15), tinted(colour, 0.6), angle=-25)
    pen.oval((-0.7, -0.6), (0.5, 0.2), GREEN, angle=30)


def _berries(pen: _Pen, colour: Colour) -> None:
    for x, y in ((-0.5, 0.3), (0.5, 0.3), (0, 0.6), (-0.25, -0.2), (0.3, -0.25)):
        pen.oval((x, y), (0.42, 0.42), tinted(colour, -0.25))
        pen.oval((x, y), (0.36, 0.36), colour)
        pen.oval((x - 0.1, y - 0.12), (0.12, 0.1), tinted(colour, 0.7))
    pen.oval((0, -0.75), (0.5, 0.22), GREEN, angle=-20)


def _cherries(pen: _Pen, colour: Colour) -> None:
    for x in (-0.5, 0.5):
        pen.line((x, 0.3), (0.1, -0.9), GREEN, width=0.12)
        pen.oval((x, 0.45), (0.48, 0.48), colour)
        pen.oval((x - 0.15, 0.3), (0.14, 0.1), tinted(colour, 0.7))
    pen.oval((0.45, -0.8), (0.45, 0.2), GREEN, angle=20)


def _apple(pen: _Pen, colour: Colour) -> None:
    pen.oval((-0.3, 0.12), (0.62, 0.8), colour)
    pen.oval((0.3, 0.12), (0.62, 0.8), colour)
    pen.line((0, -0.5), (0.1, -0.95), BROWN, width=0.14)
    pen.oval((0.45, -0.8), (0.38, 0.18), GREEN, angle=-20)
    pen.oval((-0.45, -0.15), (0.15, 0.3), tinted(colour, 0.6))


def _leaf(pen: _Pen, colour: Colour) -> None:
    for angle, at in ((-60, (-0.35, -0.1)), (50, (0.4, 0.0))):
        pen.oval(at, (0.95, 0.4), colour, angle=angle)
    pen.line((-0.7, 0.65), (0.0, -0.75), tinted(colour, 0.5), width=0.08)
    pen.line((0.85, 0.6), (0.05, -0.6), tinted(colour, 0.5), width=0.08)


def _star(pen: _Pen, colour: Colour) -> None:
    turns = np.arange(10) * np.pi / 5 - np.pi / 2
    reach = np.where(np.arange(10) % 2 == 0, 1.05, 0.45)
    pen.shape([(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(reach, turns, strict=True)], colour)


def _flame(pen: _Pen, colour: Colour) -> None:
    pen.shape(
        [(0, -1.1), (0.6, -0.1), (0.45, 0.0), (0.75, 0.5), (0, 1), (-0.75, 0.5), (-0.5, -0.2), (-0.25, 0.05)], colour
    )
    pen.oval((0, 0.5), (0.35, 0.45), tinted(colour, 0.6))


def _chilli(pen: _Pen, colour: Colour) -> None:
    pen.shape([(-0.65, -0.55), (-0.2, -0.7), (0.2, -0.2), (0.9, 0.75), (0.1, 0.45), (-0.5, 0.0)], colour)
    pen.line((-0.45, -0.6), (-0.75, -1.0), GREEN, width=0.2)
    pen.line((-0.2, -0.3), (0.35, 0.3), tinted(colour, 0.55), width=0.1)


def _nut(pen: _Pen, colour: Colour) -> None:
    for x, y, angle in ((-0.4, 0.2, 60), (0.45, 0.35, 120), (0.05, -0.45, 85)):
        pen.oval((x, y), (0.6, 0.36), tinted(colour, -0.3), angle=angle)
        pen.oval((x - 0.05, y), (0.5, 0.26), colour, angle=angle)


def _squares(pen: _Pen, colour: Colour) -> None:
    for x in (-0.55, 0.5):
        for y in (-0.5, 0.45):
            pen.shape([(x - 0.48, y - 0.44), (x + 0.48, y - 0.5), (x + 0.48, y + 0.44), (x - 0.48, y + 0.5)], colour)
            pen.shape(
                [(x - 0.3, y - 0.3), (x + 0.3, y - 0.3), (x + 0.3, y + 0.26), (x - 0.3, y + 0.26)], tinted(colour, 0.3)
            )


def _drop(pen: _Pen, colour: Colour) -> None:
    pen.shape([(0, -1.05), (0.55, 0.1), (-0.55, 0.1)], colour)
    pen.oval((0, 0.3), (0.6, 0.65), colour)
    pen.oval((-0.2, 0.35), (0.14, 0.28), tinted(colour, 0.7))


def _heart(pen: _Pen, colour: Colour) -> None:
    pen.oval((-0.42, -0.3), (0.5, 0.5), colour)
    pen.oval((0.42, -0.3), (0.5, 0.5), colour)
    pen.shape([(-0.86, -0.06), (0.86, -0.06), (0, 1)], colour)


def _bolt(pen: _Pen, colour: Colour) -> None:
    pen.shape([(0.3, -1.1), (-0.6, 0.2), (-0.05, 0.2), (-0.3, 1.1), (0.65, -0.25), (0.1, -0.25)], colour)


def _wheat(pen: _Pen, colour: Colour) -> None:
    pen.line((0, 1), (0, -0.6), tinted(colour, -0.3), width=0.1)
    for y in (-0.5, -0.1, 0.3):
        pen.oval((-0.28, y), (0.36, 0.17), colour, angle=40)
        pen.oval((0.28, y), (0.36, 0.17), colour, angle=-40)
    pen.oval((0, -0.85), (0.17, 0.3), colour)


def _melon(pen: _Pen, colour: Colour) -> None:
    pen.oval((0, -0.3), (1.05, 1.05), GREEN, arc=(0, 180))
    pen.oval((0, -0.3), (0.88, 0.88), colour, arc=(0, 180))
    for x, y in ((-0.4, 0.0), (0.0, 0.15), (0.4, 0.0)):
        pen.oval((x, y), (0.07, 0.1), (30, 26, 26))


PICTOGRAMS: dict[str, Callable[[_Pen, Colour], None]] = {
    "citrus": _citrus, "lemon": _lemon, "berries": _berries, "cherries": _cherries, "apple": _apple, "leaf": _leaf, "star": _star,
    "flame": _flame, "chilli": _chilli, "nut": _nut, "squares": _squares, "drop": _drop, "heart": _heart, "bolt": _bolt,
    "wheat": _wheat, "melon": _melon,
}  # fmt: skip


def draw_pictogram(image: Image, kind: str, *, centre: Point, radius: float, colour: Colour) -> None:
    """Draw one of PICTOGRAMS.

    Args:
        image: (h, w, 3) uint8 RGB, drawn on.
        kind: a key of PICTOGRAMS.
        centre: px.
        radius: px; most of the pictogram lies within it.
        colour: its main colour, RGB 0-255.
    """
    PICTOGRAMS[kind](_Pen(image, centre, radius), colour)


def _grid(image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x / max(width, 1), y / max(height, 1)


def _mix(image: Image, share: NDArray[np.float32], colour: Colour) -> None:
    blend(image, np.clip(share * 255, 0, 255).astype(np.uint8), colour=colour)


def _soft(value: NDArray[np.floating], width: float) -> NDArray[np.float32]:
    """1 where the value is positive, with an edge of the given width."""
    return np.asarray(np.clip(value / width + 0.5, 0.0, 1.0), np.float32)


def _pattern_rays(image: Image, colour: Colour, rng: np.random.Generator) -> None:
    x, y = _grid(image)
    angle = np.arctan2(y - 0.42, x - 0.5)
    _mix(image, 0.55 * _soft(np.sin(angle * float(rng.integers(7, 15))), 0.3), colour)


def _pattern_stripes(image: Image, colour: Colour, rng: np.random.Generator) -> None:
    x, y = _grid(image)
    tilt = float(rng.choice([0.0, 0.0, 0.6, -0.6]))
    _mix(image, _soft(np.sin((x + tilt * y) * 2 * np.pi * float(rng.integers(3, 7))) - 0.2, 0.35), colour)


def _pattern_hoops(image: Image, colour: Colour, rng: np.random.Generator) -> None:
    _, y = _grid(image)
    _mix(image, _soft(np.sin(y * 2 * np.pi * float(rng.integers(3, 8)) + 1.0) - 0.4, 0.3), colour)


def _pattern_dots(image: Image, colour: Colour, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    step = max(6, round(min(width, height) / float(rng.integers(4, 8))))
    for row, y in enumerate(range(step // 2, height + step, step)):
        for x in range((row % 2) * step // 2, width + step, step):
            cv2.circle(image, (x, y), max(2, step // 4), colour, -1, cv2.LINE_AA)


def _pattern_waves(image: Image, colour: Colour, rng: np.random.Generator) -> None:
    x, y = _grid(image)
    phase, lines = float(rng.uniform(0, 6)), float(rng.integers(3, 6))
    _mix(image, _soft(np.sin(y * 2 * np.pi * lines + 1.6 * np.sin(x * 7 + phase)), 0.4), colour)


def _pattern_gradient(image: Image, colour: Colour, rng: np.random.Generator) -> None:
    _, y = _grid(image)
    _mix(image, y if rng.random() < 0.5 else 1 - y, colour)


def _pattern_checks(image: Image, colour: Colour, rng: np.random.Generator) -> None:
    x, y = _grid(image)
    squares, shape = float(rng.integers(2, 5)), image.shape
    _mix(
        image,
        _soft(np.sin(x * np.pi * 2 * squares) * np.sin(y * np.pi * 2 * squares * shape[0] / shape[1]), 0.2),
        colour,
    )


def _pattern_peaks(image: Image, colour: Colour, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    for _ in range(3):
        x, y, half = rng.uniform(0, width), rng.uniform(0.35, 0.7) * height, rng.uniform(0.4, 0.9) * width
        corners = np.array([[x - half, height], [x, y], [x + half, height]], np.int32)
        shade = tuple(int(v * s) for v, s in zip(colour, [rng.uniform(0.8, 1.0)] * 3, strict=True))
        cv2.fillPoly(image, [corners], shade, cv2.LINE_AA)


def _pattern_none(image: Image, colour: Colour, rng: np.random.Generator) -> None:
    del image, colour, rng


PATTERNS: dict[str, Callable[[Image, Colour, np.random.Generator], None]] = {
    "none": _pattern_none, "rays": _pattern_rays, "stripes": _pattern_stripes, "hoops": _pattern_hoops, "dots": _pattern_dots,
    "waves": _pattern_waves, "gradient": _pattern_gradient, "checks": _pattern_checks, "peaks": _pattern_peaks,
}  # fmt: skip
