"""Pictures into the pixels that public models were trained on, in numpy and without torch or Pillow.

Those models saw pictures resized by Pillow, which averages over the covered area when it shrinks; OpenCV's cubic does
not, and its constant is another. So Pillow's filter is computed here: the weights of its documentation (support scaled by
the shrink, cubic with a = -0.5), a horizontal and then a vertical pass, each rounded to bytes. Results are Pillow's to one
step of 255 in few pixels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.parts.part import PartError
from fleetsight.vision.image import Image, check_image, size_wh

CUBIC_A = -0.5
"""Pillow's Resample.c; OpenCV has -0.75."""

BLOCK = 32
"""Columns of the answer per matrix product: each product covers little more than the pixels it needs."""

Blocks = tuple[tuple[int, int, NDArray[np.float32]], ...]


@dataclass(frozen=True)
class PixelSettings:
    """How a model wants its pictures.

    Attributes:
        size_wh: width and height of the model's input.
        keep_aspect: fit the picture into the input and fill up right and below with zeros; False stretches it.
        cubic: the cubic filter; False the linear one.
        mean: of each channel, on the scale 0 to 1.
        std: of each channel, on the scale 0 to 1.
    """

    size_wh: tuple[int, int]
    keep_aspect: bool
    cubic: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PixelSettings":
        """Read what `to_json` wrote.

        Args:
            values: plain values.

        Returns:
            the settings.

        Raises:
            PartError: a value is missing or of another kind.
        """
        try:
            width, height = (int(side) for side in values["size_wh"])
            red, green, blue = (float(value) for value in values["mean"])
            spread = tuple(float(value) for value in values["std"])
            if min(width, height) < 1 or len(spread) != 3 or min(spread) <= 0.0:
                raise PartError(f"settings of pixels make no sense: {dict(values)}")
            return cls(
                size_wh=(width, height),
                keep_aspect=bool(values["keep_aspect"]),
                cubic=bool(values["cubic"]),
                mean=(red, green, blue),
                std=(spread[0], spread[1], spread[2]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PartError(f"settings of pixels are not complete: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """The settings as plain values."""
        return {
            "size_wh": list(self.size_wh),
            "keep_aspect": self.keep_aspect,
            "cubic": self.cubic,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def content_wh(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """What part of the input a picture fills.

        Args:
            image_wh: width and height of the picture.

        Returns:
            width and height in pixels of the input, from its upper left corner.
        """
        if not self.keep_aspect:
            return self.size_wh
        scale = max(self.size_wh) / max(image_wh)
        width, height = (int(side * scale + 0.5) for side in image_wh)
        return (max(width, 1), max(height, 1))


def prepare(image: Image, settings: PixelSettings) -> NDArray[np.float32]:
    """One picture as the model eats it.

    Args:
        image: (h, w, 3) uint8 RGB.
        settings: the model's.

    Returns:
        (1, 3, h, w) float32, normalised; zero where the picture does not reach.

    Raises:
        ShapeError: image is not (h, w, 3) uint8.
    """
    check_image(image)
    width, height = settings.size_wh
    content = settings.content_wh(size_wh(image))
    small = resize(image, content, cubic=settings.cubic)
    std = np.array(settings.std, dtype=np.float32)
    gain = np.float32(1.0 / 255.0) / std
    shift = np.array(settings.mean, dtype=np.float32) / std
    batch = np.zeros((1, 3, height, width), dtype=np.float32)
    for channel in range(3):
        plane = batch[0, channel, : content[1], : content[0]]
        np.multiply(small[..., channel], gain[channel], out=plane)
        np.subtract(plane, shift[channel], out=plane)
    return batch


def resize(image: Image, to_wh: tuple[int, int], *, cubic: bool) -> Image:
    """Resize as Pillow does.

    Args:
        image: (h, w, 3) uint8.
        to_wh: wanted width and height, > 0.
        cubic: the cubic filter; False the linear one.

    Returns:
        (h, w, 3) uint8.
    """
    width, height = size_wh(image)
    if (width, height) == to_wh:
        return image
    planes = cv2.split(image)
    across = _blocks(width, to_wh[0], cubic) if width != to_wh[0] else ()
    down = _blocks(height, to_wh[1], cubic) if height != to_wh[1] else ()
    return np.asarray(cv2.merge([_squeeze(plane, across, down) for plane in planes]), dtype=np.uint8)


def _squeeze(plane: NDArray[Any], across: Blocks, down: Blocks) -> NDArray[np.uint8]:
    """One channel, first across and then down, as Pillow does; no blocks: that side stays."""
    if across:
        values = plane.astype(np.float32)
        plane = _rounded(np.concatenate([values[:, first:end] @ taps for first, end, taps in across], axis=1))
    if down:
        values = plane.astype(np.float32)
        plane = _rounded(np.concatenate([taps.T @ values[first:end] for first, end, taps in down], axis=0))
    return plane


def _rounded(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    np.add(values, 0.5, out=values)
    np.clip(values, 0.0, 255.0, out=values)
    return values.astype(np.uint8)


@lru_cache(maxsize=64)
def _blocks(before: int, after: int, cubic: bool) -> Blocks:  # noqa: FBT001  (a key of the cache)
    """Weights from `before` pixels to `after`, cut into blocks of the answer: (first, end, (end - first, n))."""
    weights = _weights(before, after, cubic=cubic)
    blocks = []
    for start in range(0, after, BLOCK):
        columns = weights[:, start : start + BLOCK]
        used = np.flatnonzero(columns.any(axis=1))
        first, end = int(used[0]), int(used[-1]) + 1
        blocks.append((first, end, np.ascontiguousarray(columns[first:end], dtype=np.float32)))
    return tuple(blocks)


def _weights(before: int, after: int, *, cubic: bool) -> NDArray[np.float64]:
    shrink = max(before / after, 1.0)
    support = (2.0 if cubic else 1.0) * shrink
    table = np.zeros((before, after))
    for index in range(after):
        centre = (index + 0.5) * before / after
        first = max(int(centre - support + 0.5), 0)
        end = min(int(centre + support + 0.5), before)
        distances = (np.arange(first, end) - centre + 0.5) / shrink
        taps = _cubic(np.abs(distances)) if cubic else np.maximum(1.0 - np.abs(distances), 0.0)
        table[first:end, index] = taps / math.fsum(taps)
    return table


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic (IEEE ASSP 29, 1981) with `CUBIC_A`."""
    near = ((CUBIC_A + 2.0) * distance - (CUBIC_A + 3.0)) * distance * distance + 1.0
    far = CUBIC_A * (((distance - 5.0) * distance + 8.0) * distance - 4.0)
    return np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))
