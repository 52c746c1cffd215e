"""Figures about money that is on its way, for the money page and for alerts."""

from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.billing import sales
from fleetsight.billing.books import Book
from fleetsight.billing.exactly_once import operation_rows
from fleetsight.billing.operations import OperationState
from fleetsight.billing.reconciliation.reconciler import last_reports
from fleetsight.billing.tables import OPERATIONS
from fleetsight.money import Money


@dataclass(frozen=True, slots=True)
class MoneyGauges:
    """What waits.

    Attributes:
        open_holds: sessions with money reserved.
        held: reserved in all, one amount for each currency.
        oldest_hold_ns: when the oldest hold that is still open was asked, UTC nanoseconds; None when none is.
        owed: by shoppers in all, one amount for each currency.
        unsettled: operations whose end nobody knows yet.
        frozen: operations that wait for a person.
        unreconciled: differences of the newest comparison with each provider.
    """

    open_holds: int
    held: tuple[Money, ...]
    oldest_hold_ns: int | None
    owed: tuple[Money, ...]
    unsettled: int
    frozen: int
    unreconciled: int


def gauges(connection: sa.Connection, tenant_id: str) -> MoneyGauges:
    """Read the figures of a tenant.

    Args:
        connection: reads.
        tenant_id: whose.
    Returns:
        the figures now.
    """
    book = Book(tenant_id, sales.BOOK)
    holds = book.balances(connection, prefix="hold:")
    sessions = sorted({account.removeprefix("hold:") for account, _ in holds})
    oldest = min((at_ns for name in sessions for at_ns in _held_since(connection, book, name)), default=None)
    mine = OPERATIONS.c.tenant_id == tenant_id
    return MoneyGauges(
        open_holds=len(sessions),
        held=_sums(list(holds.values())),
        oldest_hold_ns=oldest,
        owed=_sums(list(book.balances(connection, prefix="receivable:").values())),
        unsettled=_count(connection, mine, operation_rows.is_open()),
        frozen=_count(connection, mine, OPERATIONS.c.state == OperationState.FROZEN),
        unreconciled=sum(len(report.differences) for report in last_reports(connection, tenant_id)),
    )


def _count(connection: sa.Connection, *which: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(OPERATIONS).where(*which)).scalar_one()


def _held_since(connection: sa.Connection, book: Book, session_id: str) -> list[int]:
    ledger = book.ledger_of(connection, session_id)
    holds = [entry for entry in ledger.entries.values() if entry.kind == "hold"]
    return [hold.at_ns for hold in holds if ledger.standings[hold.key].ended_by is None]


def _sums(amounts: list[Money]) -> tuple[Money, ...]:
    totals: dict[str, Money] = {}
    for amount in amounts:
        totals[amount.currency] = totals.get(amount.currency, Money(0, amount.currency)) + amount
    return tuple(totals[unit] for unit in sorted(totals) if totals[unit].minor)
