"""What an image is: an array of bytes, red first. Every other module checks its pictures here."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetsight.errors import Error

Image: TypeAlias = NDArray[np.uint8]
"""(h, w, 3) uint8, RGB, 0-255; x to the right, y down, the corner of the first pixel is (0, 0)."""


class ShapeError(Error):
    """An array has the wrong shape or element type."""

    code = "shape"


def check_image(image: NDArray[Any]) -> Image:
    """Return the image when it is one.

    Args:
        image: array to check.

    Returns:
        the same array, (h, w, 3) uint8 with h, w >= 1.

    Raises:
        ShapeError: it is not (h, w, 3) uint8, or it is empty.
    """
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ShapeError(
            f"an image must be (h, w, 3) with h, w >= 1, got {image.shape}",
            hint="convert grey or RGBA pictures to RGB first",
        )
    if image.dtype != np.uint8:
        raise ShapeError(
            f"an image must be uint8, got {image.dtype}", hint="scale to 0-255 and use .astype(numpy.uint8)"
        )
    return image


def size_wh(image: Image) -> tuple[int, int]:
    """Width and height of an image.

    Args:
        image: (h, w, 3) uint8 RGB.

    Returns:
        (w, h) in pixels.
    """
    return int(image.shape[1]), int(image.shape[0])


def crop(image: Image, box_xyxy_px: NDArray[np.float32]) -> Image | None:
    """Cut a box out of an image.

    Args:
        image: (h, w, 3) uint8 RGB.
        box_xyxy_px: (4,) left, top, right, bottom; any part outside the image is cut off.

    Returns:
        a view (h', w', 3) that covers every pixel the box touches, or None when the box touches none.

    Raises:
        ShapeError: the box is not four numbers.
    """
    if np.shape(box_xyxy_px) != (4,):
        raise ShapeError(f"a box must be four numbers x1, y1, x2, y2, got shape {np.shape(box_xyxy_px)}")
    if not np.isfinite(box_xyxy_px).all():
        return None
    width, height = size_wh(image)
    left, top = (max(0, int(np.floor(value))) for value in box_xyxy_px[:2])
    right, bottom = int(np.ceil(box_xyxy_px[2])), int(np.ceil(box_xyxy_px[3]))
    right, bottom = min(width, right), min(height, bottom)
    if right <= left or bottom <= top:
        return None
    return image[top:bottom, left:right]
