"""Printed faces: brand words, pictograms, patterns and layouts that make a product look like one.

A `Style` is what a brand's packs share (colours, layout, lettering), a `Flavour` is what tells its sorts apart (accent colour, word, pictogram).
`draw_front`, `draw_side` and `draw_plain` turn the two into pictures; `Texture` keeps such a picture together with its reduced copies, so that drawing it
small does not alias.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.motifs import PATTERNS, Colour, blend, draw_pictogram, tinted
from fleetsight.vision.image import Image

PX_PER_MM = 1.6  # a product 90 mm wide is seen some 45 px wide, drawn at twice that: more would be thrown away

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 as shares of the face's width and height


class Texture:
    """A picture on a surface, with reduced copies for drawing it small.

    Args:
        pixels: (h, w, 3) uint8 RGB.
    """

    def __init__(self, pixels: Image) -> None:
        self.pixels = np.ascontiguousarray(pixels)
        self._reduced: dict[tuple[int, int], Image] = {(0, 0): self.pixels}

    def reduced(self, halvings_x: int, halvings_y: int) -> Image:
        """The picture, averaged down by powers of two, each axis on its own (a rip map).

        Args:
            halvings_x: how often the width is halved, >= 0.
            halvings_y: how often the height is halved, >= 0.

        Returns:
            (h, w, 3) uint8 RGB, at least 1 px each way.
        """
        key = (halvings_x, halvings_y)
        if key not in self._reduced:
            height, width = self.pixels.shape[:2]
            size = (max(1, width >> halvings_x), max(1, height >> halvings_y))
            self._reduced[key] = np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return self._reduced[key]


@dataclass(frozen=True)
class Style:
    """What the packs of a brand share.

    Attributes:
        brand: the word on the pack.
        layout: a key of LAYOUTS.
        pattern: a key of PATTERNS.
        ground: colour of most of the pack.
        second: colour of stripes, patterns and plates.
        ink: colour of lettering; stands out from the ground.
        font: OpenCV font number.
        stretch: width of letters against the font's own.
        slant: shear of letters, 0 upright.
        outlined: whether the brand word has a rim in the second colour.
        seed: decides the small things of the print.
    """

    brand: str
    layout: str
    pattern: str
    ground: Colour
    second: Colour
    ink: Colour
    font: int
    stretch: float
    slant: float
    outlined: bool
    seed: int


@dataclass(frozen=True)
class Flavour:
    """What tells the sorts of a brand apart.

    Attributes:
        word: printed in the accent's field.
        accent: its colour.
        pictogram: a key of PICTOGRAMS.
    """

    word: str
    accent: Colour
    pictogram: str


@lru_cache(maxsize=4096)
def _ink_mask(text: str, font: int) -> NDArray[np.uint8]:
    (width, height), base = cv2.getTextSize(text, font, 2.0, 4)
    mask: NDArray[np.uint8] = np.zeros((height + base + 60, width + 60), np.uint8)
    cv2.putText(mask, text, (30, height + 30), font, 2.0, 255, 4, cv2.LINE_AA)
    rows, columns = np.flatnonzero(mask.max(axis=1)), np.flatnonzero(mask.max(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@dataclass(frozen=True)
class Lettering:
    """How a word is set.

    Attributes:
        font: OpenCV font number.
        colour: of the letters.
        stretch: width against the font's own.
        slant: shear, 0 upright.
        rim: colour around the letters, or None.
        upward: read from bottom to top.
    """

    font: int
    colour: Colour
    stretch: float = 1.0
    slant: float = 0.0
    rim: Colour | None = None
    upward: bool = False


def draw_word(image: Image, text: str, *, box: Box, lettering: Lettering) -> None:
    """Set a word as large as it fits, centred in a box.

    Args:
        image: (h, w, 3) uint8 RGB, drawn on.
        text: at least one visible character.
        box: where, in shares of the image.
        lettering: how.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(v * s) for v, s in zip(box, (width, height, width, height), strict=True))
    mask = _ink_mask(text, lettering.font)
    if lettering.slant:
        shear = np.array([[1, -lettering.slant, lettering.slant * mask.shape[0]], [0, 1, 0]], np.float32)
        room = mask.shape[1] + int(abs(lettering.slant) * mask.shape[0])
        mask = np.asarray(cv2.warpAffine(mask, shear, (room, mask.shape[0])), np.uint8)
    if lettering.upward:
        mask = np.rot90(mask)
    wide, tall = (1.0, lettering.stretch) if lettering.upward else (lettering.stretch, 1.0)
    scale = min((x1 - x0) / (mask.shape[1] * wide), (y1 - y0) / (mask.shape[0] * tall))
    size = (round(mask.shape[1] * wide * scale), round(mask.shape[0] * tall * scale))
    if min(size) < 2:
        return
    small = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
    left, top = (x0 + x1 - size[0]) // 2, (y0 + y1 - size[1]) // 2
    whole: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
    part = small[: max(0, height - top), : max(0, width - left)]
    whole[max(top, 0) : top + part.shape[0], max(left, 0) : left + part.shape[1]] = part[
        max(-top, 0) :, max(-left, 0) :
    ]
    if lettering.rim is not None:
        reach = max(3, 2 * (min(size) // 12) + 1)
        blend(image, np.asarray(cv2.dilate(whole, np.ones((reach, reach), np.uint8)), np.uint8), colour=lettering.rim)
    blend(image, whole, colour=lettering.colour)


def _brand(image: Image, style: Style, box: Box, *, colour: Colour | None = None, upward: bool = False) -> None:
    rim = style.second if style.outlined else None
    ink = colour or style.ink
    draw_word(
        image, style.brand, box=box, lettering=Lettering(style.font, ink, style.stretch, style.slant, rim, upward)
    )


def _word(image: Image, text: str, box: Box, colour: Colour, *, upward: bool = False) -> None:
    draw_word(image, text, box=box, lettering=Lettering(cv2.FONT_HERSHEY_DUPLEX, colour, upward=upward))


def _fill(image: Image, box: Box, colour: Colour) -> None:
    height, width = image.shape[:2]
    image[round(box[1] * height) : round(box[3] * height), round(box[0] * width) : round(box[2] * width)] = colour


def _picture(image: Image, flavour: Flavour, centre: tuple[float, float], radius: float) -> None:
    """A pictogram; centre in shares, radius as a share of the smaller side."""
    height, width = image.shape[:2]
    place, reach = (centre[0] * width, centre[1] * height), radius * min(height, width)
    around = image[
        max(0, round(place[1] - reach)) : round(place[1] + reach),
        max(0, round(place[0] - reach)) : round(place[0] + reach),
    ].reshape(-1, 3)
    if len(around) and np.linalg.norm(around.mean(axis=0) - flavour.accent) < 110:  # it would drown
        halo = tinted(legible_on(flavour.accent), 0.1)
        cv2.circle(image, (round(place[0]), round(place[1])), round(1.2 * reach), halo, -1, cv2.LINE_AA)
    draw_pictogram(image, flavour.pictogram, centre=place, radius=reach, colour=flavour.accent)


def legible_on(colour: Colour) -> Colour:
    """White or near-black, whichever stands out more.

    Args:
        colour: the ground, RGB 0-255.

    Returns:
        RGB 0-255.
    """
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return (28, 24, 24) if luma > 140 else (250, 250, 246)


def _layout_banner(image: Image, style: Style, flavour: Flavour) -> None:
    _fill(image, (0, 0.12, 1, 0.4), style.ink)
    _brand(image, style, (0.06, 0.16, 0.94, 0.36), colour=style.ground)
    _picture(image, flavour, (0.5, 0.6), 0.27)
    _fill(image, (0, 0.8, 1, 0.93), flavour.accent)
    _word(image, flavour.word, (0.08, 0.82, 0.92, 0.91), legible_on(flavour.accent))


def _layout_medallion(image: Image, style: Style, flavour: Flavour) -> None:
    height, width = image.shape[:2]
    centre, axes = (width // 2, round(0.36 * height)), (round(0.45 * width), round(min(0.27 * height, 0.45 * width)))
    cv2.ellipse(image, centre, axes, 0, 0, 360, flavour.accent, -1, cv2.LINE_AA)
    inner = (max(1, round(axes[0] * 0.84)), max(1, round(axes[1] * 0.74)))
    cv2.ellipse(image, centre, inner, 0, 0, 360, style.ink, -1, cv2.LINE_AA)
    _brand(image, style, (0.14, 0.28, 0.86, 0.44), colour=style.ground)
    _picture(image, flavour, (0.5, 0.74), 0.17)
    _fill(image, (0, 0.86, 1, 0.98), flavour.accent)
    _word(image, flavour.word, (0.1, 0.88, 0.9, 0.96), legible_on(flavour.accent))


def _layout_upright(image: Image, style: Style, flavour: Flavour) -> None:
    _fill(image, (0.62, 0, 1, 1), flavour.accent)
    _brand(image, style, (0.08, 0.06, 0.56, 0.94), upward=True)
    _picture(image, flavour, (0.81, 0.2), 0.16)
    _word(image, flavour.word, (0.7, 0.4, 0.92, 0.95), legible_on(flavour.accent), upward=True)


def _layout_slope(image: Image, style: Style, flavour: Flavour) -> None:
    height, width = image.shape[:2]
    corners = np.array([[0, 0.62 * height], [width, 0.42 * height], [width, height], [0, height]], np.int32)
    cv2.fillPoly(image, [corners], flavour.accent, cv2.LINE_AA)
    _brand(image, style, (0.07, 0.08, 0.93, 0.34))
    _picture(image, Flavour(flavour.word, legible_on(flavour.accent), flavour.pictogram), (0.66, 0.66), 0.2)
    _word(image, flavour.word, (0.06, 0.85, 0.94, 0.95), legible_on(flavour.accent))


def _layout_plate(image: Image, style: Style, flavour: Flavour) -> None:
    _fill(image, (0.1, 0.22, 0.9, 0.8), (248, 246, 240))
    _fill(image, (0.1, 0.22, 0.9, 0.29), flavour.accent)
    _fill(image, (0.1, 0.7, 0.9, 0.82), flavour.accent)
    _brand(image, style, (0.14, 0.31, 0.86, 0.46), colour=style.ground if sum(style.ground) < 560 else (40, 36, 36))
    _picture(image, flavour, (0.5, 0.58), 0.16)
    _word(image, flavour.word, (0.14, 0.72, 0.86, 0.8), legible_on(flavour.accent))


def _layout_big_picture(image: Image, style: Style, flavour: Flavour) -> None:
    _picture(image, flavour, (0.5, 0.55), 0.42)
    _brand(image, style, (0.08, 0.05, 0.92, 0.22))
    _word(image, flavour.word, (0.12, 0.85, 0.88, 0.95), style.ink)


def _layout_hoop(image: Image, style: Style, flavour: Flavour) -> None:
    _fill(image, (0, 0.36, 1, 0.64), flavour.accent)
    _fill(image, (0, 0.35, 1, 0.375), style.ink)
    _fill(image, (0, 0.625, 1, 0.65), style.ink)
    _brand(image, style, (0.06, 0.4, 0.94, 0.6), colour=legible_on(flavour.accent))
    _picture(image, flavour, (0.5, 0.18), 0.17)
    _word(image, flavour.word, (0.12, 0.72, 0.88, 0.82), style.ink)


def _layout_crown(image: Image, style: Style, flavour: Flavour) -> None:
    height, width = image.shape[:2]
    cv2.ellipse(
        image, (width // 2, 0), (round(0.75 * width), round(0.42 * height)), 0, 0, 360, flavour.accent, -1, cv2.LINE_AA
    )
    _brand(image, style, (0.08, 0.1, 0.92, 0.3), colour=legible_on(flavour.accent))
    for x in (0.24, 0.5, 0.76):
        _picture(image, flavour, (x, 0.6 + 0.06 * (x == 0.5)), 0.14)
    _word(image, flavour.word, (0.1, 0.8, 0.9, 0.9), style.ink)


def _layout_column(image: Image, style: Style, flavour: Flavour) -> None:
    _fill(image, (0, 0, 0.3, 1), style.ink)
    for index in range(4):
        _picture(image, flavour, (0.15, 0.14 + 0.24 * index), 0.11)
    _brand(image, style, (0.36, 0.12, 0.95, 0.34))
    _fill(image, (0.36, 0.5, 1, 0.72), flavour.accent)
    _word(image, flavour.word, (0.4, 0.54, 0.96, 0.68), legible_on(flavour.accent))


LAYOUTS: dict[str, Callable[[Image, Style, Flavour], None]] = {
    "banner": _layout_banner, "medallion": _layout_medallion, "upright": _layout_upright, "slope": _layout_slope, "plate": _layout_plate,
    "big_picture": _layout_big_picture, "hoop": _layout_hoop, "crown": _layout_crown, "column": _layout_column,
}  # fmt: skip


def _ground(style: Style, width_px: int, height_px: int) -> Image:
    image: Image = np.empty((height_px, width_px, 3), np.uint8)
    image[:] = style.ground
    PATTERNS[style.pattern](image, style.second, np.random.default_rng([style.seed, 1]))
    return image


def draw_front(style: Style, flavour: Flavour, *, width_px: int, height_px: int) -> Image:
    """The face a pack shows the shopper.

    Args:
        style: what the brand's packs share.
        flavour: what tells this sort apart.
        width_px: > 0.
        height_px: > 0.

    Returns:
        (height_px, width_px, 3) uint8 RGB.
    """
    image = _ground(style, width_px, height_px)
    LAYOUTS[style.layout](image, style, flavour)
    return image


def draw_side(style: Style, flavour: Flavour, *, width_px: int, height_px: int) -> Image:
    """A side or the back: the brand, the facts in small print and a barcode.

    Args:
        style: what the brand's packs share.
        flavour: what tells this sort apart.
        width_px: > 0.
        height_px: > 0.

    Returns:
        (height_px, width_px, 3) uint8 RGB.
    """
    image = _ground(style, width_px, height_px)
    rng = np.random.default_rng([style.seed, 2])
    _fill(image, (0, 0, 1, 0.07), flavour.accent)
    upward = height_px > 1.6 * width_px
    _brand(image, style, (0.1, 0.1, 0.9, 0.5) if upward else (0.1, 0.1, 0.9, 0.34), upward=upward)
    _fill(image, (0.1, 0.54, 0.9, 0.76), (246, 244, 240))
    for row in range(6):
        y = 0.56 + 0.033 * row
        _fill(image, (0.14, y, 0.14 + 0.7 * float(rng.uniform(0.6, 1)), y + 0.014), (96, 92, 92))
    _fill(image, (0.2, 0.8, 0.8, 0.95), (252, 252, 252))
    edges = np.sort(rng.uniform(0.24, 0.76, 28))
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        _fill(image, (float(left), 0.82, float(right), 0.93), (24, 24, 24))
    return image


def draw_lid(style: Style, flavour: Flavour, *, width_px: int, height_px: int) -> Image:
    """The top of a box: the accent's colour, the brand and the pictogram.

    Args:
        style: what the brand's packs share.
        flavour: what tells this sort apart.
        width_px: > 0.
        height_px: > 0.

    Returns:
        (height_px, width_px, 3) uint8 RGB.
    """
    image = _ground(style, width_px, height_px)
    _fill(image, (0, 0.62, 1, 1), flavour.accent)
    _brand(image, style, (0.06, 0.08, 0.7, 0.56))
    _picture(image, flavour, (0.85, 0.32), 0.26)
    return image
