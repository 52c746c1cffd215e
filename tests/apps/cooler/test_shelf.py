"""The shelf reader and the audit on a drawn shelf: what changed, how many, and when."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetsight.apps.cooler.audit import Extent, Lens, View, row_step
from fleetsight.apps.cooler.changes import Change, place_changes
from fleetsight.apps.cooler.events import Kind
from fleetsight.apps.cooler.identify import LabelIdentifier
from tests.apps.cooler.drawn import FOCAL_PX, FRONT_WIDTHS, HEIGHT, RATE_HZ, WIDTH, DrawnShelf

LENS = Lens(FOCAL_PX, WIDTH, HEIGHT)
PITCH = 1.05


def row(seed: int, *, taken: int = 0, depth: int = 4) -> list[tuple[int, float]]:
    return [(seed, FRONT_WIDTHS + PITCH * i) for i in range(taken, depth)]


def bare(box_xyxy_px: NDArray[np.float32]) -> View:
    """A view of which only the box is known."""
    return View(box_xyxy_px, None, np.array([0, 0, 640, 360]))


def changes_of(shelf: DrawnShelf) -> list[Change]:
    names = LabelIdentifier(("product",))
    return [c for p in shelf.finish() for c in place_changes(p, names, lens=LENS, native_sku="product")]


def test_a_quiet_shelf_has_no_changes_and_every_place_is_found() -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2), 260: row(3)})
    shelf.play(2.0)
    assert len(shelf.reader.places) == 3
    assert changes_of(shelf) == []


@pytest.mark.parametrize("count", [1, 2])
def test_a_row_that_steps_back_lost_as_many_as_the_pitches_it_stepped(count: int) -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2), 260: row(3)})
    shelf.play(1.0)
    shelf.reach(160, row(2, taken=count))
    shelf.play(1.0)
    found = changes_of(shelf)
    assert [(c.kind, c.count) for c in found] == [(Kind.TAKE, count)]
    assert found[0].sure > 0.6


def test_a_row_that_steps_forward_got_one_back() -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2, taken=1)})
    shelf.play(1.0)
    shelf.reach(160, row(2))
    shelf.play(1.0)
    assert [(c.kind, c.count) for c in changes_of(shelf)] == [(Kind.PUT_BACK, 1)]


def test_the_last_product_of_a_row_leaves_an_empty_place_and_its_return_fills_it() -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2, depth=1)})
    shelf.play(1.0)
    shelf.reach(160, [])
    shelf.play(1.0)
    shelf.reach(160, [(2, FRONT_WIDTHS + 0.3)])  # no hand returns a product to the pixel where it stood
    shelf.play(1.0)
    assert [c.kind for c in changes_of(shelf)] == [Kind.TAKE, Kind.PUT_BACK]


def test_a_hand_that_only_reaches_changes_nothing() -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2), 260: row(3)})
    shelf.play(1.0)
    shelf.reach(160)
    shelf.reach(60)
    shelf.play(1.0)
    assert changes_of(shelf) == []


def test_a_hand_that_never_leaves_keeps_its_place_unresolved() -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2)})
    shelf.play(1.0)
    shelf.play(1.0, hand_at=(160.0, 90.0))
    unresolved = [place for place in shelf.finish() if place.unresolved_s is not None]
    assert len(unresolved) == 1


def test_the_time_of_a_change_lies_where_the_hand_was() -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2)})
    shelf.play(1.0)
    shelf.reach(160, row(2, taken=1))
    end_s = shelf.frame / RATE_HZ
    shelf.play(1.0)
    (change,) = changes_of(shelf)
    assert 0.9 <= change.gap.start_s <= change.gap.touched_s <= change.gap.end_s <= end_s + 0.3


@pytest.mark.parametrize("tilt_rad", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("steps", [-2, -1, 0, 1, 2, 3])
def test_a_row_step_is_found_wherever_the_row_stands(tilt_rad: float, steps: int) -> None:
    lens = Lens(500.0, 640, 360, tilts_rad=(tilt_rad,))
    extent = Extent(pitch=1.1, slimness=0.5)
    for x, y in [(0.0, 0.1), (2.5, -0.8), (-2.0, 0.6)]:
        boxes = []
        for n in (0, steps):
            foot = np.array([x, y, 12.0]) + n * extent.pitch * np.array([0.0, -np.sin(tilt_rad), np.cos(tilt_rad)])
            scale = 500.0 / foot[2]
            cx, base = 320 + scale * foot[0], 180 + scale * foot[1]
            boxes.append(np.array([cx - scale / 2, base - 2 * scale, cx + scale / 2, base], dtype=np.float32))
        found = row_step(bare(boxes[0]), bare(boxes[1]), lens=lens, extent=extent)
        assert found.steps == steps
        assert found.probability > 0.6  # by edges alone; a print says more


def test_a_hidden_edge_does_not_mislead_the_row_step() -> None:
    lens = Lens(500.0, 640, 360, tilts_rad=(0.1,))
    before = np.array([100.0, 100.0, 142.0, 184.0], dtype=np.float32)
    neighbour_hides_a_third = before + np.array([14.0, 0.0, 0.0, 0.0], dtype=np.float32)
    assert row_step(bare(before), bare(neighbour_hides_a_third), lens=lens, extent=Extent(1.1, 0.5)).steps == 0
