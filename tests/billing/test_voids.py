"""A hold is given back once, whatever became of it meanwhile."""

from collections.abc import Callable

import pytest

from fleetsight.billing.operations import Planned
from fleetsight.billing.payments import OutcomeConflictError
from fleetsight.billing.provider import Authorized, Declined, Unknown, Voided
from fleetsight.billing.providers.desk import Fault
from fleetsight.clock import SECOND_NS
from tests.billing.till import AUTH, HOUR_NS, VOID, Till, euro, hold, operation, void

DAY_NS = 24 * HOUR_NS


def test_a_hold_that_expired_is_voided_without_a_word(till: Till) -> None:
    till.do(hold())
    till.clock.advance(7 * DAY_NS)
    assert till.do(void()) == Voided()
    till.agrees()


def test_voiding_a_hold_that_was_never_asked_ends_both_at_once(till: Till) -> None:
    till.plan(hold())
    assert till.plan(void()) == Planned(VOID, Voided())
    assert till.payments.perform(AUTH) == Declined("cancelled")
    assert till.payments.perform(VOID) == Voided()
    till.agrees()
    assert till.bank.intents() == []


def test_voiding_a_hold_whose_answer_was_lost_finds_it(quick: Callable[..., Till]) -> None:
    till = quick(authorize=Fault.LOST_AFTER, read=Fault.DOWN)
    till.plan(hold())
    assert isinstance(till.run(AUTH), Unknown)
    assert till.do(void()) == Voided()
    assert operation(till, AUTH).end == Declined("voided")
    assert till.bank.truth()["s1"].held_minor == 0
    with pytest.raises(OutcomeConflictError):
        till.conclude(AUTH, Authorized("pi_000001", euro(2500)))


def test_voiding_waits_while_the_hold_may_be_on_its_way(quick: Callable[..., Till]) -> None:
    till = quick(authorize=Fault.LOST_BEFORE)
    till.plan(hold())
    till.run(AUTH)
    till.plan(void())
    assert isinstance(till.run(VOID), Unknown)
    till.clock.advance(61 * SECOND_NS)
    assert till.run(VOID) == Voided()
    assert operation(till, AUTH).end == Declined("voided")
    till.agrees()


def test_a_hold_is_not_sent_again_once_its_void_was_asked(quick: Callable[..., Till]) -> None:
    """A sweeper goes on performing both; the hold must not come to be while its void waits for the silence."""
    till = quick(authorize=Fault.LOST_BEFORE)
    till.plan(hold())
    till.run(AUTH)
    till.plan(void())
    for _ in range(3):
        assert isinstance(till.run(AUTH), Unknown)
        till.clock.advance(21 * SECOND_NS)
    assert till.run(VOID) == Voided()
    assert till.payments.perform(AUTH) == Declined("voided")
    till.agrees()
    assert till.bank.intents() == []
