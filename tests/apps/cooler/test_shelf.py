"""The shelf reader and the audit on a drawn shelf: what changed, how many, and when."""

import pytest

from fleetsight.apps.cooler.audit import Lens
from fleetsight.apps.cooler.changes import Change, Row, place_changes
from fleetsight.apps.cooler.events import Kind
from fleetsight.apps.cooler.identify import LabelIdentifier
from tests.apps.cooler.drawn import FOCAL_PX, FRONT_WIDTHS, HEIGHT, RATE_HZ, WIDTH, DrawnShelf

LENS = Lens(FOCAL_PX, WIDTH, HEIGHT)
PITCH = 1.05


def row(seed: int, *, taken: int = 0, depth: int = 4) -> list[tuple[int, float]]:
    return [(seed, FRONT_WIDTHS + PITCH * i) for i in range(taken, depth)]


def changes_of(shelf: DrawnShelf) -> list[Change]:
    names = LabelIdentifier(("product",))
    return [c for p in shelf.finish() for c in place_changes(p, names, lens=LENS, row=Row("product")).changes]


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


def test_an_empty_place_that_lasts_is_no_arm_even_when_the_product_returns_to_the_pixel() -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2, depth=1)})
    shelf.play(1.0)
    shelf.reach(160, [])
    shelf.play(6.0)
    shelf.reach(160, row(2, depth=1))
    shelf.play(1.0)
    assert [c.kind for c in changes_of(shelf)] == [Kind.TAKE, Kind.PUT_BACK]


def test_a_product_that_a_hand_holds_before_its_place_and_returns_is_taken_and_put_back() -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2)})
    shelf.play(1.0)
    shelf.reach(160)
    shelf.play(2.0, hand_at=(160.0, 90.0))
    shelf.fronts[163] = shelf.fronts.pop(160)  # nobody returns it to the pixel
    shelf.reach(163)
    shelf.play(1.0)
    take, put_back = changes_of(shelf)
    assert (take.kind, put_back.kind) == (Kind.TAKE, Kind.PUT_BACK)
    assert take.rule == put_back.rule == "looked_at"
    assert 1.0 < take.gap.hand_s[0] < put_back.gap.hand_s[1] < 6.0


def test_a_product_that_comes_back_almost_to_the_pixel_after_a_look_is_still_compared() -> None:
    """The reader may not go on as if nothing had happened: the shift decides later."""
    shelf = DrawnShelf({60: row(1), 160: row(2)})
    shelf.play(1.0)
    shelf.reach(160)
    shelf.play(2.0, hand_at=(160.0, 90.0))
    shelf.reach(160)
    shelf.play(1.0)
    (touched,) = [p for p in shelf.finish() if p.gaps]
    assert len(touched.runs) == len(touched.gaps) + 1 == 2
    assert touched.gaps[0].touched


def test_a_hand_that_rests_before_a_product_which_stays_takes_nothing() -> None:
    shelf = DrawnShelf({60: row(1), 160: row(2)})
    shelf.play(1.0)
    shelf.reach(160)
    shelf.play(2.0, hand_at=(160.0, 90.0))
    shelf.reach(160)
    shelf.play(1.0)
    assert changes_of(shelf) == []


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
