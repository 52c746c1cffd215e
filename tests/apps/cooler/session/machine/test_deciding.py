"""What is decided, by whom, and when nobody does."""

import pytest

from fleetsight.apps.cooler.session.machine import commands as c
from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.deciding import basket_fault
from fleetsight.apps.cooler.session.machine.limits import Limits
from fleetsight.apps.cooler.session.machine.session import Basket
from fleetsight.apps.cooler.session.machine.states import Action, Answer, Flag, State, Verdict
from fleetsight.apps.cooler.session.machine.transition import Refusal
from tests.apps.cooler.session.machine import steps
from tests.apps.cooler.session.machine.steps import COLA, DAY_S


def test_a_decision_freezes_basket_price_author_and_reason() -> None:
    decision = steps.decided().session.decision
    assert decision is not None
    assert (decision.version, decision.action, decision.basket, decision.total_minor) == (1, Action.CHARGE, COLA, 500)
    assert (decision.decided_by, decision.reason) == ("pipeline", "seen")


def test_a_release_of_the_pipeline_has_no_basket() -> None:
    decision = steps.seen(steps.analyzing(), Verdict.RELEASE, basket=(), total=0).session.decision
    assert decision is not None
    assert (decision.action, decision.basket, decision.total_minor) == (Action.RELEASE, (), 0)


@pytest.mark.parametrize("action", list(Action))
def test_the_first_reviewer_wins(action: Action) -> None:
    basket, total = ((), 0) if action is Action.RELEASE else (COLA, 500)
    walk = steps.reviewed().do(steps.decision(action, basket, total))
    assert (walk.state, walk.session.review_reason) == (State.DECIDED, None)
    walk.do(steps.decision(Action.CHARGE, COLA, 500))
    assert walk.refused is not None
    assert walk.refused.code is Refusal.NOT_NOW
    assert walk.session.decision is not None
    assert walk.session.decision.action is action


def test_a_waived_basket_leaves_the_stock_and_costs_nothing() -> None:
    walk = steps.reviewed().do(steps.decision(Action.WAIVE), e.SettlementStarted(1))
    assert walk.wanted(c.Pay) == ["sid:void"]
    walk.answer(Answer.VOIDED)
    assert (walk.state, walk.session.outcome) == (State.RELEASED, "waived")
    assert (walk.session.payment.waived_minor, walk.session.stocked) == (500, COLA)


def test_only_the_present_decision_is_carried_out() -> None:
    walk = steps.decided()
    assert walk.do(e.SettlementStarted(2)).refused is not None
    assert walk.do(e.SettlementStarted(1)).state is State.SETTLING
    assert walk.do(e.SettlementStarted(1)).refused is not None


def test_a_decision_that_nobody_carries_out_carries_itself_out() -> None:
    walk = steps.decided().after(30)
    assert (walk.state, walk.wanted(c.Pay)) == (State.SETTLING, ["sid:capture:1"])


def test_a_review_alerts_after_half_an_hour_and_before_the_hold_ends() -> None:
    walk = steps.reviewed(ends_s=3 * DAY_S)
    assert walk.age_s == 1800
    walk.after(1800)
    assert (walk.told(), walk.state) == ({"review_late"}, State.REVIEW)
    ends_ns = walk.session.payment.capture_before_ns
    assert ends_ns is not None
    walk.after(walk.age_s)
    assert (walk.told(), ends_ns - walk.now_ns) == ({"hold_ending"}, DAY_S * steps.SECOND_NS)
    walk.after(walk.age_s)
    assert (walk.state, ends_ns - walk.now_ns) == (State.DECIDED, DAY_S / 2 * steps.SECOND_NS)


def test_when_time_runs_out_only_sure_lines_are_charged() -> None:
    walk = steps.seen(steps.analyzing(), Verdict.REVIEW, basket=(("bar", 1), ("cola", 1)), total=449)
    while walk.state is State.REVIEW:
        walk.after(walk.age_s)
    decision = walk.session.decision
    assert decision is not None
    assert (decision.basket, decision.total_minor, decision.decided_by) == ((("bar", 1),), 250, "deadline")


@pytest.mark.parametrize(
    "event",
    [e.SegmentConflicted(steps.FILM[0]), e.DoorOpened("boot"), e.DoorClosed("another"), e.IntrusionSeen("boot")],
    ids=["forged", "opened again", "rebooted", "intrusion"],
)
def test_when_time_runs_out_nothing_is_charged_that_cannot_be_believed(event: e.Event) -> None:
    walk = steps.reviewed().do(event)
    while walk.state is State.REVIEW:
        walk.after(walk.age_s)
    assert walk.session.decision is not None
    assert (walk.session.decision.action, walk.session.decision.total_minor) == (Action.RELEASE, 0)


def test_when_time_runs_out_without_a_hold_nothing_is_charged() -> None:
    walk = steps.aborted().answer(Answer.VOIDED).do(e.DoorOpened("boot"))
    walk.do(e.ManifestReceived("m", steps.FILM), *(e.SegmentStored(piece) for piece in steps.FILM))
    steps.seen(walk)
    begun_ns = walk.session.entered_ns
    while walk.state is State.REVIEW:
        walk.after(walk.age_s)
    assert walk.now_ns - begun_ns == 7 * DAY_S * steps.SECOND_NS
    assert walk.session.decision is not None
    assert walk.session.decision.action is Action.RELEASE


def test_when_time_runs_out_a_sure_basket_above_the_cap_is_not_charged() -> None:
    walk = steps.analyzing()
    run_id = walk.session.run_id
    dear = e.Analysed(run_id, Verdict.REVIEW, COLA, 3001, COLA, 3001, 0.97, "seen")
    walk.do(e.AnalysisStarted(run_id), dear)
    while walk.state is State.REVIEW:
        walk.after(walk.age_s)
    assert walk.session.decision is not None
    assert walk.session.decision.action is Action.RELEASE


def test_a_reviewed_session_without_a_hold_is_bought_as_an_extra() -> None:
    walk = steps.aborted().answer(Answer.VOIDED).do(e.DoorOpened("boot"))
    walk.do(steps.decision(Action.CHARGE), e.SettlementStarted(1))
    assert walk.wanted(c.Pay) == ["sid:extra"]


def test_a_reviewed_session_waits_for_its_void_before_it_charges() -> None:
    walk = steps.aborted().do(e.DoorOpened("boot"), steps.decision(Action.CHARGE), e.SettlementStarted(1))
    assert (walk.state, walk.wanted(c.Pay)) == (State.SETTLING, [])
    assert walk.answer(Answer.VOIDED).wanted(c.Pay) == ["sid:extra"]


@pytest.mark.parametrize(
    ("basket", "fault"),
    [
        ((), ""),
        ((("a", 1), ("b", 99)), ""),
        ((("a", 0),), "units"),
        ((("a", -1),), "units"),
        ((("a", 100),), "units"),
        ((("b", 1), ("a", 1)), "sorted"),
        ((("a", 1), ("a", 1)), "sorted"),
        (tuple((f"{n:04}", 1) for n in range(100)), ""),
        (tuple((f"{n:04}", 1) for n in range(101)), "SKUs"),
    ],
)
def test_a_basket_has_its_limits(basket: Basket, fault: str) -> None:
    found = basket_fault(basket, Limits())
    assert fault in found
    assert bool(fault) == bool(found)


@pytest.mark.parametrize(
    ("action", "basket", "total"),
    [
        (Action.CHARGE, COLA, -1),
        (Action.RELEASE, COLA, 0),
        (Action.RELEASE, (), 5),
        (Action.CHARGE, (("cola", 0),), 0),
    ],
)
def test_a_decision_that_contradicts_itself_is_refused(action: Action, basket: Basket, total: int) -> None:
    walk = steps.reviewed().do(steps.decision(action, basket, total))
    assert walk.refused is not None
    assert walk.state is State.REVIEW


def test_flags_do_not_keep_a_person_from_charging() -> None:
    walk = steps.analyzing().do(e.SegmentConflicted(steps.FILM[0]), steps.decision(Action.CHARGE))
    assert Flag.TAMPER in walk.session.flags
    assert walk.do(e.SettlementStarted(1)).answer(Answer.CAPTURED).state is State.SETTLED
    assert walk.session.total_minor == 500
