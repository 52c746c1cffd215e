"""The shelf reader and the audit on a drawn shelf: what changed, how many, and when."""

import numpy as np
import pytest

from fleetsight.apps.cooler.audit import Lens, Shift, register, step_in_widths
from fleetsight.apps.cooler.changes import Change, place_changes
from fleetsight.apps.cooler.events import Kind
from fleetsight.apps.cooler.identify import LabelIdentifier
from tests.apps.cooler.drawn import FOCAL_PX, FRONT_WIDTHS, HEIGHT, RATE_HZ, WIDTH, DrawnShelf, print_of

LENS = Lens(FOCAL_PX, WIDTH, HEIGHT)
PITCH = 1.05


def row(seed: int, *, taken: int = 0, depth: int = 4) -> list[tuple[int, float]]:
    return [(seed, FRONT_WIDTHS + PITCH * i) for i in range(taken, depth)]


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
    assert found[0].step == pytest.approx(count, abs=0.3)


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
    shelf.reach(160, row(2, depth=1))
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


@pytest.mark.parametrize("scale", [0.8, 0.9, 1.0, 1.15])
def test_registration_measures_size_and_shift_of_a_print(scale: float) -> None:
    import cv2

    field = np.full((140, 120, 3), 190, dtype=np.uint8)
    before, after = field.copy(), field.copy()
    before[30:110, 36:84] = cv2.resize(print_of(5), (48, 80), interpolation=cv2.INTER_AREA)
    width, height = round(48 * scale), round(80 * scale)
    after[24 : 24 + height, 30 : 30 + width] = cv2.resize(print_of(5), (width, height), interpolation=cv2.INTER_AREA)
    box = np.array([36, 30, 84, 110], dtype=np.float32)
    shift = register(before.astype(np.float32), after.astype(np.float32), box_xyxy_px=box)
    assert shift is not None
    assert shift.scale == pytest.approx(scale, rel=0.03)
    assert shift.dx_px == pytest.approx(30 + width / 2 - 60, abs=1.0)
    assert shift.dy_px == pytest.approx(24 + height / 2 - 70, abs=1.0)


def test_a_step_is_measured_in_widths_wherever_the_product_stands() -> None:
    for x_mm, y_mm in [(0.0, 0.0), (300.0, 150.0), (-250.0, -100.0)]:
        z0, z1, size = 1000.0, 1070.0, 66.0
        at = [
            (FOCAL_PX * x_mm / z + WIDTH / 2, FOCAL_PX * y_mm / z + HEIGHT / 2, FOCAL_PX * size / z) for z in (z0, z1)
        ]
        (cx, cy, w), (dx, dy, v) = at
        box = np.array([cx - w / 2, cy - w, cx + w / 2, cy + w], dtype=np.float32)
        along, aside = step_in_widths(Shift(v / w, dx - cx, dy - cy, 1.0), box, lens=LENS)
        assert along == pytest.approx((z1 - z0) / size, abs=1e-3)
        assert aside == pytest.approx(0.0, abs=1e-3)
