"""Non-maximum suppression: of boxes that overlap too much, keep the one with the best score.

Greedy, in order of score. Boxes are worked off in blocks: inside a block one overlap matrix answers every question,
then the block's survivors strike out what they cover in the rest. This keeps the Python loop short for a few boxes and
the memory small for thousands. Equal scores are ordered by their coordinates, so the result does not depend on the
order in which the boxes came.
"""

import numpy as np
from numpy.typing import NDArray

from fleetsight.vision.box import Boxes, check_boxes, iou
from fleetsight.vision.image import ShapeError

BLOCK = 128
"""Boxes per overlap matrix: large enough for any usual frame in one go, 64 KiB of float32."""


def suppress(
    boxes_xyxy_px: Boxes,
    scores: NDArray[np.float32],
    *,
    labels: NDArray[np.int32] | None = None,
    iou_max: float = 0.5,
    keep_max: int | None = None,
) -> NDArray[np.intp]:
    """Choose the boxes to keep.

    Args:
        boxes_xyxy_px: (n, 4) float32.
        scores: (n,) float32, higher is better; no NaN.
        labels: (n,) int32: only boxes of the same label suppress each other; None: every pair does.
        iou_max: two kept boxes overlap by at most this intersection over union, 0-1.
        keep_max: stop after this many; None: no limit.

    Returns:
        (k,) indices of the kept boxes, best score first.

    Raises:
        ShapeError: scores or labels do not match the boxes.
    """
    boxes = check_boxes(boxes_xyxy_px)
    if scores.shape != (len(boxes),) or (labels is not None and labels.shape != scores.shape):
        raise ShapeError(f"{len(boxes)} boxes need as many scores and labels, got {scores.shape}")
    remaining = _order(boxes, scores)
    kept: list[NDArray[np.intp]] = []
    room = len(boxes) if keep_max is None else keep_max
    while len(remaining) and room > 0:
        block, remaining = remaining[:BLOCK], remaining[BLOCK:]
        winners = block[_survivors(_too_close(boxes, labels, block, block, iou_max=iou_max))][:room]
        kept.append(winners)
        room -= len(winners)
        if len(remaining) and room > 0:
            struck = _too_close(boxes, labels, winners, remaining, iou_max=iou_max).any(axis=0)
            remaining = remaining[~struck]
    return np.concatenate(kept) if kept else np.zeros(0, dtype=np.intp)


def _order(boxes: Boxes, scores: NDArray[np.float32]) -> NDArray[np.intp]:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    if (ranked[1:] == ranked[:-1]).any():
        return np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -scores))
    return order


def _too_close(
    boxes: Boxes,
    labels: NDArray[np.int32] | None,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    *,
    iou_max: float,
) -> NDArray[np.bool_]:
    close = iou(boxes[first], boxes[second]) > iou_max
    if labels is not None:
        close &= labels[first][:, None] == labels[second][None, :]
    return close


def _survivors(close: NDArray[np.bool_]) -> NDArray[np.intp]:
    count = len(close)
    if count == 1:
        return np.zeros(1, dtype=np.intp)
    struck = np.zeros(count, dtype=np.bool_)
    kept = []
    for index in range(count):
        if not struck[index]:
            kept.append(index)
            struck |= close[index]
    return np.array(kept, dtype=np.intp)
