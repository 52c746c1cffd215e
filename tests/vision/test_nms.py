import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fleetsight.vision.box import iou
from fleetsight.vision.image import ShapeError
from fleetsight.vision.nms import BLOCK, suppress
from tests.vision.boxes import proper_boxes

Floats = NDArray[np.float32]


def greedy(boxes: Floats, scores: Floats, labels: NDArray[np.int32] | None, iou_max: float) -> list[int]:
    """The textbook's loop, for comparison; no equal scores."""
    kept, close = list[int](), iou(boxes, boxes) > iou_max
    for index in np.argsort(-scores):
        rivals = [other for other in kept if labels is None or labels[other] == labels[index]]
        if not any(close[other, index] for other in rivals):
            kept.append(int(index))
    return kept


def crowd(count: int, seed: int = 0, *, spread: float = 400.0) -> tuple[Floats, Floats, NDArray[np.int32]]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, spread, size=(count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 80, size=(count, 2))], axis=1).astype(np.float32)
    scores = (rng.permutation(count) / count).astype(np.float32)
    return boxes, scores, rng.integers(0, 3, size=count).astype(np.int32)


@pytest.mark.parametrize("count", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("aware", [True, False])
def test_blocks_give_what_the_textbook_gives(count: int, aware: bool) -> None:
    boxes, scores, labels = crowd(count)
    chosen = labels if aware else None
    assert suppress(boxes, scores, labels=chosen, iou_max=0.4).tolist() == greedy(boxes, scores, chosen, 0.4)


@given(proper_boxes(max_size=20), st.floats(0.0, 1.0), st.integers(0, 5))
def test_no_two_kept_boxes_overlap_too_much_and_each_lost_one_has_a_better_rival(
    boxes: Floats, iou_max: float, seed: int
) -> None:
    scores = np.random.default_rng(seed).integers(0, 4, size=len(boxes)).astype(np.float32)
    kept = suppress(boxes, scores, iou_max=iou_max)
    overlap = iou(boxes[kept], boxes[kept])
    np.fill_diagonal(overlap, 0.0)
    assert (overlap <= iou_max).all()
    assert (np.diff(scores[kept]) <= 0).all()
    for lost in set(range(len(boxes))) - set(kept.tolist()):
        rivals = kept[scores[kept] >= scores[lost]]
        assert (iou(boxes[rivals], boxes[[lost]]) > iou_max).any()


@given(proper_boxes(max_size=20), st.floats(0.0, 1.0))
def test_suppressing_twice_changes_nothing(boxes: Floats, iou_max: float) -> None:
    scores = np.linspace(1.0, 0.0, len(boxes), dtype=np.float32)
    kept = suppress(boxes, scores, iou_max=iou_max)
    again = suppress(boxes[kept], scores[kept], iou_max=iou_max)
    assert again.tolist() == list(range(len(kept)))


@given(proper_boxes(min_size=1, max_size=15), st.randoms(use_true_random=False))
def test_equal_scores_do_not_depend_on_the_order_of_the_boxes(boxes: Floats, random: object) -> None:
    scores = np.full(len(boxes), 0.5, dtype=np.float32)
    shuffled = np.array(sorted(range(len(boxes)), key=lambda _: random.random()), dtype=np.intp)  # type: ignore[attr-defined]
    first = boxes[suppress(boxes, scores, iou_max=0.3)]
    second = boxes[shuffled][suppress(boxes[shuffled], scores, iou_max=0.3)]
    np.testing.assert_array_equal(first, second)


def test_labels_keep_out_of_each_others_way() -> None:
    boxes = np.tile(np.array([[0, 0, 10, 10]], dtype=np.float32), (3, 1))
    scores = np.array([0.5, 0.9, 0.7], dtype=np.float32)
    labels = np.array([0, 0, 1], dtype=np.int32)
    assert suppress(boxes, scores, labels=labels).tolist() == [1, 2]
    assert suppress(boxes, scores).tolist() == [1]


def test_the_number_of_kept_boxes_can_be_limited() -> None:
    boxes, scores, _ = crowd(500, spread=4000.0)
    assert suppress(boxes, scores, keep_max=7).tolist() == suppress(boxes, scores).tolist()[:7]
    assert len(suppress(boxes, scores, keep_max=BLOCK + 3)) == BLOCK + 3
    assert len(suppress(boxes, scores, keep_max=0)) == 0


def test_no_boxes_give_no_indices() -> None:
    kept = suppress(np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32))
    assert kept.shape == (0,)
    assert kept.dtype == np.intp


def test_scores_and_labels_must_match_the_boxes() -> None:
    boxes, scores, labels = crowd(3)
    with pytest.raises(ShapeError, match="3 boxes"):
        suppress(boxes, scores[:2])
    with pytest.raises(ShapeError):
        suppress(boxes, scores, labels=labels[:1])
