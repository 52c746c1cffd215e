import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from fleetsight.vision.image import ShapeError
from fleetsight.vision.mask import RunLengths, area, box_of_mask, check_mask, decode_runs, encode_runs, iou, mask_of_box

Mask = NDArray[np.bool_]
MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(MASKS)
def test_run_lengths_give_the_mask_back(mask: Mask) -> None:
    runs = encode_runs(mask)
    np.testing.assert_array_equal(decode_runs(runs), mask)
    assert sum(runs.counts[1::2]) == area(mask)
    assert all(count > 0 for count in runs.counts[1:])


def test_runs_go_column_by_column_and_begin_with_zeros() -> None:
    """The example of the COCO tools: counts of a 2 x 3 mask."""
    mask = np.array([[1, 0, 0], [1, 1, 0]], dtype=np.bool_)
    assert encode_runs(mask) == RunLengths(size_hw=(2, 3), counts=(0, 2, 1, 1, 2))


@pytest.mark.parametrize("counts", [(1, 2), (4, -1, 3), ()])
def test_runs_that_do_not_fill_the_mask_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError):
        decode_runs(RunLengths(size_hw=(2, 3), counts=counts))


@given(MASKS)
def test_the_box_of_a_mask_is_the_smallest_that_holds_it(mask: Mask) -> None:
    box = box_of_mask(mask)
    inside = mask_of_box(box, mask.shape)
    assert not (mask & ~inside).any()
    if mask.any():
        x1, y1, x2, y2 = box.astype(int)
        assert mask[y1].any()
        assert mask[y2 - 1].any()
        assert mask[:, x1].any()
        assert mask[:, x2 - 1].any()
    else:
        assert box.tolist() == [0, 0, 0, 0]


def test_a_mask_of_a_box_holds_the_pixels_whose_centre_it_covers() -> None:
    mask = mask_of_box(np.array([0.5, 0.6, 2.5, 2.0], dtype=np.float32), (3, 4))
    np.testing.assert_array_equal(mask.astype(int), [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])


@given(st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(lambda s: st.tuples(*[arrays.arrays(np.bool_, s)] * 2)))
def test_overlap_of_masks_is_a_symmetric_share(pair: tuple[Mask, Mask]) -> None:
    first, second = pair
    assert 0.0 <= iou(first, second) <= 1.0
    assert iou(first, second) == iou(second, first)
    assert iou(first, first) == (1.0 if first.any() else 0.0)


def test_masks_must_be_bool_and_of_one_size() -> None:
    with pytest.raises(ShapeError, match="bool"):
        check_mask(np.zeros((2, 2)))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="differ"):
        iou(np.zeros((2, 2), dtype=np.bool_), np.zeros((2, 3), dtype=np.bool_))
