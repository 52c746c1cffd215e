"""How good detections are: average precision (101-point, as COCO), recall at a working score, and edge errors in pixels.

Detections that match nothing but lie mostly in a region without verdict are not counted either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetsight.vision.box import covered, iou
from fleetsight.vision.detections import Detections

IGNORE_COVER_MIN = 0.5


@dataclass(frozen=True)
class TruthBoxes:
    """True boxes of one picture.

    Args:
        boxes_xyxy_px: (n, 4) float32.
        labels: (n,) int32.
        ignore_xyxy_px: (k, 4) float32 regions without verdict.
    """

    boxes_xyxy_px: NDArray[np.float32]
    labels: NDArray[np.int32]
    ignore_xyxy_px: NDArray[np.float32]


@dataclass(frozen=True)
class _Matches:
    scores: NDArray[np.float32]
    owner: NDArray[np.int64]  # index of the matched true box, -1 none, -2 not counted
    truths: int


def _match(found: Detections, truth: TruthBoxes, *, label: int, iou_min: float) -> _Matches:
    mine = found.select(found.labels == label)
    mine = mine.select(np.argsort(-mine.scores, kind="stable"))
    true = truth.boxes_xyxy_px[truth.labels == label]
    owner = np.full(len(mine), -1, np.int64)
    if len(mine) and len(true):
        overlap = iou(mine.boxes_xyxy_px, true)
        for row in range(len(mine)):
            best = int(overlap[row].argmax())
            if overlap[row, best] >= iou_min:
                owner[row] = best
                overlap[:, best] = -1
    if len(mine) and len(truth.ignore_xyxy_px):
        hidden = covered(mine.boxes_xyxy_px, truth.ignore_xyxy_px).max(axis=1) >= IGNORE_COVER_MIN
        owner[(owner == -1) & hidden] = -2
    return _Matches(mine.scores, owner, len(true))


def average_precision(found: Sequence[Detections], truth: Sequence[TruthBoxes], *, label: int, iou_min: float) -> float:
    """Area under precision over recall of one class.

    Args:
        found: detections of each picture, any score.
        truth: true boxes of each picture.
        label: the class.
        iou_min: overlap that makes a match.

    Returns:
        0..1; nan when the class never occurs.
    """
    matches = [_match(f, t, label=label, iou_min=iou_min) for f, t in zip(found, truth, strict=True)]
    total = sum(m.truths for m in matches)
    if total == 0:
        return float("nan")
    scores = np.concatenate([m.scores for m in matches])
    owner = np.concatenate([m.owner for m in matches])
    scores, owner = scores[owner > -2], owner[owner > -2]
    hits = (owner >= 0)[np.argsort(-scores, kind="stable")]
    recall = np.cumsum(hits) / total
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    where = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(where, len(precision))].mean())


def edge_errors_px(found: Sequence[Detections], truth: Sequence[TruthBoxes], *, label: int) -> NDArray[np.float64]:
    """Absolute errors of the edges of matched boxes (IoU >= 0.5).

    Args:
        found: detections of each picture, at the working score.
        truth: true boxes of each picture.
        label: the class.

    Returns:
        (n, 4) left, top, right, bottom, pixels of the picture.
    """
    rows = []
    for mine, true in zip(found, truth, strict=True):
        chosen = mine.select(mine.labels == label)
        boxes = true.boxes_xyxy_px[true.labels == label]
        if len(chosen) and len(boxes):
            overlap = iou(chosen.boxes_xyxy_px, boxes)
            best = overlap.argmax(axis=1)
            good = overlap.max(axis=1) >= 0.5
            rows.append(np.abs(chosen.boxes_xyxy_px[good].astype(np.float64) - boxes[best[good]]))
    return np.concatenate(rows) if rows else np.zeros((0, 4))


def recall_and_precision(
    found: Sequence[Detections], truth: Sequence[TruthBoxes], *, label: int, iou_min: float = 0.5
) -> tuple[float, float]:
    """Recall and precision of detections that were already cut at a working score.

    Args:
        found: detections of each picture.
        truth: true boxes of each picture.
        label: the class.
        iou_min: overlap that makes a match.

    Returns:
        recall and precision, nan when there is nothing to find or nothing found.
    """
    matches = [_match(f, t, label=label, iou_min=iou_min) for f, t in zip(found, truth, strict=True)]
    hits = sum(int((m.owner >= 0).sum()) for m in matches)
    counted = sum(int((m.owner > -2).sum()) for m in matches)
    truths = sum(m.truths for m in matches)
    return hits / truths if truths else float("nan"), hits / counted if counted else float("nan")
