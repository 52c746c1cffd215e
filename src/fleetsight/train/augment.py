"""Variation of training pictures beyond what their source shows: place, size, light, colour, noise, covered parts.

Everything is drawn from the generator passed in, so a batch is a function of its seed. Pictures stay uint8; curves are
tables and noise comes from a fixed bank, because two cores shall spend their time on the network.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.train.samples import Image
from fleetsight.vision.box import area, clip, covered
from fleetsight.vision.letterbox import PAD_GREY

SCALE_RANGE = (0.6, 1.5)
VISIBLE_MIN = 0.35  # of a box's area after cropping or covering; below, the box becomes a region without verdict
SIDE_MIN_PX = 5.0  # smaller boxes hold too few pixels to judge
NOISE_BANK = 1 << 21  # values; about seven pictures' worth, read from a random place
COVER_CHANCE, COARSE_CHANCE = 0.5, 0.3  # of scene crops, on top of what their scene already hides and blurs
CROP_PAD = 128  # the embedder's letterbox grey, as its card says


@dataclass(frozen=True)
class SceneBoxes:
    """Boxes of one picture while it is being varied: all in its pixels."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]
    ignore: NDArray[np.float32]


@lru_cache(maxsize=1)
def _noise_bank() -> NDArray[np.float32]:
    return np.random.default_rng(20261121).standard_normal(NOISE_BANK, dtype=np.float32)


def light_tables(rng: np.random.Generator, *, strength: float = 1.0) -> NDArray[np.uint8]:
    """Draw a tone curve per channel: gamma, contrast, brightness and a colour cast.

    Args:
        rng: source of chance.
        strength: 0 leaves colours alone, 1 is the training range.

    Returns:
        (1, 256, 3) uint8 table for cv2.LUT.
    """
    level = np.linspace(0.0, 1.0, 256, dtype=np.float32)[:, None]
    gamma = math.exp(rng.normal(0, 0.22 * strength))
    cast = np.exp(rng.normal(0, 0.07 * strength, size=3)).astype(np.float32)
    contrast, offset = math.exp(rng.normal(0, 0.15 * strength)), rng.normal(0, 0.05 * strength)
    curve = (np.power(level, gamma) - 0.5) * contrast * cast + 0.5 + offset
    return _pixels(np.clip(curve * 255.0 + 0.5, 0, 255)[None])


def vary_light(image: Image, rng: np.random.Generator, *, strength: float = 1.0) -> Image:
    """Change light, colour, sharpness and noise.

    Args:
        image: (h, w, 3) uint8 RGB.
        rng: source of chance.
        strength: 1 is the training range.

    Returns:
        A new picture of the same shape.
    """
    out = _pixels(cv2.LUT(image, light_tables(rng, strength=strength)))
    if rng.random() < 0.25 * strength:
        colour = 0.0 if rng.random() < 0.25 else float(rng.uniform(0.4, 1.5))  # 0: a grey picture
        grey = _pixels(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[:, :, None].repeat(3, axis=2))
        out = _pixels(cv2.addWeighted(out, colour, grey, 1.0 - colour, 0.0))
    if rng.random() < 0.2 * strength:
        out = _pixels(cv2.GaussianBlur(out, (5, 5), float(rng.uniform(0.3, 1.2))))
    if rng.random() < 0.45 * strength:
        bank = _noise_bank()
        start = int(rng.integers(0, NOISE_BANK - out.size))
        noise = bank[start : start + out.size].reshape(out.shape) * np.float32(rng.uniform(1.0, 9.0))
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    return out


def _pixels(array: NDArray[Any]) -> Image:
    return np.asarray(array, dtype=np.uint8)


def _placement(
    size_wh: tuple[int, int], canvas_wh: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Draw scale and offset; often the very placement that inference uses."""
    fit = min(canvas_wh[0] / size_wh[0], canvas_wh[1] / size_wh[1])
    if rng.random() < 0.25:
        return fit, 0.0, 0.0
    factor = (
        float(np.exp(rng.uniform(np.log(SCALE_RANGE[0]), np.log(SCALE_RANGE[1]))))
        if rng.random() < 0.7
        else float(rng.uniform(0.93, 1.07))
    )
    scale = fit * factor
    room_x, room_y = canvas_wh[0] - size_wh[0] * scale, canvas_wh[1] - size_wh[1] * scale
    return scale, float(rng.uniform(min(room_x, 0), max(room_x, 0))), float(rng.uniform(min(room_y, 0), max(room_y, 0)))


def _settle_boxes(scene: SceneBoxes, canvas_wh: tuple[int, int]) -> SceneBoxes:
    """Clip boxes to the canvas; those that lost too much become regions without verdict."""
    clipped = clip(scene.boxes, canvas_wh)
    whole = np.maximum(area(scene.boxes), 1e-6)
    sides = clipped[:, 2:] - clipped[:, :2]
    seen = area(clipped) > 0
    good = seen & (area(clipped) >= VISIBLE_MIN * whole) & (sides.min(axis=1, initial=np.inf) >= SIDE_MIN_PX)
    ignore = np.concatenate([clip(scene.ignore, canvas_wh), clipped[seen & ~good]])
    ignore = ignore[area(ignore) > 0]
    return SceneBoxes(clipped[good], scene.labels[good], ignore.astype(np.float32))


def _cut_out(image: Image, scene: SceneBoxes, rng: np.random.Generator) -> SceneBoxes:
    height, width = image.shape[:2]
    patches = []
    for _ in range(int(rng.integers(1, 4))):
        patch_w, patch_h = width * rng.uniform(0.02, 0.14), height * rng.uniform(0.03, 0.2)
        x, y = rng.uniform(0, width - patch_w), rng.uniform(0, height - patch_h)
        box = np.array([x, y, x + patch_w, y + patch_h], dtype=np.float32)
        x0, y0, x1, y1 = box.astype(int)
        image[y0:y1, x0:x1] = rng.integers(0, 256, 3, dtype=np.uint8)
        patches.append(box)
    if not len(scene.boxes):
        return scene
    hidden = covered(scene.boxes, np.stack(patches)).max(axis=1) > 0.5
    ignore = np.concatenate([scene.ignore, scene.boxes[hidden]]).astype(np.float32)
    return SceneBoxes(scene.boxes[~hidden], scene.labels[~hidden], ignore)


def vary_scene(
    image: Image, scene: SceneBoxes, *, rng: np.random.Generator, canvas_wh: tuple[int, int]
) -> tuple[Image, SceneBoxes]:
    """Place a scene on the network's input in a new way.

    Args:
        image: (h, w, 3) uint8 RGB.
        scene: boxes in pixels of the image.
        rng: source of chance.
        canvas_wh: width and height of the network's input.

    Returns:
        image: (canvas h, canvas w, 3) uint8 RGB, padded with 114.
        scene: boxes in pixels of the canvas.
    """
    height, width = image.shape[:2]
    scale, x, y = _placement((width, height), canvas_wh, rng)
    mirrored = rng.random() < 0.5
    centre_shift = 0.5 * scale - 0.5  # pixel i covers [i, i + 1): centres, not corners, are what warpAffine maps
    matrix = np.array([[scale, 0, x + centre_shift], [0, scale, y + centre_shift]])
    flags = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    warped = cv2.warpAffine(
        image, matrix, canvas_wh, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(PAD_GREY,) * 3
    )
    shift = np.array([x, y, x, y], dtype=np.float32)
    moved = SceneBoxes(scene.boxes * np.float32(scale) + shift, scene.labels, scene.ignore * np.float32(scale) + shift)
    canvas = vary_light(_pixels(warped), rng)
    if mirrored:
        canvas = _pixels(np.ascontiguousarray(canvas[:, ::-1]))
        moved = SceneBoxes(_mirror(moved.boxes, canvas_wh[0]), moved.labels, _mirror(moved.ignore, canvas_wh[0]))
    if rng.random() < 0.3:
        moved = _cut_out(canvas, moved, rng)
    return canvas, _settle_boxes(moved, canvas_wh)


def _mirror(boxes: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1).astype(np.float32)


def vary_crop(image: Image, rng: np.random.Generator, *, side_px: int, gallery: bool) -> Image:
    """Letterbox a product crop in a new way: loose or tight, turned a little, partly covered.

    Args:
        image: (h, w, 3) uint8 RGB.
        rng: source of chance.
        side_px: side of the network's input.
        gallery: catalog pictures vary less, as they will in use.

    Returns:
        (side_px, side_px, 3) uint8 RGB, aspect kept up to a few per cent, padded with 128.
    """
    height, width = image.shape[:2]
    reach = 0.06 if gallery else 0.12
    edge = rng.uniform(-reach, reach * 0.6, size=4)  # negative cuts into the crop, positive shows more grey
    x0, y0 = -edge[0] * width, -edge[1] * height
    x1, y1 = width * (1 + edge[2]), height * (1 + edge[3])
    scale = side_px / max(x1 - x0, y1 - y0)
    aspect = float(np.exp(rng.normal(0, 0.02)))
    angle = float(rng.normal(0, 0.03 if gallery else 0.08))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    linear = turn @ np.diag([aspect, 1 / aspect])
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    shift = np.array([side_px / 2, side_px / 2]) - linear @ middle + linear @ np.array([0.5, 0.5]) - 0.5
    source = image
    if scale < 0.75:  # warpAffine skips pixels when it shrinks; average first, as inference does
        source = _pixels(cv2.blur(image, (2, 2) if scale > 0.4 else (3, 3)))
    out = _pixels(
        cv2.warpAffine(
            source,
            np.column_stack([linear, shift]),
            (side_px, side_px),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(CROP_PAD,) * 3,
        )
    )
    if not gallery and rng.random() < COVER_CHANCE:
        _cover(out, rng)
    if not gallery and rng.random() < COARSE_CHANCE:
        small = int(rng.integers(side_px // 3, side_px))
        out = _pixels(cv2.resize(cv2.resize(out, (small, small), interpolation=cv2.INTER_AREA), (side_px, side_px)))
    return vary_light(out, rng, strength=0.5 if gallery else 0.9)


def _cover(image: Image, rng: np.random.Generator) -> None:
    """Lay a hand-coloured or arbitrary patch over one border of the crop."""
    side = image.shape[0]
    colour = rng.integers(0, 256, 3) if rng.random() < 0.5 else np.array([200, 150, 120]) * rng.uniform(0.35, 1.15)
    depth, start = rng.uniform(0.1, 0.45) * side, rng.uniform(-0.2, 0.7) * side
    length = rng.uniform(0.3, 1.0) * side
    patch = np.array(
        [[start, -side], [start + length, -side], [start + length + rng.normal(0, 0.1 * side), depth], [start, depth]]
    )
    quarter = int(rng.integers(0, 4))
    middle = side / 2
    for _ in range(quarter):
        patch = np.stack([side - patch[:, 1], patch[:, 0]], axis=1) - middle + middle
    cv2.fillConvexPoly(image, patch.astype(np.int32), tuple(float(min(255.0, v)) for v in colour), lineType=cv2.LINE_AA)
