"""What the provider does by itself is booked once, in whatever order its webhooks come."""

import itertools
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fleetsight.billing.observing import DisputeChanged, HoldEnded, Observation, Outstanding, observe, take_hint
from fleetsight.billing.provider import DisputeState, Hint, Intent, IntentState, Refunded, Refused, Unknown
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.desk import Fault
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.money import Money
from fleetsight.store.rows import Rows
from tests.billing.till import AUTH, CAPTURE, EXTRA, HOUR_NS, REFUND, Till, capture, charge, euro, failing, hold, refund

WEEK_NS = 7 * 24 * HOUR_NS


@pytest.fixture
def bank(clock: VirtualClock, tmp_path: Path) -> Iterator[Bank]:
    with closing(Bank(tmp_path / "bank.db", clock)) as bank:
        yield bank


@pytest.fixture
def till(rows: Rows, clock: VirtualClock, bank: Bank) -> Till:
    return Till(rows, clock, bank)


def look(till: Till, ref: str = "pi_000001") -> tuple[Observation, ...]:
    intent = till.payments.look("faulty", ref)
    assert isinstance(intent, Intent)
    with till.rows.transaction() as connection:
        return observe(connection, till.payments, provider="faulty", intent=intent, now_ns=till.clock.now_ns())


@pytest.mark.bad_input(54)
def test_the_same_webhook_is_taken_once(rows: Rows) -> None:
    hint = Hint("faulty", "evt_1", "captured", "pi_1", 5)
    with rows.transaction() as connection:
        assert take_hint(connection, hint, now_ns=1)
        assert not take_hint(connection, hint, now_ns=2)
        assert take_hint(connection, Hint("stripe", "evt_1", "captured", "pi_1", 5), now_ns=3)
    with rows.transaction() as connection:
        assert not take_hint(connection, hint, now_ns=4)


def test_a_hold_that_expired_is_booked_once(till: Till) -> None:
    till.do(hold())
    till.clock.advance(WEEK_NS)
    assert look(till) == (HoldEnded(AUTH, "s1", expired=True),)
    assert look(till) == ()
    till.agrees()


def test_a_hold_that_somebody_gave_back_is_booked(till: Till) -> None:
    till.do(hold())
    till.bank.void("pi_000001")
    assert look(till) == (HoldEnded(AUTH, "s1", expired=False),)
    assert till.plan(capture(640)) == Refused("hold_ended")
    till.agrees()


@pytest.mark.bad_input(54)
def test_a_webhook_before_our_own_answer_points_to_the_operation(till: Till) -> None:
    till.faults = failing(capture=Fault.LOST_AFTER, read=Fault.DOWN)
    till.__post_init__()
    till.do(hold())
    till.plan(capture(640))
    assert isinstance(till.run(CAPTURE), Unknown)
    assert look(till) == (Outstanding(CAPTURE, "s1"),)
    assert till.money.taken == euro(0)  # the session concludes it
    till.run(CAPTURE)
    assert look(till) == ()
    till.agrees(taken=640)


def test_a_webhook_about_the_hold_itself_points_to_it(till: Till) -> None:
    till.plan(hold())
    till.payments.perform(AUTH)
    assert look(till) == (Outstanding(AUTH, "s1"),)


@pytest.mark.parametrize("state", [DisputeState.WON, DisputeState.LOST])
def test_a_dispute_is_booked_from_its_opening_to_its_end(till: Till, state: DisputeState) -> None:
    till.do(hold())
    till.do(capture(640))
    till.bank.dispute("pi_000001", DisputeState.OPEN, minor=600)
    assert look(till) == (DisputeChanged(CAPTURE, "s1", DisputeState.OPEN, euro(600)),)
    assert look(till) == ()
    assert till.plan(refund(1)) == Refused("disputed")
    assert (till.money.dispute, till.money.disputed, till.money.kept) == (DisputeState.OPEN, euro(600), euro(40))
    till.bank.dispute("pi_000001", state)
    assert look(till) == (DisputeChanged(CAPTURE, "s1", state, euro(600)),)
    assert look(till) == ()
    assert till.money.disputed == euro(0 if state is DisputeState.WON else 600)
    till.agrees(taken=640)


def test_a_dispute_whose_opening_was_never_heard_is_booked_whole(till: Till) -> None:
    till.do(charge(150))
    till.bank.dispute("pi_000001", DisputeState.LOST)
    assert look(till) == (
        DisputeChanged(EXTRA, "s1", DisputeState.OPEN, euro(150)),
        DisputeChanged(EXTRA, "s1", DisputeState.LOST, euro(150)),
    )
    till.agrees(taken=150)


def test_a_refund_that_was_on_its_way_is_booked_before_the_dispute(till: Till) -> None:
    till.faults = failing(refund=Fault.LOST_AFTER, read=Fault.DOWN)
    till.__post_init__()
    till.do(hold())
    till.do(capture(640))
    till.plan(refund(140))
    assert isinstance(till.run(REFUND), Unknown)
    till.bank.dispute("pi_000001", DisputeState.OPEN, minor=500)
    assert look(till) == (
        Outstanding(REFUND, "s1"),
        DisputeChanged(CAPTURE, "s1", DisputeState.OPEN, euro(500)),
    )
    assert isinstance(till.run(REFUND), Refunded)
    till.agrees(taken=640, refunded=140)


def test_a_dispute_above_the_payment_is_reported_and_not_booked(till: Till, caplog: pytest.LogCaptureFixture) -> None:
    till.do(charge(150))
    till.bank.dispute("pi_000001", DisputeState.OPEN, minor=151)
    assert look(till) == ()
    assert "not booked" in caplog.text
    till.agrees(taken=150)


@pytest.mark.bad_input(54)
def test_an_intent_of_nobody_is_left_to_reconciliation(till: Till) -> None:
    foreign = Intent("pi_9", "k9", "t1", "s9", IntentState.EXPIRED, euro(1), euro(0), (), None, 0)
    with till.rows.transaction() as connection:
        assert observe(connection, till.payments, provider="faulty", intent=foreign, now_ns=1) == ()
        nameless = Intent("pi_9", "", "", "", IntentState.EXPIRED, euro(1), euro(0), (), None, 0)
        assert observe(connection, till.payments, provider="faulty", intent=nameless, now_ns=1) == ()


def test_an_intent_without_our_key_is_found_by_its_name(till: Till) -> None:
    till.do(hold())
    shown = Intent("pi_000001", "", "", "", IntentState.VOIDED, euro(2500), euro(0), (), None, 0)
    with till.rows.transaction() as connection:
        found = observe(connection, till.payments, provider="faulty", intent=shown, now_ns=1)
    assert found == (HoldEnded(AUTH, "s1", expired=False),)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.bad_input(54)
def test_webhooks_twice_late_and_in_any_order_lead_to_the_same_books(
    sqlite_rows: Rows, clock: VirtualClock, bank: Bank, seed: int
) -> None:
    till = Till(sqlite_rows, clock, bank)
    till.do(hold())
    till.do(capture(640))
    till.do(charge(150))
    till.do(hold(key="s1:auth:2"))
    bank.dispute("pi_000001", DisputeState.OPEN, minor=600)
    bank.dispute("pi_000001", DisputeState.WON)
    bank.dispute("pi_000002", DisputeState.OPEN)
    clock.advance(WEEK_NS)
    bank.intents()
    hints = bank.hints(provider="faulty")
    random.Random(seed).shuffle(hints)
    taken = 0
    for hint in itertools.chain(hints, hints):
        with sqlite_rows.transaction() as connection:
            fresh = take_hint(connection, hint, now_ns=clock.now_ns())
        taken += fresh
        look(till, hint.ref)  # also when it was seen before: a worker may have died after taking it
    assert taken == len({hint.event_id for hint in hints})
    money = till.money
    assert (money.held, money.taken, money.disputed) == (euro(0), euro(790), euro(150))
    assert money.dispute is DisputeState.OPEN
    with sqlite_rows.reading() as connection:
        assert till.book.verify(connection) == ()
        assert till.book.balance(connection, "clearing:faulty", currency="EUR") == Money(640, "EUR")


def test_looking_costs_no_effect(till: Till) -> None:
    till.do(hold())
    till.clock.advance(SECOND_NS)
    assert look(till) == ()
    till.agrees(held=2500)
