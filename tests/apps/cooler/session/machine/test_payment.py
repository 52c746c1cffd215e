"""Money moves once, by what the provider says, and never by a timeout."""

import pytest

from fleetsight.apps.cooler.session.machine import commands as c
from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.states import Action, Answer, PaymentState, State, Verdict
from fleetsight.apps.cooler.session.machine.transition import Refusal
from tests.apps.cooler.session.machine import steps
from tests.apps.cooler.session.machine.steps import DAY_S, HOLD, HOUR_S


def test_a_declined_hold_denies_the_shopper() -> None:
    walk = steps.authorizing().answer(Answer.DECLINED)
    assert (walk.state, walk.session.payment.state) == (State.DENIED, PaymentState.AUTH_DECLINED)
    assert (walk.session.outcome, walk.wanted(c.Pay)) == ("declined", [])


def test_a_hold_without_an_answer_is_asked_for_and_then_voided() -> None:
    walk = steps.authorizing().after(20)
    assert (walk.state, walk.wanted(c.AskProvider)) == (State.AUTHORIZING, ["sid:auth:1:query:1"])
    walk.after(10)
    assert (walk.state, walk.session.outcome, walk.wanted(c.Pay)) == (State.DENIED, "no_answer", ["sid:void"])
    assert walk.session.payment.state is PaymentState.VOID_PENDING


def test_a_hold_that_answers_in_the_last_moment_counts() -> None:
    assert steps.authorizing().after(20).wait(9).answer(Answer.AUTHORIZED).state is State.AUTHORIZED


def test_a_hold_that_came_to_be_after_all_is_voided_again_under_another_key() -> None:
    walk = steps.authorizing().after(30).answer(Answer.VOIDED)
    late = e.PaymentAnswered("sid:auth:1", Answer.AUTHORIZED, HOLD, "ref", None)
    walk.do(late)
    assert (walk.state, walk.wanted(c.Pay)) == (State.DENIED, ["sid:void:2"])
    walk.answer(Answer.VOIDED)
    assert (walk.session.payment.state, walk.session.payment.held_minor) == (PaymentState.VOIDED, 0)


def test_a_late_hold_during_its_void_is_noted_and_voided_once() -> None:
    walk = steps.authorizing().after(30)
    walk.do(e.PaymentAnswered("sid:auth:1", Answer.AUTHORIZED, HOLD, "ref", None))
    assert (walk.session.payment.held_minor, walk.wanted(c.Pay)) == (HOLD, [])
    assert walk.answer(Answer.VOIDED).session.payment.held_minor == 0


def test_a_hold_that_ends_too_soon_is_refused() -> None:
    walk = steps.authorized(ends_s=HOUR_S - 1)
    assert (walk.state, walk.session.outcome, walk.wanted(c.Pay)) == (State.DENIED, "hold_too_short", ["sid:void"])
    assert steps.authorized(ends_s=HOUR_S).state is State.AUTHORIZED
    assert steps.authorized(ends_s=None).state is State.AUTHORIZED


def test_a_smaller_basket_captures_its_part_once() -> None:
    walk = steps.settled()
    payment = walk.session.payment
    assert (walk.state, payment.state) == (State.SETTLED, PaymentState.CAPTURED)
    assert [(charge.key, charge.amount_minor) for charge in payment.charges] == [("sid:capture:1", 500)]
    assert (payment.held_minor, payment.authorized_minor) == (0, HOLD)


@pytest.mark.parametrize(
    ("total", "charges"),
    [(1, [1]), (HOLD - 1, [HOLD - 1]), (HOLD, [HOLD]), (HOLD + 1, [HOLD, 1]), (3000, [HOLD, 1500])],
)
def test_what_exceeds_the_hold_is_one_extra(total: int, charges: list[int]) -> None:
    walk = steps.settled(total=total)
    assert [charge.amount_minor for charge in walk.session.payment.charges] == charges
    assert walk.state is State.SETTLED


def test_an_empty_basket_voids() -> None:
    walk = steps.released()
    assert (walk.state, walk.session.payment.state, walk.session.outcome) == (
        State.RELEASED,
        PaymentState.VOIDED,
        "nothing_charged",
    )


def test_an_unknown_answer_leaves_everything_and_is_asked_for_ever_more_slowly() -> None:
    walk = steps.settling()
    walk.answer(Answer.UNKNOWN)
    pauses: list[float] = []
    while len(pauses) < 9:
        pauses.append(walk.age_s)
        walk.after(walk.age_s)
        assert walk.wanted(c.AskProvider) == [f"sid:capture:1:query:{len(pauses)}"]
        assert walk.state is State.SETTLING
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert "payment_unknown" in walk.session.alerts
    assert walk.answer(Answer.CAPTURED).state is State.SETTLED


def test_people_learn_of_a_payment_that_stays_unknown_after_five_minutes() -> None:
    walk = steps.settling()
    while "payment_unknown" not in walk.session.alerts:
        walk.after(walk.age_s)
    pending = walk.session.payment.pending
    assert pending is not None
    waited_s = (walk.now_ns - pending.since_ns) / steps.SECOND_NS
    assert waited_s == 5 + 10 + 20 + 40 + 80 + 160


def test_an_answer_counts_once() -> None:
    walk = steps.settling()
    answer = e.PaymentAnswered("sid:capture:1", Answer.CAPTURED, 500, "ref")
    assert walk.do(answer).state is State.SETTLED
    assert walk.do(answer).refused is not None
    assert walk.refused is not None
    assert walk.refused.code is Refusal.DUPLICATE
    assert walk.session.payment.charged_minor == 500


def test_an_answer_to_another_call_is_none() -> None:
    walk = steps.settling()
    assert walk.do(e.PaymentAnswered("sid:capture:2", Answer.CAPTURED, 500, "ref")).refused is not None
    assert walk.do(e.PaymentAnswered("sid:auth:1", Answer.AUTHORIZED, HOLD, "ref")).refused is not None


def test_a_hold_that_expired_before_its_capture_is_bought_as_an_extra() -> None:
    walk = steps.settling().answer(Answer.EXPIRED)
    assert walk.wanted(c.Pay) == ["sid:extra"]
    walk.answer(Answer.CAPTURED)
    assert [charge.key for charge in walk.session.payment.charges] == ["sid:extra"]
    assert walk.state is State.SETTLED


def test_a_hold_that_the_bank_ended_by_itself_is_not_captured() -> None:
    walk = steps.analyzing().do(e.PaymentAnswered("sid:auth:1", Answer.EXPIRED))
    assert walk.session.payment.state is PaymentState.EXPIRED
    assert steps.seen(walk).do(e.SettlementStarted(1)).wanted(c.Pay) == ["sid:extra"]
    gone = steps.authorized().do(e.PaymentAnswered("sid:auth:1", Answer.EXPIRED))
    assert gone.do(e.UnlockIssued(1, gone.now_ns)).refused is not None
    assert gone.after(5).wanted(c.Pay) == []


def test_a_refused_capture_gives_the_hold_back_and_is_owed() -> None:
    walk = steps.settling().answer(Answer.REFUSED)
    assert (walk.state, walk.wanted(c.Pay)) == (State.SETTLING, ["sid:void"])
    walk.answer(Answer.VOIDED)
    assert (walk.state, walk.wanted(c.Owe), walk.session.payment.owed_minor) == (State.OWED, ["sid:owed:1"], 500)
    assert walk.told() == {"owed"}


def test_what_the_extra_cannot_get_is_owed() -> None:
    walk = steps.owing()
    assert (walk.state, walk.session.payment.state) == (State.OWED, PaymentState.OWED)
    assert (walk.session.payment.owed_minor, walk.session.payment.kept_minor) == (500, HOLD)
    assert walk.wanted(c.MoveStock) == ["sid:stock:1"]


def test_a_debt_is_tried_after_an_hour_a_day_three_and_seven_days_and_then_written_off() -> None:
    walk = steps.owing()
    begun_ns = walk.now_ns
    tried_s = []
    for number in range(1, 5):
        walk.after(walk.age_s)
        assert walk.wanted(c.Pay) == [f"sid:retry:{number}"]
        tried_s.append((walk.now_ns - begun_ns) / steps.SECOND_NS)
        assert walk.session.due_ns is None
        walk.answer(Answer.DECLINED)
    assert tried_s == [HOUR_S, DAY_S, 3 * DAY_S, 7 * DAY_S]
    assert (walk.state, walk.session.payment.state) == (State.WRITTEN_OFF, PaymentState.WRITTEN_OFF)
    assert walk.wanted(c.WriteOff) == ["sid:owed:1:writeoff"]
    assert (walk.session.payment.waived_minor, walk.session.payment.owed_minor) == (500, 0)


def test_a_debt_that_is_paid_settles_the_session() -> None:
    walk = steps.owing().after(HOUR_S).answer(Answer.CAPTURED)
    assert (walk.state, walk.session.payment.state) == (State.SETTLED, PaymentState.PAID_LATER)
    assert (walk.session.payment.owed_minor, walk.session.payment.debt_key) == (0, "")
    assert len(walk.wanted(c.WriteReceipt)) == 1


def test_who_tops_up_is_asked_at_once_and_keeps_the_timetable() -> None:
    walk = steps.owing()
    begun_ns = walk.now_ns
    walk.wait(60).do(e.CollectionRequested())
    assert walk.wanted(c.Pay) == ["sid:retry:1"]
    assert walk.do(e.CollectionRequested()).refused is not None
    walk.answer(Answer.DECLINED)
    assert walk.session.due_ns == begun_ns + HOUR_S * steps.SECOND_NS
    walk.after(walk.age_s)
    assert walk.wanted(c.Pay) == ["sid:retry:2"]


@pytest.mark.parametrize(("answer", "amount"), [(Answer.MISMATCH, 500), (Answer.CAPTURED, 499), (Answer.CAPTURED, 501)])
def test_another_amount_than_asked_freezes_the_session_and_calls_a_person(answer: Answer, amount: int) -> None:
    walk = steps.settling().answer(answer, amount=amount)
    assert (walk.state, walk.told()) == (State.SETTLING, {"frozen"})
    assert walk.session.payment.frozen
    assert walk.session.payment.charged_minor == 0
    assert walk.session.deadline_ns is None
    assert walk.do(e.DeadlinePassed()).refused is not None


def test_a_hold_of_another_amount_opens_no_door() -> None:
    walk = steps.authorizing().answer(Answer.MISMATCH)
    assert (walk.state, walk.session.outcome, walk.wanted(c.Unlock)) == (State.DENIED, "frozen", [])


def test_a_void_that_finds_money_taken_freezes() -> None:
    walk = steps.seen(steps.analyzing(), Verdict.RELEASE, basket=(), total=0).do(e.SettlementStarted(1))
    walk.answer(Answer.REFUSED)
    assert (walk.state, walk.told()) == (State.SETTLING, {"frozen"})
    assert walk.session.payment.state is PaymentState.VOID_PENDING


def test_stock_moves_by_the_difference_between_decisions() -> None:
    walk = steps.settled()
    first = next(command for command in walk.commands if isinstance(command, c.MoveStock))
    assert first.deltas == (("cola", -2),)
    walk.do(steps.revision(2, Action.CHARGE, (("bar", 1), ("cola", 1)), 449))
    second = next(command for command in walk.commands if isinstance(command, c.MoveStock))
    assert (second.key, second.deltas) == ("sid:stock:2", (("bar", -1), ("cola", 1)))
