import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from fleetsight.vision.box import (
    area,
    check_boxes,
    clip,
    covered,
    intersection,
    iou,
    union,
    xywh_from_xyxy,
    xyxy_from_xywh,
)
from fleetsight.vision.image import ShapeError
from tests.vision.boxes import boxes, proper_boxes

Boxes = NDArray[np.float32]


def rows(*values: list[float]) -> Boxes:
    return np.array(values, dtype=np.float32).reshape(-1, 4)


def test_known_overlaps() -> None:
    first, second = rows([0, 0, 10, 10]), rows([5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10], [2, 2, 4, 4])
    np.testing.assert_allclose(iou(first, second), [[50 / 150, 0, 1, 0.04]], rtol=1e-6)
    np.testing.assert_allclose(intersection(first, second), [[50, 0, 100, 4]])
    np.testing.assert_allclose(covered(second, first)[:, 0], [0.5, 0, 1, 1])


def test_touching_boxes_share_nothing() -> None:
    assert iou(rows([0, 0, 5, 5]), rows([5, 0, 10, 5]))[0, 0] == 0


def test_empty_boxes_have_no_area_and_overlap_nothing() -> None:
    empty = rows([3, 3, 3, 9], [9, 9, 1, 1])
    assert area(empty).tolist() == [0, 0]
    assert not iou(empty, rows([0, 0, 20, 20])).any()
    assert not iou(empty, empty).any()
    assert not covered(empty, empty).any()


@given(boxes(), boxes())
def test_overlaps_are_shares_and_symmetric(first: Boxes, second: Boxes) -> None:
    ratio = iou(first, second)
    assert ratio.shape == (len(first), len(second))
    assert ratio.dtype == np.float32
    assert ((ratio >= 0) & (ratio <= 1)).all()
    np.testing.assert_allclose(ratio, iou(second, first).T, atol=1e-6)
    assert (covered(first, second) >= ratio - 1e-5).all()


@given(proper_boxes(min_size=1))
def test_a_box_overlaps_itself_wholly(some: Boxes) -> None:
    np.testing.assert_allclose(np.diag(iou(some, some)), 1.0, atol=1e-5)


@given(boxes())
def test_clipped_boxes_lie_inside_and_clipping_twice_changes_nothing(some: Boxes) -> None:
    inside = clip(some, (640, 360))
    assert (inside >= 0).all()
    assert (inside <= [640, 360, 640, 360]).all()
    np.testing.assert_array_equal(clip(inside, (640, 360)), inside)


@given(proper_boxes())
def test_corners_and_sizes_convert_both_ways(some: Boxes) -> None:
    np.testing.assert_allclose(xyxy_from_xywh(xywh_from_xyxy(some)), some, atol=1e-3)


@given(proper_boxes(min_size=1))
def test_the_union_covers_every_box_and_no_more(some: Boxes) -> None:
    around = union(some)[None]
    np.testing.assert_allclose(covered(some, around), 1.0, atol=1e-4)
    assert around[0, 0] == some[:, 0].min()
    assert around[0, 3] == some[:, 3].max()


def test_the_union_of_nothing_is_empty() -> None:
    assert union(rows()).tolist() == [0, 0, 0, 0]
    assert union(rows([5, 5, 5, 5])).tolist() == [0, 0, 0, 0]


def test_arrays_of_another_shape_are_refused_and_empty_ones_are_no_boxes() -> None:
    assert check_boxes(np.zeros(0)).shape == (0, 4)
    for wrong in (np.zeros((2, 3)), np.zeros(4), np.zeros((1, 2, 4))):
        with pytest.raises(ShapeError, match="must be"):
            check_boxes(wrong)
