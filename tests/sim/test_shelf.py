"""Furniture fits its products, and stock stands where slots are."""

import numpy as np
import pytest

from fleetsight.sim.cooler.shelf import BOARD_MM, Shelf, make_shelf, scaled, stock
from fleetsight.sim.designs import Design, make_designs
from fleetsight.sim.knobs import STANDARD


@pytest.fixture(scope="module")
def designs() -> tuple[Design, ...]:
    return make_designs(10_000_123, count=48)


@pytest.fixture(scope="module")
def shelves(designs: tuple[Design, ...]) -> list[Shelf]:
    return [make_shelf(designs, STANDARD.shelf, rng=np.random.default_rng(seed)) for seed in range(12)]


def test_every_shelf_has_twelve_to_thirty_facings_on_two_to_four_boards(shelves: list[Shelf]) -> None:
    assert all(12 <= len(shelf.facings) <= 30 for shelf in shelves)
    assert all(2 <= len(shelf.boards_y_mm) <= 4 for shelf in shelves)


def test_products_fit_under_the_board_above_and_between_the_walls(
    shelves: list[Shelf], designs: tuple[Design, ...]
) -> None:
    for shelf in shelves:
        for facing in shelf.facings:
            width, height, _ = designs[facing.design].size_mm
            assert shelf.boards_y_mm[facing.shelf] + height < shelf.ceiling_mm(facing.shelf)
            assert abs(facing.x_mm) + width / 2 <= shelf.width_mm / 2


def test_neighbouring_facings_do_not_overlap(shelves: list[Shelf], designs: tuple[Design, ...]) -> None:
    for shelf in shelves:
        for left, right in zip(shelf.facings, shelf.facings[1:], strict=False):
            if left.shelf == right.shelf:
                gap = right.x_mm - left.x_mm
                assert gap > (designs[left.design].size_mm[0] + designs[right.design].size_mm[0]) / 2


def test_rows_are_two_to_five_deep_with_a_gap_between_items(shelves: list[Shelf], designs: tuple[Design, ...]) -> None:
    for shelf in shelves:
        for facing in shelf.facings:
            assert 2 <= len(facing.slots_z_mm) <= 5
            pitch = np.diff(facing.slots_z_mm) - designs[facing.design].size_mm[2]
            assert (pitch >= 3.0).all()
            assert (pitch <= 10.0).all()


def test_boards_lie_apart_by_more_than_their_thickness(shelves: list[Shelf]) -> None:
    assert all((np.diff(shelf.boards_y_mm) > BOARD_MM).all() for shelf in shelves)


def test_look_alikes_often_stand_side_by_side(shelves: list[Shelf], designs: tuple[Design, ...]) -> None:
    pairs = [
        designs[a.design].family == designs[b.design].family and a.design != b.design
        for shelf in shelves
        for a, b in zip(shelf.facings, shelf.facings[1:], strict=False)
        if a.shelf == b.shelf
    ]
    assert np.mean(pairs) > 0.1


def test_items_have_dense_ids_and_stand_front_to_back(shelves: list[Shelf], designs: tuple[Design, ...]) -> None:
    rows = stock(shelves[0], designs, knobs=STANDARD.shelf, rng=np.random.default_rng(4))
    items = [item for row in rows for item in row]
    assert [item.item_id for item in items] == list(range(len(items)))
    for row in rows:
        depths = [item.pose.z_mm for item in row if item.pose is not None]
        assert depths == sorted(depths)


def test_scaled_products_keep_their_proportions(designs: tuple[Design, ...]) -> None:
    small = scaled(designs, 0.8)
    for before, after in zip(designs, small, strict=True):
        assert after.size_mm == pytest.approx([0.8 * v for v in before.size_mm])
        assert [r for _, r in after.profile_mm] == pytest.approx([0.8 * r for _, r in before.profile_mm])
    assert scaled(designs, 1.0)[0] is designs[0]
