"""After the money moved: every difference goes back, is asked for once more, or is given up; and the sums always meet."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.apps.cooler.session.machine import commands as c
from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.session import Segment
from fleetsight.apps.cooler.session.machine.states import Action, Answer, Flag, PaymentState, State
from fleetsight.apps.cooler.session.machine.transition import Refusal
from tests.apps.cooler.session.machine import steps
from tests.apps.cooler.session.machine.steps import COLA, DAY_S, HOLD


def test_a_smaller_decision_is_a_refund_of_the_difference() -> None:
    walk = steps.settled().do(steps.revision(2, Action.CHARGE, (("cola", 1),), 250))
    assert (walk.state, walk.wanted(c.Pay)) == (State.REFUNDING, ["sid:refund:v2"])
    walk.answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.state) == (State.SETTLED, PaymentState.PARTIALLY_REFUNDED)
    assert walk.session.payment.kept_minor == 250


def test_a_decision_for_nothing_refunds_everything() -> None:
    walk = steps.settled().do(steps.revision(2, Action.RELEASE, (), 0)).answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.state) == (State.REFUNDED, PaymentState.REFUNDED)
    assert walk.session.stocked == ()


def test_a_waived_decision_refunds_everything_and_keeps_the_stock() -> None:
    walk = steps.settled().do(steps.revision(2, Action.WAIVE)).answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.waived_minor, walk.session.stocked) == (State.REFUNDED, 500, COLA)


def test_a_larger_decision_is_one_extra_and_a_second_one_is_refused() -> None:
    walk = steps.settled().do(steps.revision(2, Action.CHARGE, (("cola", 3),), 750))
    assert (walk.state, walk.wanted(c.Pay)) == (State.SETTLING, ["sid:extra"])
    walk.answer(Answer.CAPTURED)
    assert (walk.state, walk.session.payment.kept_minor) == (State.SETTLED, 750)
    walk.do(steps.revision(3, Action.CHARGE, (("cola", 4),), 1000))
    assert walk.refused is not None
    assert walk.refused.code is Refusal.LIMIT
    assert walk.session.total_minor == 750


def test_a_released_session_may_still_be_charged_by_a_person() -> None:
    walk = steps.released().do(steps.revision(2, Action.CHARGE))
    assert walk.answer(Answer.CAPTURED).state is State.SETTLED
    assert [charge.key for charge in walk.session.payment.charges] == ["sid:extra"]


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_revision_names_the_next_version(version: int) -> None:
    walk = steps.settled().do(steps.revision(version, Action.CHARGE))
    assert walk.refused is not None
    assert walk.refused.code is Refusal.STALE


def test_the_same_decision_again_closes_the_question() -> None:
    walk = steps.settled().do(e.ContestOpened("c", ("cola",), "not_taken"), steps.revision(2, Action.CHARGE))
    assert (walk.state, walk.session.contest, walk.wanted(c.Pay)) == (State.SETTLED, "", [])


def test_a_debt_is_dropped_when_nothing_is_due_any_more() -> None:
    walk = steps.owing().do(steps.revision(2, Action.CHARGE, COLA, HOLD))
    assert (walk.state, walk.wanted(c.WriteOff)) == (State.SETTLED, ["sid:owed:1:writeoff"])
    assert walk.session.payment.owed_minor == 0


def test_a_smaller_debt_replaces_the_larger() -> None:
    walk = steps.owing().do(steps.revision(2, Action.CHARGE, COLA, HOLD + 100))
    assert (walk.state, walk.wanted(c.WriteOff), walk.wanted(c.Owe)) == (
        State.OWED,
        ["sid:owed:1:writeoff"],
        ["sid:owed:2"],
    )
    assert (walk.session.payment.owed_minor, walk.session.payment.debt_key) == (100, "sid:owed:2")


def test_a_debtor_who_paid_too_much_gets_it_back() -> None:
    walk = steps.owing().do(steps.revision(2, Action.CHARGE, COLA, 1000))
    assert (walk.state, walk.wanted(c.Pay)) == (State.REFUNDING, ["sid:refund:v2"])
    walk.answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.kept_minor) == (State.SETTLED, 1000)


def test_a_refund_never_exceeds_what_is_kept() -> None:
    for amount in (0, -1, 501):
        walk = steps.settled().do(e.RefundRequested("r", "op", amount, "kind"))
        assert walk.refused is not None
        assert walk.refused.code is Refusal.LIMIT
    walk = steps.settled().do(e.RefundRequested("r", "op", 500, "kind")).answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.waived_minor) == (State.REFUNDED, 500)
    assert walk.do(e.RefundRequested("r2", "op", 1, "kind")).refused is not None


def test_a_refund_takes_from_one_charge_after_the_other() -> None:
    walk = steps.settled(total=2000).do(e.RefundRequested("r", "op", 1700, "kind"))
    assert walk.wanted(c.Pay) == ["sid:refund:r"]
    walk.answer(Answer.REFUNDED)
    assert (walk.state, walk.wanted(c.Pay)) == (State.REFUNDING, ["sid:refund:r:2"])
    walk.answer(Answer.REFUNDED)
    assert [charge.refunded_minor for charge in walk.session.payment.charges] == [1500, 200]
    assert walk.state is State.SETTLED


def test_one_refund_at_a_time() -> None:
    walk = steps.settled().do(e.RefundRequested("r", "op", 100, "kind"))
    assert walk.do(e.RefundRequested("r2", "op", 100, "kind")).refused is not None


def test_a_refused_refund_calls_a_person_and_leaves_what_is_to_be_returned() -> None:
    walk = steps.settled().do(steps.revision(2, Action.CHARGE, (("cola", 1),), 250)).answer(Answer.REFUSED)
    assert (walk.state, "refund_refused" in walk.session.alerts) == (State.SETTLED, True)
    assert walk.session.payment.unreturned_minor == 250
    walk.do(e.RefundRequested("again", "op", 250, "other")).answer(Answer.REFUNDED)
    payment = walk.session.payment
    assert (payment.unreturned_minor, payment.waived_minor, payment.kept_minor) == (0, 0, 250)


def test_a_refund_of_a_debtor_goes_back_to_the_debt() -> None:
    walk = steps.owing().do(e.RefundRequested("r", "op", 100, "kind")).answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.owed_minor, walk.session.payment.state) == (
        State.OWED,
        500,
        PaymentState.OWED,
    )
    assert walk.age_s == 3600  # and the timetable begins anew


def test_an_old_charge_is_not_refunded() -> None:
    refund = e.RefundRequested("r", "op", 100, "kind")
    assert steps.settled().wait(180 * DAY_S).do(refund).state is State.REFUNDING
    walk = steps.settled().wait(180 * DAY_S + 1).do(refund)
    assert walk.refused is not None
    assert walk.refused.code is Refusal.LIMIT


def test_a_dispute_freezes_refunds_until_it_is_won() -> None:
    walk = steps.settled().do(e.DisputeOpened("d", 500))
    assert (walk.state, walk.session.payment.state, walk.told()) == (
        State.DISPUTED,
        PaymentState.DISPUTED,
        {"disputed"},
    )
    assert walk.do(e.RefundRequested("r", "op", 100, "kind")).refused is not None
    assert walk.do(steps.revision(2, Action.RELEASE, (), 0)).refused is not None
    walk.do(e.DisputeClosed("d", won=True))
    assert (walk.state, walk.session.payment.state) == (State.SETTLED, PaymentState.WON)
    assert walk.do(e.RefundRequested("r", "op", 100, "kind")).state is State.REFUNDING


def test_a_lost_dispute_stays() -> None:
    walk = steps.settled().do(e.DisputeOpened("d", 500), e.DisputeClosed("d", won=False))
    assert (walk.state, walk.session.payment.state, walk.session.outcome) == (
        State.DISPUTED,
        PaymentState.LOST,
        "dispute_lost",
    )
    assert walk.do(e.DisputeClosed("d", won=True)).refused is not None
    assert walk.do(e.DisputeOpened("d2", 500)).refused is not None


def test_a_dispute_during_a_refund_waits_for_its_answer() -> None:
    walk = steps.settled().do(e.RefundRequested("r", "op", 100, "kind"), e.DisputeOpened("d", 400))
    assert walk.state is State.REFUNDING
    walk.answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.state) == (State.DISPUTED, PaymentState.DISPUTED)


def test_a_dispute_stops_the_next_part_of_a_refund() -> None:
    walk = steps.settled(total=2000).do(e.RefundRequested("r", "op", 1700, "kind"), e.DisputeOpened("d", 500))
    walk.answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.refunded_minor) == (State.DISPUTED, 1500)


def test_a_dispute_that_ends_before_its_state_is_reached_leaves_no_trace() -> None:
    walk = steps.settled().do(e.RefundRequested("r", "op", 100, "kind"), e.DisputeOpened("d", 400))
    walk.do(e.DisputeClosed("d", won=True)).answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.disputed) == (State.SETTLED, False)


def test_a_refunded_session_that_wins_its_dispute_is_refunded_again() -> None:
    walk = steps.settled().do(e.RefundRequested("r", "op", 500, "kind")).answer(Answer.REFUNDED)
    walk.do(e.DisputeOpened("d", 500), e.DisputeClosed("d", won=True))
    assert walk.state is State.REFUNDED


def test_what_was_never_charged_is_not_disputed() -> None:
    assert steps.released().do(e.DisputeOpened("d", 1)).refused is not None
    assert steps.settled().do(e.DisputeClosed("d", won=True)).refused is not None


def test_a_contest_waits_for_a_person_and_changes_nothing_alone() -> None:
    walk = steps.settled().do(e.ContestOpened("c", ("cola",), "not_taken", "I put it back"))
    assert (walk.state, walk.session.contest, walk.told()) == (State.SETTLED, "c", {"contest"})
    assert walk.do(e.ContestOpened("c2", (), "other")).refused is not None
    assert walk.do(e.ContestClosed("op", "seen")).session.contest == ""
    assert walk.do(e.ContestClosed("op", "seen")).refused is not None


def test_only_a_receipt_is_contested() -> None:
    for walk in (steps.opened(), steps.analyzing(), steps.decided(), steps.aborted()):
        assert walk.do(e.ContestOpened("c", (), "other")).refused is not None
    assert steps.settling().do(e.ContestOpened("c", (), "other")).refused is None


def test_frozen_money_is_not_touched() -> None:
    walk = steps.settled().do(e.RefundRequested("r", "op", 100, "kind")).answer(Answer.REFUNDED, amount=99)
    assert walk.session.payment.frozen
    assert walk.do(steps.revision(2, Action.RELEASE, (), 0)).refused is not None


def test_late_video_is_answered_by_a_revision() -> None:
    late = e.SegmentStored(Segment("side", 0, "f" * 64, 1))
    walk = steps.settled().do(late)
    assert walk.session.flags == (Flag.LATE_EVIDENCE,)
    assert walk.do(steps.revision(2, Action.CHARGE)).session.flags == ()


def test_a_debtor_who_got_everything_back_and_owes_nothing_more_is_refunded() -> None:
    walk = steps.owing().do(e.RefundRequested("r", "op", HOLD, "kind")).answer(Answer.REFUNDED)
    assert (walk.state, walk.session.payment.kept_minor) == (State.OWED, 0)
    walk.do(steps.revision(2, Action.WAIVE))
    assert (walk.state, walk.session.payment.owed_minor) == (State.REFUNDED, 0)


@settings(max_examples=600, deadline=None)
@given(
    first=st.integers(1, 3000),
    acts=st.lists(
        st.tuples(
            st.sampled_from(["revise", "refund"]), st.integers(0, 3000), st.sampled_from(list(Action)), st.booleans()
        ),
        max_size=6,
    ),
)
def test_the_sums_meet_after_any_corrections(first: int, acts: list[tuple[str, int, Action, bool]]) -> None:
    """`Walk.do` holds every step against the invariants; here the provider answers well or badly."""
    walk = steps.settled(total=first)
    for number, (act, minor, action, well) in enumerate(acts):
        version = walk.session.decision.version + 1 if walk.session.decision else 1
        if act == "refund":
            walk.do(e.RefundRequested(f"r{number}", "op", minor, "kind"))
        elif action is Action.RELEASE:
            walk.do(steps.revision(version, action, (), 0))
        else:
            walk.do(steps.revision(version, action, COLA, minor))
        while (pending := walk.session.payment.pending) is not None:
            refund = pending.kind.value == "refund"
            good, bad = (Answer.REFUNDED, Answer.REFUSED) if refund else (Answer.CAPTURED, Answer.DECLINED)
            walk.answer(good if well else bad)
    payment = walk.session.payment
    assert payment.kept_minor >= 0
    assert payment.refunded_minor <= payment.charged_minor
