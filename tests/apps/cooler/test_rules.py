"""Constraints of a session: stock, put-backs of what is held, unknown products, and the fold."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.apps.cooler.basket import fold_basket
from fleetsight.apps.cooler.changes import Change
from fleetsight.apps.cooler.decide import Decision, Doubt, confidence_of, decide, load_calibration
from fleetsight.apps.cooler.events import Kind, Role
from fleetsight.apps.cooler.identify import Reading, posterior
from fleetsight.apps.cooler.rules import SessionFacts, events_of, moment
from fleetsight.apps.cooler.shelf import Gap, Place, Run

SHOPPER = SessionFacts(role=Role.SHOPPER, native={})


def change(kind: Kind, probabilities: dict[str | None, float], at_s: float, *, count: int = 1) -> Change:
    box = np.array([10.0, 10.0, 40.0, 70.0], dtype=np.float32)
    place = Place(0, np.array([0, 0, 50, 80]), [Run(0.0, 0.5, box_xyxy_px=box, frames=5, seen=5)])
    gap = Gap(at_s - 0.5, at_s + 0.1, at_s + 0.5, hand_s=(at_s - 0.1, at_s + 0.1))
    return Change(kind, place, Reading(probabilities), count, 0.9, gap, "test")


def test_a_put_back_of_what_is_held_takes_it_out_of_the_basket() -> None:
    events = events_of([change(Kind.TAKE, {"a": 1.0}, 1.0), change(Kind.PUT_BACK, {"a": 1.0}, 3.0)], SHOPPER)
    assert [e.kind for e in events] == [Kind.TAKE, Kind.PUT_BACK]
    assert fold_basket(events) == {}


def test_a_put_back_of_what_is_not_held_is_a_foreign_item_and_changes_no_basket() -> None:
    events = events_of([change(Kind.TAKE, {"a": 1.0}, 1.0), change(Kind.PUT_BACK, {"b": 0.99}, 3.0)], SHOPPER)
    assert events[1].kind is Kind.FOREIGN_ITEM
    assert fold_basket(events) == {"a": 1}


def test_what_is_held_decides_between_look_alikes_at_a_put_back() -> None:
    changes = [change(Kind.TAKE, {"cola": 0.9, "cola-zero": 0.1}, 1.0)]
    changes.append(change(Kind.PUT_BACK, {"cola-zero": 0.6, "cola": 0.4}, 3.0))
    events = events_of(changes, SHOPPER)
    assert events[1].sku == "cola"


def seen(kind: Kind, at_s: float, *, look: tuple[float, float], cosines: dict[str, float]) -> Change:
    """A change whose product was read by pictures."""
    reading = Reading(
        posterior(cosines, unknown_cosine=0.6), np.array(look, dtype=np.float32), cosines, unknown_cosine=0.6
    )
    return replace(change(kind, {}, at_s), reading=reading)


def test_a_put_back_that_looks_as_it_did_when_it_was_taken_is_of_what_is_held_whatever_the_gallery_says() -> None:
    take = seen(Kind.TAKE, 1.0, look=(1.0, 0.0), cosines={"small": 0.9, "large": 0.3})
    half_hidden = seen(Kind.PUT_BACK, 3.0, look=(0.8, 0.6), cosines={"small": 0.4, "large": 0.65})
    events = events_of([take, half_hidden], SHOPPER)
    assert [(e.kind, e.sku) for e in events] == [(Kind.TAKE, "small"), (Kind.PUT_BACK, "small")]


def test_a_put_back_that_looks_like_nothing_that_was_taken_is_a_foreign_item() -> None:
    take = seen(Kind.TAKE, 1.0, look=(1.0, 0.0), cosines={"a": 0.9, "b": 0.1})
    other = seen(Kind.PUT_BACK, 3.0, look=(0.1, 0.995), cosines={"a": 0.3, "b": 0.2})
    assert events_of([take, other], SHOPPER)[1].kind is Kind.FOREIGN_ITEM


def test_who_restocks_brings_what_is_sold_rather_than_what_nobody_knows() -> None:
    facts = SessionFacts(role=Role.RESTOCK, native={})
    (event,) = events_of([change(Kind.PUT_BACK, {None: 0.7, "a": 0.3}, 1.0)], facts)
    assert (event.kind, event.sku) == (Kind.PUT_BACK, "a")


def test_a_product_that_is_in_no_catalog_is_unknown_and_never_charged() -> None:
    events = events_of([change(Kind.TAKE, {None: 0.8, "a": 0.2}, 1.0)], SHOPPER)
    assert events[0].kind is Kind.UNKNOWN
    assert events[0].sku is None
    assert fold_basket(events) == {}


def test_the_planogram_is_a_prior_and_not_a_filter() -> None:
    facts = SessionFacts(role=Role.SHOPPER, native={0: "listed"})
    close = events_of([change(Kind.TAKE, {"other": 0.9, "listed": 0.1}, 1.0)], facts)
    clear = events_of([change(Kind.TAKE, {"other": 0.99, "listed": 0.01}, 1.0)], facts)
    assert close[0].sku == "listed"
    assert clear[0].sku == "other"


def test_a_restocker_puts_in_without_having_taken() -> None:
    facts = SessionFacts(role=Role.RESTOCK, native={})
    events = events_of([change(Kind.PUT_BACK, {"a": 1.0}, 1.0)], facts)
    assert events[0].kind is Kind.PUT_BACK


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.integers(1, 3)), max_size=12))
def test_the_basket_is_never_negative_and_never_more_than_was_taken(acts: list[tuple[bool, str, int]]) -> None:
    changes = [
        change(Kind.TAKE if taken else Kind.PUT_BACK, {sku: 1.0}, float(i), count=count)
        for i, (taken, sku, count) in enumerate(acts)
    ]
    basket = fold_basket(events_of(changes, SHOPPER))
    for sku in "ab":
        assert 0 <= basket.get(sku, 0) <= sum(n for taken, name, n in acts if taken and name == sku)
    assert all(count > 0 for count in basket.values())


@given(st.floats(0, 10), st.floats(0, 3), st.floats(0, 3), st.floats(0, 3), st.floats(0, 3))
def test_the_moment_of_an_act_lies_in_its_gap(
    start: float, touch: float, left: float, rest: float, length: float
) -> None:
    gap = Gap(start, start + touch, start + touch + length, hand_s=(start + left, start + left + rest))
    for kind in (Kind.TAKE, Kind.PUT_BACK):
        assert gap.start_s <= moment(kind, gap) <= gap.end_s


def test_degraded_evidence_and_unknown_products_are_never_charged() -> None:
    sure = {"confidence": 1.0, "role": Role.SHOPPER}
    event = events_of([change(Kind.TAKE, {"a": 1.0}, 1.0)], SHOPPER)
    unknown = events_of([change(Kind.TAKE, {None: 1.0}, 1.0)], SHOPPER)
    assert decide(event, basket={"a": 1}, degraded=(), **sure)[0] is Decision.CHARGE  # type: ignore[arg-type]
    assert decide(event, basket={"a": 1}, degraded=("cut",), **sure)[0] is Decision.REVIEW  # type: ignore[arg-type]
    assert decide(unknown, basket={}, degraded=(), **sure)[0] is Decision.REVIEW  # type: ignore[arg-type]
    assert decide([], basket={}, degraded=(), **sure)[0] is Decision.RELEASE  # type: ignore[arg-type]


def test_an_event_in_three_minds_is_never_charged_without_a_person() -> None:
    for doubt in (Doubt(weakest=0.45, total=0.6, events=1.0), Doubt(unsure=0.5)):
        confidence = confidence_of(doubt, load_calibration())
        assert decide([], basket={"a": 1}, confidence=confidence, degraded=(), role=Role.SHOPPER)[0] is Decision.REVIEW


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 3))
def test_more_doubt_never_raises_the_confidence(weakest: float, more: float, unresolved: float) -> None:
    calibration = load_calibration()
    less = confidence_of(Doubt(weakest=weakest, unresolved=unresolved), calibration)
    worse = confidence_of(Doubt(weakest=weakest + more, unresolved=unresolved + more), calibration)
    assert worse <= less + 1e-12
