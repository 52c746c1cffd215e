"""A retailer's own products from cut-out pictures, so that its shelf can be rendered too.

A folder holds one picture per SKU, `<sku>.png` or `<sku>_<w>x<h>x<d>.png` with the size in millimetres; transparency or a plain rim is the background. A
picture becomes a box; one that is tall and narrower at the top becomes a bottle or can: its outline is the profile, the picture is unrolled onto the front
half and mirrored onto the back.
"""

import re
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.errors import Error
from fleetsight.sim.designs import BOTTLE, BOX, Design
from fleetsight.sim.faces import PX_PER_MM, Texture
from fleetsight.vision.image import Image

SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")
SIZE_IN_NAME = re.compile(r"_(\d+)x(\d+)x(\d+)$")
NARROW = 0.93  # width of the top against the middle, below which a picture counts as a bottle or can
TALL = 1.25  # height to width from which on a picture may be a bottle or can
TALL_MM, WIDE_MM = (
    190.0,
    120.0,
)  # sizes taken for granted where the name gives none: height of the tall, width of the others
BOX_DEPTH = 0.55  # of the width, where the name gives none
PROFILE_STEPS = 10
PLAIN_RIM = 14  # largest difference, of 255, between an opaque picture's corners and what is cut off around it
PRICE_MINOR = 199  # a sidecar is not read; the catalogue holds the prices
LARGEST_PX, MOST_FILES = 4000, 2000  # limits on what a folder may hold


class CutoutError(Error):
    """A folder of cut-out pictures cannot be used."""

    code: ClassVar[str] = "cutouts"


def designs_from_folder(folder: Path) -> tuple[Design, ...]:
    """Products from the pictures of a folder, in the order of their names.

    Args:
        folder: holds PNG, WebP or JPEG pictures, RGB or RGBA.

    Returns:
        One design per picture, each a family of its own.

    Raises:
        CutoutError: there is no picture, too many, or one cannot be read or is empty.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not 1 <= len(paths) <= MOST_FILES:
        message = f"{folder} holds {len(paths)} pictures, expected 1 to {MOST_FILES}"
        raise CutoutError(message, hint="give a folder with one cut-out picture per SKU, such as cola_66x168x66.png")
    return tuple(_design(path) for path in paths)


def _design(path: Path) -> Design:
    picture, cover = _cut_out(path)
    size_text = SIZE_IN_NAME.search(path.stem)
    sku = path.stem[: size_text.start()] if size_text else path.stem
    height_px, width_px = cover.shape
    round_ = height_px > TALL * width_px and _narrow_top(cover) < NARROW
    if size_text:
        width, height, depth = (float(v) for v in size_text.groups())
    elif height_px > TALL * width_px:
        width, height = TALL_MM * width_px / height_px, TALL_MM
        depth = width if round_ else BOX_DEPTH * width
    else:
        width, height = WIDE_MM, WIDE_MM * height_px / width_px
        depth = BOX_DEPTH * width
    size = (max(width, 5.0), max(height, 5.0), max(depth, 5.0))
    front = _sized(picture, size[0], size[1])
    if round_:
        profile, textures = _turned(front, _sized(cover.astype(np.uint8) * 255, size[0], size[1]) > 127, size)
        return Design(sku, sku, sku, BOTTLE, size, PRICE_MINOR, textures, profile, gloss=0.3)
    return Design(sku, sku, sku, BOX, size, PRICE_MINOR, _boxed(front, size))


def _narrow_top(cover: NDArray[np.bool_]) -> float:
    """Width of the uppermost fiftieth against the median width."""
    widths = cover.sum(axis=1)
    return float(widths[: max(1, len(widths) // 50)].mean() / np.median(widths))


def _cut_out(path: Path) -> tuple[Image, NDArray[np.bool_]]:
    """The picture cut to what it shows, background filled with the colour beside it, and where it shows something."""
    raw = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 3 or raw.dtype != np.uint8 or max(raw.shape[:2]) > LARGEST_PX:
        shape = "nothing readable" if raw is None else f"{raw.shape} {raw.dtype}"
        message = (
            f"{path.name} holds {shape}, expected an RGB or RGBA picture of 8 bits and at most {LARGEST_PX} px a side"
        )
        raise CutoutError(message, hint="save it as PNG with transparency")
    rgb = np.ascontiguousarray(raw[:, :, 2::-1])
    if raw.shape[2] == 4 and int(raw[:, :, 3].min()) < 250:
        cover = raw[:, :, 3] > 127
    else:
        apart = np.abs(rgb.astype(np.int16) - rgb[0, 0].astype(np.int16)).max(axis=2)
        cover = apart > PLAIN_RIM
        corners = apart[[0, 0, -1, -1], [0, -1, 0, -1]]
        if int(corners.max()) > PLAIN_RIM or not cover.any():  # the print goes to the edge
            cover = np.ones_like(cover)
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    if len(rows) < 4 or len(columns) < 4:
        message = f"{path.name} shows nothing but background"
        raise CutoutError(message, hint="check its transparency")
    where = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    solid = cover[where]
    solid = (
        np.maximum.accumulate(solid, axis=1) & np.maximum.accumulate(solid[:, ::-1], axis=1)[:, ::-1]
    )  # no holes within a row
    rgb = rgb[where]
    hidden = (~solid).astype(np.uint8)
    if hidden.any():
        rgb = np.asarray(cv2.inpaint(np.ascontiguousarray(rgb), hidden, 2, cv2.INPAINT_TELEA), np.uint8)
    return np.asarray(rgb, np.uint8), solid


def _sized(picture: Image, width_mm: float, height_mm: float) -> Image:
    size = (max(4, round(width_mm * PX_PER_MM)), max(4, round(height_mm * PX_PER_MM)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _boxed(front: Image, size_mm: tuple[float, float, float]) -> dict[str, Texture]:
    """Sides and top take the colours of the front's edges."""
    depth = max(4, round(size_mm[2] * PX_PER_MM))
    rim = max(1, front.shape[1] // 12)
    left = np.repeat(front[:, :rim].mean(axis=1, keepdims=True), depth, axis=1).astype(np.uint8)
    right = np.repeat(front[:, -rim:].mean(axis=1, keepdims=True), depth, axis=1).astype(np.uint8)
    top = np.repeat(front[: max(1, front.shape[0] // 12)].mean(axis=0, keepdims=True), depth, axis=0).astype(np.uint8)
    faces = {"front": front, "back": front, "left": left, "right": right, "top": top}
    return {name: Texture(face) for name, face in faces.items()}


def _turned(
    front: Image, cover: NDArray[np.bool_], size_mm: tuple[float, float, float]
) -> tuple[tuple[tuple[float, float], ...], dict[str, Texture]]:
    """Profile and wrap of a solid of revolution that looks like the picture from the front."""
    height_px, width_px = cover.shape
    radii = np.maximum(cover.sum(axis=1) / width_px * size_mm[0] / 2, 1.0)
    dense_at_ends = (1 - np.cos(np.linspace(0, np.pi, PROFILE_STEPS + 1))) / 2
    at = np.unique((dense_at_ends * (height_px - 1)).round().astype(int))
    smooth = np.asarray(cv2.blur(radii.astype(np.float32)[:, None], (1, 5)))[:, 0]
    profile = tuple((float(size_mm[1] * (1 - row / (height_px - 1))), float(smooth[row])) for row in at[::-1])
    around = round(np.pi * width_px)
    turns = (np.arange(around) + 0.5) / around * 2 * np.pi - np.pi
    middles = np.array([np.flatnonzero(row).mean() if row.any() else width_px / 2 for row in cover], np.float32)
    reach = np.maximum(cover.sum(axis=1) / 2 - 1, 0.5).astype(np.float32)
    columns = (
        middles[:, None] + reach[:, None] * np.sin(turns).astype(np.float32)[None, :]
    )  # sin mirrors the front onto the back
    rows = np.repeat(np.arange(height_px, dtype=np.float32)[:, None], around, axis=1)
    wrap = np.asarray(cv2.remap(front, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    lid = np.broadcast_to(front[: max(1, height_px // 30)].mean(axis=(0, 1)).astype(np.uint8), (16, 16, 3))
    return profile, {"wrap": Texture(wrap), "top": Texture(np.ascontiguousarray(lid))}
