"""How much two sessions agree, in the terms of what they answer: numbers, boxes, vectors, and the task's own metric."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.proving.answers import boxes_of
from fleetsight.accel.proving.pictures import Pictures
from fleetsight.accel.session import Arrays
from fleetsight.accel.sources.source import Source
from fleetsight.vision.average_precision import average_precision
from fleetsight.vision.box import iou
from fleetsight.vision.detections import Detections
from fleetsight.vision.letterbox import fit

SCORE_MIN = 0.3
"""Boxes below are nobody's answer: what `Detector.detect` drops by default."""

LISTED_SCORE = 0.05
"""Boxes from here on count for average precision."""

SHARE_OF_BOXES = 0.95
"""The limits on boxes and scores hold for this share of the boxes, and as many must be found again: suppression chooses among
neighbouring cells, and where two scores are equal to a thousandth it chooses differently, with no harm to anybody."""

SAME_BOX_IOU = 0.5
"""A box is found again when one of the same label overlaps it by this much."""


def tensor_figures(first: Sequence[Arrays], second: Sequence[Arrays]) -> dict[str, float]:
    """Largest difference, and the largest relative one (norm of the difference by norm of the first) of any output.

    Args:
        first: outputs for each input.
        second: of another session, in the same order.

    Returns:
        "max_abs" and "relative".
    """
    largest = relative = 0.0
    for mine, theirs in zip(first, second, strict=True):
        for port, other in zip(mine, theirs, strict=True):
            apart = port.astype(np.float64) - other.astype(np.float64)
            norm = max(float(np.linalg.norm(port.astype(np.float64))), 1e-12)
            largest = max(largest, float(np.abs(apart).max(initial=0.0)))
            relative = max(relative, float(np.linalg.norm(apart)) / norm)
    return {"max_abs": largest, "relative": relative}


def box_figures(source: Source, first: Sequence[Arrays], *, second: Sequence[Arrays]) -> dict[str, float]:
    """How far boxes and scores move, and how many boxes are lost or new.

    Args:
        source: the detector.
        first: outputs for each picture.
        second: of another session, in the same order.

    Returns:
        "boxes", "lost_share", and median, `SHARE_OF_BOXES` quantile and maximum of "shift_px" and "score".
    """
    shifts, changes, lost, boxes, all_boxes = list[float](), list[float](), 0, 0, 0
    for mine, theirs in zip(first, second, strict=True):
        wanted = boxes_of(source, mine, score_min=SCORE_MIN)
        given = boxes_of(source, theirs, score_min=SCORE_MIN)
        # A box at the threshold may fall just below it: that is a change of its score and no loss.
        found = boxes_of(source, theirs, score_min=SCORE_MIN / 2)
        known = boxes_of(source, mine, score_min=SCORE_MIN / 2)
        pairs = _pairs(wanted, found)
        lost += len(wanted) - len(pairs) + len(given) - len(_pairs(given, known))
        boxes += len(wanted)
        all_boxes += len(wanted) + len(given)
        for row, other in pairs:
            shifts.append(float(np.abs(wanted.boxes_xyxy_px[row] - found.boxes_xyxy_px[other]).max()))
            changes.append(abs(float(wanted.scores[row]) - float(found.scores[other])))
    figures = {"boxes": float(boxes), "lost_share": lost / all_boxes if all_boxes else 0.0}
    for name, values in (("shift_px", shifts), ("score", changes)):
        table = np.asarray(values or [0.0])
        figures |= {f"{name}_p50": float(np.median(table)), f"{name}_max": float(table.max())}
        figures[f"{name}_p{SHARE_OF_BOXES * 100:.0f}"] = float(np.quantile(table, SHARE_OF_BOXES))
    return figures


def cosine(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Cosine between two arrays.

    Args:
        first: any shape.
        second: as many numbers.

    Returns:
        -1 to 1; 1 for two zeros, 0 where one alone is zero.
    """
    mine, theirs = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    length = float(np.linalg.norm(mine) * np.linalg.norm(theirs))
    return float(mine @ theirs) / length if length > 0.0 else float(not mine.any() and not theirs.any())


def task_metric(source: Source, answers: Sequence[Arrays], *, pictures: Pictures) -> float:
    """What a model scores on the pictures' truth.

    Args:
        source: the model.
        answers: outputs for each picture, batch 1.
        pictures: hold the truth.

    Returns:
        mAP at IoU 0.5 to 0.95 over the classes that occur, or top-1, in points of a hundred.
    """
    if source.answer == "classes":
        known = pictures.labels
        right = [int(np.argmax(answers[index][0])) == label for index, label in known.items()]
        return 100.0 * float(np.mean(right))
    rows = pictures.boxes
    found = [boxes_in_picture(source, answers[index], shape=pictures.images[index].shape) for index in rows]
    truth = list(rows.values())
    labels = sorted({int(label) for entry in truth for label in entry.labels})
    scores = [
        average_precision(found, truth, label=label, iou_min=float(overlap))
        for label in labels
        for overlap in np.arange(0.5, 1.0, 0.05)
    ]
    return 100.0 * float(np.mean(scores)) if scores else 0.0


def boxes_in_picture(source: Source, outputs: Arrays, *, shape: tuple[int, ...]) -> Detections:
    """Boxes of a detector in pixels of the picture, as truth has them.

    Args:
        source: the detector.
        outputs: of batch 1.
        shape: of the picture, (h, w, 3).

    Returns:
        detections from `LISTED_SCORE` on.
    """
    found = boxes_of(source, outputs, score_min=LISTED_SCORE)
    height, width = shape[:2]
    if source.card is not None:
        box = fit((width, height), source.card.input_size_wh, place=source.card.pad_place)
        boxes = box.boxes_to_image(found.boxes_xyxy_px)
    else:
        side_h, side_w = source.example[0].shape[2:]
        boxes = found.boxes_xyxy_px * np.array([width / side_w, height / side_h] * 2, np.float32)
    return Detections(boxes_xyxy_px=boxes, scores=found.scores, labels=found.labels)


def _pairs(wanted: Detections, found: Detections) -> list[tuple[int, int]]:
    """Each wanted box with the nearest one of its label that nobody took yet; best score first."""
    pairs, free = list[tuple[int, int]](), np.ones(len(found), dtype=bool)
    if not len(wanted) or not len(found):
        return pairs
    overlap = iou(wanted.boxes_xyxy_px, found.boxes_xyxy_px)
    for row in np.argsort(-wanted.scores, kind="stable"):
        allowed = np.where(free & (found.labels == wanted.labels[row]), overlap[row], 0.0)
        best = int(allowed.argmax())
        if allowed[best] >= SAME_BOX_IOU:
            free[best] = False
            pairs.append((int(row), best))
    return pairs
