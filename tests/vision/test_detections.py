import numpy as np
import pytest

from fleetsight.vision.detections import Detections
from fleetsight.vision.image import ShapeError


def three() -> Detections:
    return Detections(
        boxes_xyxy_px=np.arange(12, dtype=np.float32).reshape(3, 4),
        scores=np.array([0.9, 0.5, 0.7], dtype=np.float32),
        labels=np.array([0, 1, 0], dtype=np.int32),
    )


def test_detections_are_chosen_by_mask_by_index_and_by_label() -> None:
    assert len(three()) == 3
    assert three().select(three().scores > 0.6).scores.tolist() == pytest.approx([0.9, 0.7])
    assert three().select(np.array([2, 0])).boxes_xyxy_px[:, 0].tolist() == [8, 0]
    assert three().with_label(1).scores.tolist() == [0.5]
    assert len(three().with_label(7)) == 0


def test_nothing_seen_has_the_right_shapes() -> None:
    assert len(Detections.empty()) == 0
    assert Detections.empty().boxes_xyxy_px.shape == (0, 4)


def test_lengths_must_agree() -> None:
    with pytest.raises(ShapeError, match="3 boxes"):
        Detections(boxes_xyxy_px=three().boxes_xyxy_px, scores=three().scores[:2], labels=three().labels)
