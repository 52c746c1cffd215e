"""Boxes as rows of four numbers: areas, overlaps, conversions.

A box is x1, y1, x2, y2 in pixels, edges and not pixel centres: a box round the first pixel is (0, 0, 1, 1).
A box with x2 <= x1 or y2 <= y1 is empty: its area is 0 and it overlaps nothing.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetsight.vision.image import ShapeError

Boxes: TypeAlias = NDArray[np.float32]
"""(n, 4) float32: x1, y1, x2, y2 in pixels."""


def check_boxes(boxes_xyxy_px: NDArray[Any]) -> Boxes:
    """Return boxes as (n, 4) float32.

    Args:
        boxes_xyxy_px: (n, 4) numbers; an empty array of any shape counts as no boxes.

    Returns:
        (n, 4) float32, the same memory when nothing had to change.

    Raises:
        ShapeError: the array is not (n, 4).
    """
    boxes = np.asarray(boxes_xyxy_px, dtype=np.float32)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(f"boxes must be (n, 4), got {boxes.shape}", hint="one row x1, y1, x2, y2 for each box")
    return boxes


def area(boxes_xyxy_px: Boxes) -> NDArray[np.float32]:
    """Area of each box.

    Args:
        boxes_xyxy_px: (n, 4).

    Returns:
        (n,) float32 in square pixels; 0 for empty boxes.
    """
    boxes = check_boxes(boxes_xyxy_px)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def intersection(first_xyxy_px: Boxes, second_xyxy_px: Boxes) -> NDArray[np.float32]:
    """Area that each pair of boxes shares.

    Args:
        first_xyxy_px: (n, 4).
        second_xyxy_px: (m, 4).

    Returns:
        (n, m) float32 in square pixels.
    """
    first, second = check_boxes(first_xyxy_px), check_boxes(second_xyxy_px)
    # Columns side by side in memory: half the time for thousands of pairs.
    left, top, right, bottom = np.ascontiguousarray(second.T)
    width = np.minimum(first[:, 2:3], right) - np.maximum(first[:, 0:1], left)
    height = np.minimum(first[:, 3:4], bottom) - np.maximum(first[:, 1:2], top)
    np.maximum(width, 0.0, out=width)
    np.maximum(height, 0.0, out=height)
    return np.asarray(np.multiply(width, height, out=width), dtype=np.float32)


def iou(first_xyxy_px: Boxes, second_xyxy_px: Boxes) -> NDArray[np.float32]:
    """Intersection over union of each pair of boxes.

    Args:
        first_xyxy_px: (n, 4).
        second_xyxy_px: (m, 4).

    Returns:
        (n, m) float32 in 0-1; 0 where a box is empty.
    """
    shared = intersection(first_xyxy_px, second_xyxy_px)
    joined = area(first_xyxy_px)[:, None] + area(second_xyxy_px)[None, :] - shared
    return _share(shared, joined)


def covered(first_xyxy_px: Boxes, second_xyxy_px: Boxes) -> NDArray[np.float32]:
    """Part of each first box that each second box covers.

    Args:
        first_xyxy_px: (n, 4).
        second_xyxy_px: (m, 4).

    Returns:
        (n, m) float32 in 0-1; 0 where the first box is empty.
    """
    shared = intersection(first_xyxy_px, second_xyxy_px)
    return _share(shared, area(first_xyxy_px)[:, None])


def clip(boxes_xyxy_px: Boxes, size_wh: tuple[int, int]) -> Boxes:
    """Cut boxes off at the edges of an image.

    Args:
        boxes_xyxy_px: (n, 4).
        size_wh: width and height of the image in pixels.

    Returns:
        (n, 4) float32, a copy; a box wholly outside becomes empty.
    """
    width, height = size_wh
    limit = np.array([width, height, width, height], dtype=np.float32)
    return np.asarray(np.clip(check_boxes(boxes_xyxy_px), 0.0, limit), dtype=np.float32)


def xywh_from_xyxy(boxes_xyxy_px: Boxes) -> Boxes:
    """Corners to left, top, width, height (the order of COCO files).

    Args:
        boxes_xyxy_px: (n, 4).

    Returns:
        (n, 4) float32: x, y, w, h.
    """
    boxes = check_boxes(boxes_xyxy_px)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def xyxy_from_xywh(boxes_xywh_px: Boxes) -> Boxes:
    """Left, top, width, height to corners; inverse of `xywh_from_xyxy` within float32 rounding.

    Args:
        boxes_xywh_px: (n, 4): x, y, w, h.

    Returns:
        (n, 4) float32: x1, y1, x2, y2.
    """
    boxes = check_boxes(boxes_xywh_px)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def union(boxes_xyxy_px: Boxes) -> NDArray[np.float32]:
    """Smallest box round all boxes that are not empty.

    Args:
        boxes_xyxy_px: (n, 4).

    Returns:
        (4,) float32; all zeros when every box is empty.
    """
    boxes = check_boxes(boxes_xyxy_px)
    boxes = boxes[area(boxes) > 0.0]
    if not len(boxes):
        return np.zeros(4, dtype=np.float32)
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _share(part: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """Part by whole, at most 1; 0 where the whole is 0, because the part is too. Overwrites the part."""
    np.divide(part, np.maximum(whole, np.finfo(np.float32).tiny), out=part)
    return np.asarray(np.minimum(part, 1.0, out=part), dtype=np.float32)
