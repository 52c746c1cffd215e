"""How far two answers to the same frame say the same: 1 is all of it, 0 nothing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

IOU_MIN = 0.5
"""Two boxes of one label mean the same thing when they overlap by half (Pascal VOC, 2010)."""
NUMBER_TOLERANCE = 1e-3
"""Numbers of other answers may differ by this share: reduced precision of another chip."""


def agreement(one: Any, other: Any) -> float:
    """Compare two results.

    Args:
        one: a JSON value; with a list `detections` the boxes are compared, else everything.
        other: the other one.
    Returns:
        for detections the share of boxes that have a partner (F1), else 1 or 0.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping) and "detections" in one and "detections" in other:
        return _boxes_agree(one["detections"], other["detections"])
    return float(_same(one, other))


def _boxes_agree(ones: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> float:
    if not ones and not others:
        return 1.0
    free = list(others)
    pairs = 0
    for found in sorted(ones, key=lambda entry: -float(entry.get("score", 0.0))):
        partners = [entry for entry in free if entry.get("label") == found.get("label")]
        best = max(partners, key=lambda entry: _iou(found["box_xyxy_px"], entry["box_xyxy_px"]), default=None)
        if best is not None and _iou(found["box_xyxy_px"], best["box_xyxy_px"]) >= IOU_MIN:
            free.remove(best)
            pairs += 1
    return 2 * pairs / (len(ones) + len(others))


def _iou(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return shared / whole if whole > 0 else 0.0


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=NUMBER_TOLERANCE, abs_tol=NUMBER_TOLERANCE)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
