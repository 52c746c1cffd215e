"""May this be asked of a provider? Checked against the books and the operations that are on their way, before anything is sent."""

from dataclasses import replace

import sqlalchemy as sa

from fleetsight.billing import sales
from fleetsight.billing.books import Book
from fleetsight.billing.exactly_once import operation_rows
from fleetsight.billing.exactly_once.judge import REFUND_MAX_NS
from fleetsight.billing.ledger import TAKES, Kind, Ledger
from fleetsight.billing.operations import (
    KEY_CHARACTERS,
    Capture,
    Charge,
    Hold,
    Operation,
    OperationError,
    OperationKind,
    OperationState,
    Planned,
    Request,
    Void,
    asked,
    following,
)
from fleetsight.billing.provider import Declined, DisputeState, Refused, Voided
from fleetsight.billing.tables import OPERATIONS

CANCELLED = "cancelled"
"""A hold whose void was asked before its call began."""


def prepare(connection: sa.Connection, request: Request, *, now_ns: int) -> Operation | Planned | Refused:
    """Check a request.

    Args:
        connection: of the transaction that will write it. The books of the tenant stay locked when the answer hangs on them.
        request: what is asked.
        now_ns: now.
    Returns:
        the operation to write; `Planned` when the request was made before; `Refused` with a reason.
    Raises:
        OperationError: the key is none, or stands for another request.
    """
    if isinstance(request, Hold | Charge):
        return _new_intent(connection, request, now_ns=now_ns)
    of = operation_rows.read(connection, request.of)
    if of is None:
        return Refused("hold_missing" if isinstance(request, Capture | Void) else "not_captured")
    Book(of.tenant_id, sales.BOOK).lock(connection)
    of = operation_rows.read(connection, request.of, lock=True) or of
    wanted = following(request, of, now_ns=now_ns)
    if known := _repeated(connection, wanted):
        return known
    ledger = Book(of.tenant_id, sales.BOOK).ledger_of(connection, of.session_id)
    if isinstance(request, Void):
        return _void(connection, wanted, of, ledger=ledger)
    if request.amount.currency != of.amount.currency:
        return Refused("currency")
    if request.amount.minor <= 0:
        return Refused("zero")
    if isinstance(request, Capture):
        return _capture(connection, wanted, of, ledger=ledger)
    return _refund(connection, wanted, of, ledger=ledger)


def _new_intent(connection: sa.Connection, request: Hold | Charge, *, now_ns: int) -> Operation | Planned | Refused:
    wanted = asked(request, now_ns=now_ns)
    if known := _repeated(connection, wanted):
        return known
    if request.amount.minor <= 0:
        return Refused("zero")
    if not wanted.debt_key:
        return wanted
    book = Book(wanted.tenant_id, sales.BOOK)
    book.lock(connection)
    ledger = book.ledger_of(connection, wanted.session_id)
    debt = ledger.entries.get(wanted.debt_key)
    if debt is None or debt.kind is not Kind.OWE:
        return Refused("owed")
    if debt.amount.currency != wanted.amount.currency:
        return Refused("currency")
    on_its_way = _open(connection, OPERATIONS.c.debt_key == wanted.debt_key)
    left = ledger.left_to_pay(debt.key).minor - sum(operation.amount.minor for operation in on_its_way)
    return wanted if wanted.amount.minor <= left else Refused("owed")


def _repeated(connection: sa.Connection, wanted: Operation) -> Planned | None:
    if not 0 < len(wanted.key) <= KEY_CHARACTERS:
        raise OperationError(f"an operation key of {len(wanted.key)} characters", hint=f"1 to {KEY_CHARACTERS}")
    known = operation_rows.read(connection, wanted.key)
    if known is None:
        return None
    if not known.asks_the_same(wanted):
        raise OperationError(
            f"{known.key} stands for {known.kind} of {known.amount}, not {wanted.kind} of {wanted.amount}",
            hint="another wish takes another key",
        )
    return Planned(known.key, known.end)


def _capture(connection: sa.Connection, wanted: Operation, of: Operation, *, ledger: Ledger) -> Operation | Refused:
    if of.kind is not OperationKind.HOLD or of.key not in ledger.entries:
        return Refused("hold_missing")
    on_its_way = _open(connection, OPERATIONS.c.root_key == of.key, OPERATIONS.c.key != of.key)
    if ledger.standings[of.key].ended_by is not None or on_its_way:
        return Refused("hold_ended")
    return wanted if wanted.amount.minor <= of.amount.minor else Refused("above_hold")


def _void(connection: sa.Connection, wanted: Operation, of: Operation, *, ledger: Ledger) -> Operation | Refused:
    if of.kind is not OperationKind.HOLD:
        return Refused("hold_missing")
    released = replace(wanted, state=OperationState.DONE, outcome=Voided())
    if of.state is OperationState.REQUESTED and of.attempts == 0:
        operation_rows.end(connection, of, outcome=Declined(CANCELLED), now_ns=wanted.created_ns)
        return released
    if of.state is OperationState.FAILED:
        return released
    ended = ledger.standings[of.key].ended_by
    if ended is not None:
        return Refused("already_captured") if ended is Kind.CAPTURE else released
    on_its_way = _open(connection, OPERATIONS.c.root_key == of.key, OPERATIONS.c.key != of.key)
    return Refused("hold_ended") if on_its_way else wanted


def is_being_voided(connection: sa.Connection, hold: Operation) -> bool:
    """Whether the void of a hold was asked: then the hold is not sent again, and the void can wait until nothing arrives.

    Args:
        connection: reads.
        hold: its operation.
    Returns:
        True from the plan of the void on.
    """
    mine = (OPERATIONS.c.root_key == hold.key, OPERATIONS.c.kind == OperationKind.VOID)
    return bool(operation_rows.find(connection, *mine, limit=1))


def _refund(connection: sa.Connection, wanted: Operation, of: Operation, *, ledger: Ledger) -> Operation | Refused:
    taken = ledger.entries.get(of.key)
    if taken is None or taken.kind not in TAKES:
        return Refused("not_captured")
    if ledger.standings[of.key].dispute in (DisputeState.OPEN, DisputeState.LOST):
        return Refused("disputed")
    if wanted.created_ns - taken.at_ns > REFUND_MAX_NS:
        return Refused("too_old")
    on_its_way = _open(connection, OPERATIONS.c.of_key == of.key)
    left = ledger.left_to_refund(of.key).minor - sum(operation.amount.minor for operation in on_its_way)
    return wanted if wanted.amount.minor <= left else Refused("above_captured")


def _open(connection: sa.Connection, *which: sa.ColumnElement[bool]) -> tuple[Operation, ...]:
    return operation_rows.find(connection, operation_rows.is_open(), *which)
