"""Fit an image into a rectangle without changing its aspect, and find the way back.

`fit` decides where the picture goes (pure arithmetic); `letterbox` moves the pixels; the `Letterbox` maps boxes and
points either way. The two axes have their own scale because the resized picture has whole pixels: this keeps the way
back exact, where one common ratio drifts by up to a pixel of the original.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.vision.box import Boxes, check_boxes, clip
from fleetsight.vision.image import Image, ShapeError, check_image, size_wh

Place: TypeAlias = Literal["top_left", "centre"]
"""Where the picture lies on the canvas; the rest is padding."""

PAD_GREY = 114
"""Padding of the YOLOX family (arXiv 2107.08430, released code)."""


@dataclass(frozen=True)
class Letterbox:
    """How an image lies on a canvas.

    Attributes:
        image_wh: width and height of the image in its own pixels.
        canvas_wh: width and height of the canvas in pixels.
        content_wh: width and height of the resized picture on the canvas.
        offset_xy: left and top of the picture on the canvas in pixels.
    """

    image_wh: tuple[int, int]
    canvas_wh: tuple[int, int]
    content_wh: tuple[int, int]
    offset_xy: tuple[int, int]

    def points_to_canvas(self, points_xy_px: NDArray[Any]) -> NDArray[np.float32]:
        """Map points of the image to the canvas.

        Args:
            points_xy_px: (n, 2) in pixels of the image.

        Returns:
            (n, 2) float32 in pixels of the canvas.
        """
        scale, offset = self._transform()
        return np.asarray(np.asarray(points_xy_px, dtype=np.float32) * scale + offset, dtype=np.float32)

    def points_to_image(self, points_xy_px: NDArray[Any]) -> NDArray[np.float32]:
        """Map points of the canvas to the image.

        Args:
            points_xy_px: (n, 2) in pixels of the canvas.

        Returns:
            (n, 2) float32 in pixels of the image, not clipped to it.
        """
        scale, offset = self._transform()
        return np.asarray((np.asarray(points_xy_px, dtype=np.float32) - offset) / scale, dtype=np.float32)

    def boxes_to_canvas(self, boxes_xyxy_px: Boxes) -> Boxes:
        """Map boxes of the image to the canvas.

        Args:
            boxes_xyxy_px: (n, 4) in pixels of the image.

        Returns:
            (n, 4) float32 in pixels of the canvas.
        """
        boxes = check_boxes(boxes_xyxy_px)
        return self.points_to_canvas(boxes.reshape(-1, 2)).reshape(-1, 4)

    def boxes_to_image(self, boxes_xyxy_px: Boxes) -> Boxes:
        """Map boxes of the canvas to the image and cut them off at its edges.

        Args:
            boxes_xyxy_px: (n, 4) in pixels of the canvas.

        Returns:
            (n, 4) float32 in pixels of the image; a box that lay in the padding becomes empty.
        """
        boxes = check_boxes(boxes_xyxy_px)
        return clip(self.points_to_image(boxes.reshape(-1, 2)).reshape(-1, 4), self.image_wh)

    def _transform(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        scale = np.array(
            [self.content_wh[0] / self.image_wh[0], self.content_wh[1] / self.image_wh[1]], dtype=np.float32
        )
        return scale, np.array(self.offset_xy, dtype=np.float32)


def fit(image_wh: tuple[int, int], canvas_wh: tuple[int, int], *, place: Place = "top_left") -> Letterbox:
    """Decide where an image goes on a canvas.

    Args:
        image_wh: width and height of the image, each >= 1.
        canvas_wh: width and height of the canvas, each >= 1.
        place: where the picture lies; the rest is padding.

    Returns:
        the largest picture of the same aspect, rounded to whole pixels and at least 1 x 1.

    Raises:
        ShapeError: a side is below 1.
    """
    if min(*image_wh, *canvas_wh) < 1:
        raise ShapeError(f"sides must be >= 1, got image {image_wh} and canvas {canvas_wh}")
    scale = min(canvas_wh[0] / image_wh[0], canvas_wh[1] / image_wh[1])
    width = min(canvas_wh[0], max(1, round(image_wh[0] * scale)))
    height = min(canvas_wh[1], max(1, round(image_wh[1] * scale)))
    offset = (0, 0) if place == "top_left" else ((canvas_wh[0] - width) // 2, (canvas_wh[1] - height) // 2)
    return Letterbox(image_wh=image_wh, canvas_wh=canvas_wh, content_wh=(width, height), offset_xy=offset)


def letterbox(
    image: Image,
    canvas_wh: tuple[int, int],
    *,
    place: Place = "top_left",
    pad_value: int = PAD_GREY,
    smooth: bool = False,
) -> tuple[Image, Letterbox]:
    """Fit an image into a rectangle without changing its aspect.

    Args:
        image: (h, w, 3) uint8 RGB, 0-255.
        canvas_wh: width and height of the rectangle in pixels.
        place: where the picture lies on it.
        pad_value: grey level of the padding, 0-255.
        smooth: average over the covered area when shrinking (no aliasing, two to four times slower);
            False samples bilinearly, as the YOLOX family was trained.

    Returns:
        canvas: (canvas h, canvas w, 3) uint8 RGB.
        box: maps boxes of the canvas back to the image; exact inverse to 0.5 px of the image.

    Raises:
        ShapeError: image is not (h, w, 3) uint8 or a side is below 1.
    """
    box = fit(size_wh(check_image(image)), canvas_wh, place=place)
    canvas = np.full((canvas_wh[1], canvas_wh[0], 3), pad_value, dtype=np.uint8)
    place_content(image, box, canvas=canvas, smooth=smooth)
    return canvas, box


def place_content(image: Image, box: Letterbox, *, canvas: Image, smooth: bool = False) -> None:
    """Resize an image straight into its place on a canvas; the padding is left as it is.

    Args:
        image: (h, w, 3) uint8 RGB of size `box.image_wh`.
        box: where it goes.
        canvas: (canvas h, canvas w, 3) uint8 C-contiguous, overwritten inside the content rectangle.
        smooth: as in `letterbox`.
    """
    (left, top), (width, height) = box.offset_xy, box.content_wh
    content = canvas[top : top + height, left : left + width]
    if box.content_wh == box.image_wh:
        content[:] = image
        return
    shrinks = smooth and width < box.image_wh[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    # cv2 writes into a strided view only when its rows are plain slices, which a rectangle of a canvas is.
    cv2.resize(image, (width, height), dst=content, interpolation=interpolation)
