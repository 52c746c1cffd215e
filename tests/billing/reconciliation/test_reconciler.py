"""Every difference between our books and the provider's is found, explained, and has a way out."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetsight.billing.provider import DisputeState, IntentState, ProviderUnavailableError, Unknown
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.desk import Fault
from fleetsight.billing.reconciliation import reconciler as reconciler_module
from fleetsight.billing.reconciliation.compare import (
    AskPerson,
    Difference,
    DifferenceKind,
    Observe,
    Perform,
    Release,
    Report,
)
from fleetsight.billing.reconciliation.reconciler import REPORTS_KEPT_NS, Reconciler, last_reports
from fleetsight.billing.tables import ENTRIES, OPERATIONS, RECONCILIATIONS
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.store.rows import Rows
from tests.billing.till import AUTH, CAPTURE, HOUR_NS, REFUND, Till, capture, charge, euro, failing, hold, refund, void

REF = "pi_000001"
MINUTE_NS = 60 * SECOND_NS


@pytest.fixture
def bank(clock: VirtualClock, tmp_path: Path) -> Iterator[Bank]:
    with closing(Bank(tmp_path / "bank.db", clock)) as bank:
        yield bank


@pytest.fixture
def till(sqlite_rows: Rows, clock: VirtualClock, bank: Bank) -> Till:
    return Till(sqlite_rows, clock, bank)


def reconciler(till: Till) -> Reconciler:
    return Reconciler(till.rows, till.clock, payments=till.payments, provider=till.provider)


def report(till: Till, since_ns: int = 0) -> Report:
    till.clock.advance(2 * MINUTE_NS)
    return reconciler(till).run(since_ns)


def only(till: Till) -> Difference:
    (difference,) = report(till).differences
    assert difference.explanation
    assert (difference.tenant_id, difference.session_id) == ("t1", "s1")
    return difference


def carry_out(till: Till, difference: Difference) -> None:
    """Twice, because a repetition must do no harm."""
    for _ in range(2):
        reconciler(till).carry_out(difference.proposal)


def forget(till: Till, *keys: str) -> None:
    """As if our rows had been restored from before."""
    with till.rows.transaction() as connection:
        for name in ("ledger_entries", "ledger_postings"):
            connection.exec_driver_sql(f"DROP TRIGGER {name}_refuses_DELETE")
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for key in keys:
            connection.exec_driver_sql("DELETE FROM ledger_postings WHERE entry_key = ?", (key,))
            connection.execute(sa.delete(ENTRIES).where(ENTRIES.c.key == key))
            connection.execute(sa.delete(OPERATIONS).where(OPERATIONS.c.key == key))


def test_books_that_agree_have_no_difference(till: Till) -> None:
    till.do(hold())
    till.do(capture(640))
    till.do(refund(140))
    till.do(charge(150))
    till.do(hold(key="s1:auth:2"))
    till.do(void(of="s1:auth:2"))
    till.do(hold(key="s1:auth:3", method="card_declined"))
    assert report(till) == Report(matched=4, moving=0, differences=())


def test_what_is_moving_is_left_for_the_next_run(till: Till) -> None:
    till.plan(hold())
    till.payments.perform(AUTH)
    found = reconciler(till).run(0)
    assert (found.matched, found.moving, found.differences) == (0, 1, ())


def test_an_operation_without_end_is_performed_again(till: Till) -> None:
    till.do(hold())
    till.plan(capture(640))
    till.payments.perform(CAPTURE)  # and the worker died
    difference = only(till)
    assert difference.kind is DifferenceKind.UNSETTLED
    assert difference.proposal == Perform(CAPTURE)
    assert reconciler(till).carry_out(difference.proposal) is None  # its session must conclude it
    till.run(CAPTURE)
    assert report(till).differences == ()


def test_a_hold_nobody_of_ours_asked_for_is_released(till: Till) -> None:
    who = {"tenant_id": "t1", "session_id": "s1", "method_id": "card"}
    till.bank.authorize("somebody", who=who, amount=euro(900), capture=False)
    difference = only(till)
    assert difference.kind is DifferenceKind.MISSING_HERE
    assert difference.proposal == Release(f"release:{REF}", REF)
    carry_out(till, difference)
    assert till.bank.truth()["s1"].held_minor == 0
    assert report(till).differences == ()


def test_a_payment_nobody_of_ours_asked_for_needs_a_person(till: Till) -> None:
    who = {"tenant_id": "t1", "session_id": "s1", "method_id": "card"}
    till.bank.authorize("", who=who, amount=euro(900), capture=True)
    difference = only(till)
    assert difference.kind is DifferenceKind.MISSING_HERE
    assert isinstance(difference.proposal, AskPerson)
    till.bank.refund(REF, euro(900), key="by hand")
    assert report(till).differences == ()


def test_a_second_intent_under_one_key_is_found(till: Till) -> None:
    till.do(hold())
    who = {"tenant_id": "t1", "session_id": "s1", "method_id": "card"}
    till.bank.authorize(AUTH, who=who, amount=euro(2500), capture=False)
    difference = only(till)
    assert difference.kind is DifferenceKind.MISSING_HERE
    carry_out(till, difference)
    assert report(till) == Report(matched=1, moving=0, differences=())


def test_what_the_provider_lost_needs_a_person(till: Till) -> None:
    till.do(hold())
    with till.bank.transaction() as connection:
        connection.execute("DELETE FROM intents")
    difference = only(till)
    assert difference.kind is DifferenceKind.MISSING_THERE
    assert difference.theirs == "nothing"
    assert isinstance(difference.proposal, AskPerson)


def test_an_ended_hold_that_the_provider_forgot_is_no_difference(till: Till) -> None:
    till.do(hold())
    till.do(void())
    with till.bank.transaction() as connection:
        connection.execute("DELETE FROM intents")
    assert report(till).differences == ()


def test_a_capture_by_somebody_else_is_found(till: Till) -> None:
    till.do(hold())
    till.bank.capture(REF, euro(700))
    difference = only(till)
    assert difference.kind is DifferenceKind.AMOUNTS_DIFFER
    assert "outside of this house" in difference.explanation
    assert "7.00 EUR" in difference.theirs


@pytest.mark.parametrize(("minor", "words"), [(700, "another amount was captured"), (0, "is not there")])
@pytest.mark.bad_input(57)
def test_another_captured_amount_is_found(till: Till, minor: int, words: str) -> None:
    till.do(hold())
    till.do(capture(640))
    with till.bank.transaction() as connection:
        connection.execute("UPDATE intents SET captured = ?", (minor,))
    difference = only(till)
    assert difference.kind is DifferenceKind.AMOUNTS_DIFFER
    assert words in difference.explanation


def test_another_authorised_amount_is_found(till: Till) -> None:
    till.do(hold())
    with till.bank.transaction() as connection:
        connection.execute("UPDATE intents SET amount = 2600")
    assert only(till).kind is DifferenceKind.AMOUNTS_DIFFER


def test_a_refund_by_somebody_else_is_found(till: Till) -> None:
    till.do(charge(640))
    till.bank.refund(REF, euro(40), key="")
    difference = only(till)
    assert difference.kind is DifferenceKind.AMOUNTS_DIFFER
    assert "made outside" in difference.explanation


def test_a_refund_that_failed_later_is_found(till: Till) -> None:
    till.do(hold())
    till.do(capture(640))
    till.do(refund(140))
    with till.bank.transaction() as connection:
        connection.execute("UPDATE refunds SET failed = 1")
    difference = only(till)
    assert difference.kind is DifferenceKind.AMOUNTS_DIFFER
    assert "failed after" in difference.explanation
    assert difference.proposal.key == REFUND


@pytest.mark.parametrize("is_expired", [True, False])
def test_a_hold_that_ended_there_is_booked(till: Till, *, is_expired: bool) -> None:
    till.do(hold())
    if is_expired:
        till.clock.advance(7 * 24 * HOUR_NS)
    else:
        till.bank.void(REF)
    difference = only(till)
    assert difference.kind is DifferenceKind.STATES_DIFFER
    assert difference.proposal == Observe(REF)
    carry_out(till, difference)
    assert report(till).differences == ()
    till.agrees()


def test_a_hold_that_came_after_we_gave_up_is_released(till: Till) -> None:
    till.faults = failing(authorize=Fault.LOST_BEFORE)
    till.__post_init__()
    till.plan(hold())
    till.run(AUTH)
    till.plan(void())
    till.clock.advance(2 * MINUTE_NS)
    till.run("s1:void")
    who = {"tenant_id": "t1", "session_id": "s1", "method_id": "card"}
    till.bank.authorize(AUTH, who=who, amount=euro(2500), capture=False)  # it had been on its way for minutes
    difference = only(till)
    assert difference.kind is DifferenceKind.STATES_DIFFER
    assert isinstance(difference.proposal, Release)
    carry_out(till, difference)
    assert report(till).differences == ()
    till.agrees()


def test_a_dispute_whose_webhook_was_lost_is_booked(till: Till) -> None:
    till.do(charge(640))
    till.bank.dispute(REF, DisputeState.OPEN)
    difference = only(till)
    assert difference.proposal == Observe(REF)
    carry_out(till, difference)
    assert report(till).differences == ()
    assert till.money.dispute is DisputeState.OPEN


def test_a_hold_of_more_than_a_day_is_stale(till: Till) -> None:
    till.do(hold())
    till.clock.advance(23 * HOUR_NS)
    assert report(till).differences == ()
    till.clock.advance(HOUR_NS)
    difference = only(till)
    assert difference.kind is DifferenceKind.STALE_HOLD
    assert isinstance(difference.proposal, AskPerson)
    assert "24 h" in difference.proposal.question


def test_a_frozen_operation_waits_for_a_person(till: Till) -> None:
    till.do(hold())
    till.plan(capture(640))
    till.bank.capture(REF, euro(600))
    till.run(CAPTURE)
    difference = only(till)
    assert difference.kind is DifferenceKind.FROZEN
    assert difference.proposal.key == CAPTURE


@pytest.mark.bad_input(63)
def test_rows_of_an_hour_ago_lose_no_money(till: Till) -> None:
    till.do(hold())
    till.do(capture(640))
    forget(till, CAPTURE, AUTH)
    difference = only(till)
    assert difference.kind is DifferenceKind.MISSING_HERE
    assert "restored" in difference.explanation


def test_intents_on_both_sides_of_the_moment_are_compared_once(till: Till) -> None:
    till.plan(hold())
    till.clock.advance(HOUR_NS)
    till.run(AUTH)  # asked before, made after
    between_ns = till.clock.now_ns() - MINUTE_NS
    assert report(till, between_ns) == Report(matched=1, moving=0, differences=())
    till.do(hold(key="s1:auth:2"))
    with till.bank.transaction() as connection:  # the provider's clock is behind
        connection.execute("UPDATE intents SET created_ns = created_ns - ? WHERE key = 's1:auth:2'", (HOUR_NS,))
    assert report(till, till.clock.now_ns() - MINUTE_NS) == Report(matched=1, moving=0, differences=())


def test_what_cannot_be_read_is_not_compared(till: Till) -> None:
    till.do(hold())
    down = Till(till.rows, till.clock, till.bank, lambda visit: Fault.DOWN if visit.kind == "read" else None)
    with pytest.raises(ProviderUnavailableError):
        report(down)
    with till.bank.transaction() as connection:
        connection.execute("DELETE FROM intents")
    half = Till(till.rows, till.clock, till.bank, lambda visit: Fault.DOWN if visit.key == REF else None)
    assert report(half) == Report(matched=0, moving=0, differences=())
    assert isinstance(half.payments.look("faulty", REF), Unknown)
    assert reconciler(half).carry_out(Observe(REF)) is None


def test_reports_are_kept_for_the_money_page(till: Till) -> None:
    till.do(hold())
    till.bank.capture(REF, euro(700))
    first = report(till)
    with till.rows.reading() as connection:
        (kept,) = last_reports(connection, "t1")
        (foreign,) = last_reports(connection, "t2")
    assert (kept.provider, kept.matched, kept.at_ns) == ("faulty", 0, till.clock.now_ns())
    assert kept.differences == tuple(difference.as_json() for difference in first.differences)
    assert foreign.differences == ()
    question = kept.differences[0]["proposal"]
    assert set(question) == {"kind", "key", "question"}
    till.clock.advance(REPORTS_KEPT_NS)
    report(till)
    with till.rows.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(RECONCILIATIONS)).scalar() == 1


def test_a_declined_intent_is_no_difference(till: Till) -> None:
    till.do(hold(method="card_declined"))
    assert [intent.state for intent in till.bank.intents()] == [IntentState.DECLINED]
    assert report(till).differences == ()


def test_many_pairs_are_compared_in_pages(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler_module, "KEYS_A_QUESTION", 3)
    for number in range(8):
        till.do(hold(key=f"s{number}:auth:1", session=f"s{number}"))
    assert report(till, till.clock.now_ns()).matched == 8
    till.clock.advance(HOUR_NS)
    later_ns = till.clock.now_ns()
    with till.bank.transaction() as connection:
        connection.execute("UPDATE intents SET created_ns = ?", (later_ns,))
    assert report(till, later_ns) == Report(matched=8, moving=0, differences=())
