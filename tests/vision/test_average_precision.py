import numpy as np
import pytest

from fleetsight.vision.average_precision import TruthBoxes, average_precision, edge_errors_px, recall_and_precision
from fleetsight.vision.detections import Detections

BOXES = np.array([[0, 0, 10, 10], [20, 0, 40, 30]], dtype=np.float32)
NOTHING = np.zeros((0, 4), dtype=np.float32)


def _found(boxes: "np.typing.ArrayLike", scores: list[float]) -> Detections:
    rows = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return Detections(rows, np.asarray(scores, dtype=np.float32), np.zeros(len(rows), dtype=np.int32))


def _truth(ignore: "np.typing.NDArray[np.float32]" = NOTHING) -> TruthBoxes:
    return TruthBoxes(BOXES, np.zeros(2, dtype=np.int32), ignore)


def test_perfect_detections_score_one() -> None:
    assert average_precision([_found(BOXES, [0.9, 0.8])], [_truth()], label=0, iou_min=0.75) == pytest.approx(1.0)


def test_half_of_the_boxes_score_about_half() -> None:
    assert average_precision([_found(BOXES[:1], [0.9])], [_truth()], label=0, iou_min=0.5) == pytest.approx(
        0.505, abs=0.01
    )


def test_a_better_scored_false_alarm_halves_precision() -> None:
    found = _found([[60, 60, 70, 70], *BOXES], [0.95, 0.9, 0.8])
    value = average_precision([found], [_truth()], label=0, iou_min=0.5)
    assert value == pytest.approx(2 / 3, abs=0.01)


def test_a_second_detection_of_the_same_box_is_a_false_alarm() -> None:
    found = _found([BOXES[0], BOXES[0], BOXES[1]], [0.9, 0.8, 0.7])
    recall, precision = recall_and_precision([found], [_truth()], label=0)
    assert recall == 1.0
    assert precision == pytest.approx(2 / 3)


def test_detections_in_regions_without_verdict_are_not_counted() -> None:
    hidden = np.array([[58, 58, 72, 72]], dtype=np.float32)
    found = _found([[60, 60, 70, 70], *BOXES], [0.95, 0.9, 0.8])
    assert average_precision([found], [_truth(hidden)], label=0, iou_min=0.5) == pytest.approx(1.0)


def test_a_class_that_never_occurs_has_no_figure() -> None:
    assert np.isnan(average_precision([_found(BOXES, [0.9, 0.8])], [_truth()], label=1, iou_min=0.5))


def test_edge_errors_are_those_of_matched_boxes() -> None:
    errors = edge_errors_px([_found(BOXES + np.array([1, 0, 0, 2]), [0.9, 0.8])], [_truth()], label=0)
    assert errors.tolist() == [[1, 0, 0, 2], [1, 0, 0, 2]]
