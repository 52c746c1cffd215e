"""What a transition wants is written with it, under keys of its own, and answers of the books go back into the session at once."""

import pytest

from fleetsight.apps.cooler.session.effects import answer_of
from fleetsight.apps.cooler.session.machine import events
from fleetsight.apps.cooler.session.machine.states import Answer, Operation, State
from fleetsight.billing import provider as said
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money
from tests.apps.cooler.session.shop import Shop

FIVE = Money(500, "EUR")


@pytest.mark.parametrize(
    ("outcome", "kind", "answer", "amount"),
    [
        (said.Authorized("r", FIVE, 7), Operation.AUTHORIZE, Answer.AUTHORIZED, 500),
        (said.Declined("no"), Operation.AUTHORIZE, Answer.DECLINED, 0),
        (said.Captured("r", FIVE), Operation.CAPTURE, Answer.CAPTURED, 500),
        (said.Voided(), Operation.VOID, Answer.VOIDED, 0),
        (said.Refunded("r", FIVE), Operation.REFUND, Answer.REFUNDED, 500),
        (said.Refused("hold_expired"), Operation.CAPTURE, Answer.EXPIRED, 0),
        (said.Refused("hold_voided"), Operation.CAPTURE, Answer.EXPIRED, 0),
        (said.Refused("above_hold"), Operation.CAPTURE, Answer.REFUSED, 0),
        (said.Refused("hold_expired"), Operation.VOID, Answer.REFUSED, 0),
        (said.Refused("disputed"), Operation.REFUND, Answer.REFUSED, 0),
        (said.Refused("provider"), Operation.AUTHORIZE, Answer.DECLINED, 0),
        (said.Refused("owed"), Operation.COLLECT, Answer.DECLINED, 0),
        (said.Mismatch("5", "6"), Operation.CAPTURE, Answer.MISMATCH, 0),
        (said.Unknown("lost"), Operation.CAPTURE, Answer.UNKNOWN, 0),
    ],
    ids=str,
)
def test_each_outcome_of_the_books_is_one_answer(
    outcome: said.Outcome, kind: Operation, answer: Answer, amount: int
) -> None:
    event = answer_of("key", outcome, kind=kind)
    assert (event.key, event.answer, event.amount_minor) == ("key", answer, amount)


def test_a_provider_that_does_not_exist_denies_at_once(shop: Shop) -> None:
    from dataclasses import replace

    from fleetsight.apps.cooler.session.answers import Created

    created = shop.sessions.create(replace(shop.order(), provider="nobody"))
    assert isinstance(created, Created)
    assert (created.session.state, created.session.outcome) == (State.DENIED, "declined")
    assert shop.letters() == []


def test_a_hold_that_was_never_asked_for_is_given_up_without_a_call(shop: Shop) -> None:
    from fleetsight.apps.cooler.session.answers import Created

    created = shop.sessions.create(shop.order())
    assert isinstance(created, Created)
    shop.clock.advance(31 * SECOND_NS)
    shop.sessions.apply(created.session.id, events.DeadlinePassed())
    after = shop.now(created.session)
    assert (after.state, after.payment.pending) == (State.DENIED, None)
    shop.work.pay(after.id, f"{after.id}:auth:1")  # the letter of the hold, long after
    assert shop.bank.truth() == {}
    shop.check()
