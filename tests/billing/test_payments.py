"""Money moves exactly once: whatever is lost, repeated, crashed, or done by two at a time."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa

from fleetsight.billing.operations import Debt, OperationError, OperationState, Planned, Request
from fleetsight.billing.payments import OutcomeConflictError, Payments
from fleetsight.billing.provider import (
    Authorize,
    Authorized,
    Captured,
    Declined,
    DisputeState,
    Intent,
    Lookup,
    Mismatch,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.desk import Fault
from fleetsight.billing.providers.faulty import FaultyProvider
from fleetsight.billing.providers.wallet import Wallet
from fleetsight.billing.tables import OPERATIONS
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.money import Money
from fleetsight.store.crashpoint import Crash, SimulatedCrashError, arm, disarm
from fleetsight.store.rows import Rows, RowsError
from tests.billing.till import (
    AUTH,
    CAPTURE,
    EXTRA,
    HOUR_NS,
    REFUND,
    VOID,
    Till,
    capture,
    charge,
    euro,
    failing,
    hold,
    operation,
    refund,
    void,
)

DAY_NS = 24 * HOUR_NS
KINDS: dict[str, tuple[list[Request], Request, dict[str, int]]] = {
    "authorize": ([], hold(), {"held": 2500}),
    "charge": ([], charge(150), {"taken": 150}),
    "capture": ([hold()], capture(640), {"taken": 640}),
    "void": ([hold()], void(), {}),
    "refund": ([hold(), capture(640)], refund(140), {"taken": 640, "refunded": 140}),
}
"""For each kind of request: what comes before, the request, and what must have happened in the end."""


def visits(kind: str) -> str:
    return "authorize" if kind == "charge" else kind


def test_a_purchase_from_hold_to_refund(till: Till) -> None:
    assert isinstance(till.do(hold()), Authorized)
    till.agrees(held=2500)
    assert operation(till, AUTH).capture_before_ns == till.clock.now_ns() + 7 * DAY_NS
    assert till.do(capture(640)) == Captured("pi_000001", euro(640))
    till.agrees(taken=640)
    assert isinstance(till.do(refund(140)), Refunded)
    till.agrees(taken=640, refunded=140)
    assert till.money.history[-1].note == "too warm"
    with till.rows.reading() as connection:
        found = till.payments.operations_of(connection, "t1", session_id="s1")
        assert till.payments.operations_of(connection, "t2", session_id="s1") == ()
        assert till.book.balances(connection) == {
            ("clearing:faulty", "EUR"): euro(500),
            ("refunds", "EUR"): euro(140),
            ("revenue", "EUR"): euro(-640),
        }
    assert [each.key for each in found] == [AUTH, CAPTURE, REFUND]
    assert {each.state for each in found} == {OperationState.DONE}


def test_an_empty_basket_gives_the_hold_back(till: Till) -> None:
    till.do(hold())
    assert till.do(void()) == Voided()
    till.agrees()


def test_a_basket_above_the_hold_takes_the_rest_as_an_extra(till: Till) -> None:
    till.do(hold())
    till.do(capture(2500))
    till.do(charge(150))
    till.agrees(taken=2650)
    assert (till.money.captured, till.money.extra) == (euro(2500), euro(150))


def test_the_wallet_sells_like_any_other(rows: Rows, clock: VirtualClock, bank: Bank) -> None:
    wallet = Wallet(rows, clock)
    till = Till(rows, clock, bank)
    till.payments = Payments(rows, clock, providers=[wallet])
    wallet.top_up("t1", "anna", amount=euro(3000), key="top-up")
    till.do(hold(method="anna", provider="wallet"))
    till.do(capture(640))
    till.do(refund(140))
    assert wallet.balance("t1", "anna", currency="EUR") == euro(2500)
    with rows.reading() as connection:
        assert till.book.balance(connection, "clearing:wallet", currency="EUR") == euro(500)
        assert till.book.verify(connection) == ()
    assert till.do(hold(method="ben", provider="wallet", key="s1:auth:2")) == Declined("insufficient_funds")


@pytest.mark.parametrize("kind", KINDS)
def test_repeating_every_step_changes_nothing(till: Till, kind: str) -> None:
    before, request, end = KINDS[kind]
    for each in before:
        till.do(each)
    first = till.do(request)
    assert till.plan(request) == Planned(request.key, first)
    assert till.payments.perform(request.key) == first
    concluded = till.conclude(request.key, first)
    assert not concluded.changed
    assert not till.conclude(request.key, Unknown("late news")).changed
    till.agrees(**end)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.bad_input(52)
def test_every_fault_ends_in_one_effect(quick: Callable[..., Till], kind: str, fault: Fault) -> None:
    before, request, end = KINDS[kind]
    till = quick(**{visits(kind): fault})
    for each in before:
        assert not isinstance(till.do(each), Unknown)
    assert not isinstance(till.plan(request), Refused)
    outcome = till.insist(request.key)
    if fault is Fault.ERROR_BEFORE:  # the provider repeats its error for a day
        assert isinstance(outcome, Unknown)
        till.clock.advance(DAY_NS)
        outcome = till.insist(request.key)
        if kind in ("authorize", "charge"):  # nobody waits for a door that long
            assert outcome == Declined("too_late")
            till.agrees()
            return
    assert not isinstance(outcome, Unknown | Declined | Refused | Mismatch)
    till.agrees(**end)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.ERROR_AFTER])
def test_an_answer_that_was_lost_is_read_at_once(quick: Callable[..., Till], kind: str, fault: Fault) -> None:
    before, request, end = KINDS[kind]
    till = quick(**{visits(kind): fault})
    for each in before:
        till.do(each)
    assert not isinstance(till.do(request), Unknown)
    till.agrees(**end)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.ERROR_AFTER])
@pytest.mark.bad_input(52)
def test_after_a_day_the_pruned_key_is_not_sent_unread(
    rows: Rows, clock: VirtualClock, bank: Bank, kind: str, fault: Fault
) -> None:
    before, request, end = KINDS[kind]
    till = Till(rows, clock, bank, failing(**{visits(kind): fault, "read": Fault.DOWN}))
    for each in before:
        till.do(each)
    till.plan(request)
    assert isinstance(till.run(request.key), Unknown)
    clock.advance(DAY_NS)
    assert not isinstance(till.run(request.key), Unknown | Refused | Mismatch)
    till.agrees(**end)


def test_a_hold_that_never_came_to_be_is_not_asked_for_a_day_later(quick: Callable[..., Till]) -> None:
    till = quick(authorize=Fault.LOST_BEFORE)
    till.plan(hold())
    assert isinstance(till.run(AUTH), Unknown)
    till.clock.advance(DAY_NS)
    assert till.run(AUTH) == Declined("too_late")
    till.agrees()


def test_an_old_operation_is_read_before_its_first_call_too(till: Till) -> None:
    """Rows that were restored from a backup do not know what was called."""
    till.do(hold())
    till.do(capture(640))
    till.plan(refund(140))
    till.bank.refund("pi_000001", euro(140), key=REFUND)  # the call that the restored rows forgot
    till.clock.advance(DAY_NS)
    assert isinstance(till.run(REFUND), Refunded)
    till.agrees(taken=640, refunded=140)


@pytest.mark.parametrize("kind", ["authorize", "capture", "refund"])
@pytest.mark.bad_input(63)
def test_rows_of_an_hour_ago_do_not_repeat_the_effect(till: Till, kind: str) -> None:
    before, request, end = KINDS[kind]
    for each in before:
        till.do(each)
    till.plan(request)
    till.payments.perform(request.key)
    with till.rows.transaction() as connection:  # as if from a backup taken before the call
        connection.execute(sa.update(OPERATIONS).where(OPERATIONS.c.key == request.key).values(attempts=0))
    assert not isinstance(till.run(request.key), Unknown | Refused | Mismatch)
    till.agrees(**end)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "point", ["payments.begun", "payments.called", "payments.concluded", "books.chained", "books.posted"]
)
@pytest.mark.bad_input(51)
def test_a_crash_at_every_point_is_made_good(till: Till, kind: str, point: str) -> None:
    before, request, end = KINDS[kind]
    for each in before:
        till.do(each)
    till.plan(request)
    arm(point, how=Crash.RAISE)
    with pytest.raises(SimulatedCrashError):
        till.run(request.key)
    assert not isinstance(till.insist(request.key), Unknown | Declined | Refused | Mismatch)
    till.agrees(**end)


POINTS = ("payments.begun", "payments.called", "books.posted", "payments.concluded")


@pytest.mark.parametrize("points", list(itertools.product(POINTS, repeat=2)))
@pytest.mark.parametrize("kind", KINDS)
def test_two_crashes_in_a_row_are_made_good(quick: Callable[..., Till], kind: str, points: tuple[str, str]) -> None:
    before, request, end = KINDS[kind]
    till = quick()
    for each in before:
        till.do(each)
    till.plan(request)
    for point in points:
        arm(point, how=Crash.RAISE)
        with suppress(SimulatedCrashError):  # the second may find the effect by reading, and never come to its call
            till.run(request.key)
        disarm()
    assert not isinstance(till.insist(request.key), Unknown | Declined | Refused | Mismatch)
    till.agrees(**end)


@pytest.mark.parametrize("kind", KINDS)
def test_two_workers_at_once_have_one_effect(till: Till, rows_url: str, kind: str) -> None:
    before, request, end = KINDS[kind]
    for each in before:
        till.do(each)
    till.plan(request)
    with closing(Rows.open(rows_url)) as other_rows:
        other = Till(other_rows, till.clock, till.bank)
        together = Barrier(2)

        def work(worker: Till) -> bool:
            together.wait()
            outcome = worker.payments.perform(request.key)
            together.wait()
            return worker.conclude(request.key, outcome).changed

        with ThreadPoolExecutor(2) as pool:
            changed = list(pool.map(work, (till, other)))
    assert sorted(changed) == [False, True]
    till.agrees(**end)


def test_the_second_worker_waits_for_the_first_to_be_answered(till: Till) -> None:
    """A conflict at the provider is no answer; the next look finds what the first one did."""
    till.plan(hold())
    till.payments.perform(AUTH)
    second = Till(till.rows, till.clock, till.bank, failing(authorize=[None, Fault.CONFLICT], read=[Fault.DOWN]))
    assert isinstance(second.run(AUTH), Unknown)
    assert isinstance(second.run(AUTH), Authorized)
    till.agrees(held=2500)


@pytest.mark.bad_input(57)
def test_a_provider_that_is_down_for_six_hours_loses_nothing(quick: Callable[..., Till]) -> None:
    till = quick()
    till.do(hold())
    till.plan(capture(640))
    till.provider = FaultyProvider(till.bank, faults=lambda _: Fault.DOWN)
    till.payments = Payments(till.rows, till.clock, providers=[till.provider])
    assert isinstance(till.insist(CAPTURE, tries=72, pause_ns=300 * SECOND_NS), Unknown)
    assert operation(till, CAPTURE).attempts == 73
    up = Till(till.rows, till.clock, till.bank)
    assert isinstance(up.run(CAPTURE), Captured)
    up.agrees(taken=640)


def test_the_sweeper_finds_what_has_no_end(quick: Callable[..., Till]) -> None:
    till = quick(capture=Fault.LOST_BEFORE)
    till.do(hold())
    till.plan(capture(640))
    till.run(CAPTURE)
    with till.rows.reading() as connection:
        now_ns = till.clock.now_ns()
        assert till.payments.unsettled(connection, older_than_ns=now_ns) == ()
        found = till.payments.unsettled(connection, older_than_ns=now_ns + 1)
    assert [each.key for each in found] == [CAPTURE]
    assert found[0].state is OperationState.UNKNOWN


def test_a_key_stands_for_one_request(till: Till) -> None:
    till.do(hold())
    with pytest.raises(OperationError, match="stands for"):
        till.plan(hold(2600))
    till.do(capture(640))
    with pytest.raises(OperationError, match="stands for"):
        till.plan(capture(641))
    for key in ("", "k" * 201):
        with pytest.raises(OperationError, match="characters"):
            till.plan(hold(key=key))


def test_what_was_not_planned_is_not_performed(till: Till) -> None:
    with pytest.raises(OperationError, match="no operation"):
        till.payments.perform("nothing")
    with pytest.raises(OperationError, match="no operation"):
        till.conclude("nothing", Voided())


def test_performing_inside_a_transaction_is_a_bug(till: Till) -> None:
    till.plan(hold())
    with till.rows.transaction(), pytest.raises(RowsError, match="inside"):
        till.payments.perform(AUTH)


def test_an_outcome_must_fit(till: Till) -> None:
    till.plan(hold())
    for outcome in (Captured("pi", euro(2500)), Voided(), Refused("no"), Authorized("pi", euro(2499))):
        with pytest.raises(OperationError, match="cannot end"):
            till.conclude(AUTH, outcome)
    assert operation(till, AUTH).is_open


def test_two_different_ends_are_a_conflict(till: Till) -> None:
    till.do(hold())
    with pytest.raises(OutcomeConflictError, match="ended in"):
        till.conclude(AUTH, Declined("no"))
    till.agrees(held=2500)


def test_a_provider_that_is_not_set_up_is_refused_and_later_unknown(till: Till) -> None:
    assert till.plan(hold(provider="stripe")) == Refused("provider")
    till.plan(hold())
    without = Payments(till.rows, till.clock, providers=[])
    assert isinstance(without.perform(AUTH), Unknown)
    assert isinstance(without.look("faulty", "pi_1"), Unknown)
    assert isinstance(till.run(AUTH), Authorized)
    assert isinstance(till.payments.look("faulty", "pi_000001"), Intent)
    assert till.payments.look("faulty", "pi_9") is None


@pytest.mark.bad_input(53)
def test_a_declined_hold_opens_nothing(till: Till) -> None:
    assert till.do(hold(method="card_declined")) == Declined("generic_decline")
    assert operation(till, AUTH).state is OperationState.FAILED
    assert till.plan(capture(640)) == Refused("hold_missing")
    assert till.plan(void()) == Planned(VOID, Voided())
    till.agrees()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (capture(2501), "above_hold"),
        (capture(0), "zero"),
        (capture(-5), "zero"),
        (refund(1, of=AUTH), "not_captured"),
        (refund(1, of="nothing"), "not_captured"),
        (capture(1, of="nothing"), "hold_missing"),
        (void(of="nothing"), "hold_missing"),
        (hold(0, key="s1:auth:2"), "zero"),
        (charge(-1), "zero"),
    ],
)
def test_what_the_books_do_not_allow_is_never_sent(till: Till, request_: Request, reason: str) -> None:
    till.do(hold())
    assert till.plan(request_) == Refused(reason)
    till.agrees(held=2500)


def test_another_currency_is_never_sent(till: Till) -> None:
    till.do(hold())
    assert till.plan(replace(capture(640), amount=Money(640, "USD"))) == Refused("currency")
    till.do(capture(640))
    assert till.plan(replace(refund(640), amount=Money(640, "JPY"))) == Refused("currency")


def test_only_one_thing_is_done_to_a_hold(quick: Callable[..., Till]) -> None:
    till = quick(capture=Fault.LOST_BEFORE)
    till.do(hold())
    till.plan(capture(640))
    till.run(CAPTURE)
    assert till.plan(capture(700, key="s1:capture:2")) == Refused("hold_ended")
    assert till.plan(void()) == Refused("hold_ended")
    till.insist(CAPTURE)
    assert till.plan(capture(700, key="s1:capture:2")) == Refused("hold_ended")
    assert till.plan(void()) == Refused("already_captured")
    till.agrees(taken=640)


def test_refunds_on_their_way_count(quick: Callable[..., Till]) -> None:
    till = quick(refund=Fault.LOST_BEFORE)
    till.do(hold())
    till.do(capture(640))
    till.plan(refund(400))
    till.run(REFUND)
    assert till.plan(refund(241, key="s1:refund:2")) == Refused("above_captured")
    with till.rows.reading() as connection:
        assert till.payments.refundable(connection, "t1", session_id="s1") == ((CAPTURE, euro(240)),)
    till.insist(REFUND)
    till.plan(refund(240, key="s1:refund:2"))
    till.insist("s1:refund:2")
    assert till.plan(refund(1, key="s1:refund:3")) == Refused("above_captured")
    with till.rows.reading() as connection:
        assert till.payments.refundable(connection, "t1", session_id="s1") == ()
    till.agrees(taken=640, refunded=640)


def test_a_refund_is_planned_after_the_one_before_it_is_committed(till: Till) -> None:
    till.do(hold())
    till.do(capture(640))
    with ThreadPoolExecutor(1) as pool:
        with till.rows.transaction() as connection:
            assert isinstance(till.payments.plan(connection, refund(400)), Planned)
            second = pool.submit(till.plan, refund(400, key="s1:refund:2"))
            wait([second], timeout=0.5)  # it waits for us; without the lock it would have decided by now
        assert second.result() == Refused("above_captured")


def test_two_refunds_planned_at_once_do_not_exceed_the_capture(till: Till) -> None:
    till.do(hold())
    till.do(capture(640))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: till.plan(refund(400, key=f"s1:refund:{n}")), range(4)))
    assert sorted(type(answer).__name__ for answer in answers) == ["Planned", "Refused", "Refused", "Refused"]


@pytest.mark.bad_input(55)
def test_a_refund_after_half_a_year_is_refused(till: Till) -> None:
    till.do(hold())
    till.do(capture(640))
    till.clock.advance(180 * DAY_NS)
    assert isinstance(till.do(refund(1)), Refunded)
    till.clock.advance(1)
    assert till.plan(refund(1, key="s1:refund:2")) == Refused("too_old")


@pytest.mark.bad_input(55)
def test_a_dispute_at_the_provider_refuses_a_refund_that_was_on_its_way(till: Till) -> None:
    till.do(hold())
    till.do(capture(640))
    till.plan(refund(140))
    till.bank.dispute("pi_000001", DisputeState.OPEN)
    assert till.run(REFUND) == Refused("disputed")
    till.agrees(taken=640)


@pytest.mark.bad_input(53)
def test_a_hold_that_expired_is_booked_by_the_capture_that_finds_out(till: Till) -> None:
    till.do(hold())
    till.clock.advance(7 * DAY_NS)
    assert till.do(capture(640)) == Refused("hold_expired")
    till.agrees()
    assert [entry.kind for entry in till.money.history] == ["hold", "expire"]
    assert till.plan(void()) == Planned(VOID, Voided())


def test_a_hold_that_somebody_gave_back_is_booked_by_the_capture_that_finds_out(till: Till) -> None:
    till.do(hold())
    till.bank.void("pi_000001")
    assert till.do(capture(640)) == Refused("hold_voided")
    till.agrees()


def test_a_process_that_stood_still_does_not_send_what_it_began(till: Till) -> None:
    class Suspended(FaultyProvider):
        def get(self, lookup: Lookup) -> Intent | Unknown | None:
            found = super().get(lookup)
            till.clock.advance(31 * SECOND_NS)
            return found

    till.faults = failing(authorize=Fault.LOST_BEFORE)
    till.__post_init__()
    till.plan(charge(150))
    assert isinstance(till.run(EXTRA), Unknown)
    till.payments = Payments(till.rows, till.clock, providers=[Suspended(till.bank)])
    assert isinstance(till.run(EXTRA), Unknown)
    assert till.bank.intents() == []
    till.__post_init__()
    assert isinstance(till.run(EXTRA), Captured)


def test_a_hold_of_another_amount_is_frozen_and_can_be_given_back(till: Till) -> None:
    class Generous(FaultyProvider):
        def authorize(self, request: Authorize) -> Authorized | Captured | Declined | Refused | Unknown:
            return super().authorize(replace(request, amount=request.amount + request.amount))

    till.payments = Payments(till.rows, till.clock, providers=[Generous(till.bank)])
    assert isinstance(till.do(hold()), Mismatch)
    assert till.do(void()) == Voided()
    assert till.bank.truth()["s1"].held_minor == 0
    assert operation(till, AUTH).state is OperationState.FROZEN


@pytest.mark.parametrize("kind", ["capture", "void", "refund"])
def test_another_account_freezes_what_it_does_not_know(till: Till, kind: str, tmp_path: Path) -> None:
    """As when the API key of another account was put into the settings."""
    before, request, _ = KINDS[kind]
    for each in before:
        till.do(each)
    with closing(Bank(tmp_path / "other.db", till.clock)) as other:
        till.payments = Payments(till.rows, till.clock, providers=[FaultyProvider(other)])
        till.plan(request)
        assert isinstance(till.run(request.key), Mismatch)


@pytest.mark.parametrize("kind", ["capture", "refund"])
@pytest.mark.bad_input(57)
def test_another_amount_at_the_provider_freezes_the_operation(
    till: Till, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, request, _ = KINDS[kind]
    for each in before:
        till.do(each)
    till.plan(request)
    if kind == "capture":
        till.bank.capture("pi_000001", euro(600))
    else:
        till.bank.refund("pi_000001", euro(100), key=REFUND)
    with till.rows.transaction() as connection:
        connection.execute(sa.update(OPERATIONS).where(OPERATIONS.c.key == request.key).values(attempts=1))
    assert isinstance(till.run(request.key), Mismatch)
    assert operation(till, request.key).state is OperationState.FROZEN
    assert isinstance(till.payments.perform(request.key), Mismatch)
    with till.rows.reading() as connection:
        assert [each.key for each in till.payments.frozen(connection, "t1")] == [request.key]
        assert till.payments.frozen(connection, "t2") == ()
        assert till.book.verify(connection) == ()
    assert "payment frozen" in caplog.text


def test_an_answer_of_another_amount_is_a_mismatch(till: Till) -> None:
    class Generous(FaultyProvider):
        def capture(self, ref: str, amount: Money, *, key: str) -> Captured | Refused | Unknown:
            super().capture(ref, amount, key=key)
            return Captured(ref, amount + amount)

    till.do(hold())
    till.payments = Payments(till.rows, till.clock, providers=[Generous(till.bank)])
    assert isinstance(till.do(capture(640)), Mismatch)


def test_an_intent_that_vanished_freezes_the_operation(quick: Callable[..., Till]) -> None:
    till = quick(capture=Fault.LOST_BEFORE)
    till.do(hold())
    till.plan(capture(640))
    till.run(CAPTURE)
    with till.bank.transaction() as connection:
        connection.execute("DELETE FROM intents")
    assert till.run(CAPTURE) == Mismatch(f"an intent for {AUTH}", "none")


def test_what_the_book_cannot_take_is_frozen_and_not_lost(till: Till) -> None:
    """The debt was written off while its charge was on its way, behind our back."""
    debt = Debt("s1:owe:1", "t1", "s1", "anna", euro(900), "no hold")
    with till.rows.transaction() as connection:
        till.payments.owe(connection, debt)
    till.plan(charge(900, key="s1:retry:1", debt_key=debt.key))
    outcome = till.payments.perform("s1:retry:1")
    with till.rows.transaction() as connection:
        connection.execute(sa.update(OPERATIONS).values(debt_key="", state="failed"))
        till.payments.write_off(connection, debt, key="s1:writeoff")
        connection.execute(sa.update(OPERATIONS).values(debt_key=debt.key, state="requested"))
    concluded = till.conclude("s1:retry:1", outcome)
    assert concluded.operation.state is OperationState.FROZEN


def test_a_charge_cannot_be_voided_or_captured(till: Till) -> None:
    till.do(charge(150))
    assert till.plan(void(of=EXTRA)) == Refused("hold_missing")
    assert till.plan(capture(1, of=EXTRA)) == Refused("hold_missing")
    assert isinstance(till.do(refund(150, of=EXTRA)), Refunded)
    till.agrees(taken=150, refunded=150)
