"""What must be true at every moment, whatever died or failed before: read from rows and blobs, never from memory.

A worker asks this every hour; chaos asks it every few seconds and shows the answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa

from fleetsight.apps.cooler.session.machine.states import PaymentState, State
from fleetsight.apps.cooler.session.tables import EVIDENCE, SEGMENTS, SESSIONS
from fleetsight.billing import sales
from fleetsight.billing.books import Book
from fleetsight.billing.ledger import Kind, Ledger
from fleetsight.billing.providers import wallet
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.tenants import tenants
from fleetsight.store import chain
from fleetsight.store.blobs import Blobs, Digest
from fleetsight.store.rows import Rows

RULES: Mapping[str, str] = {
    "books": "Books replay to their balances, and their chains are whole.",
    "money": "What a session says was charged is what the books and the provider say.",
    "once": "A session is captured at most once.",
    "amount": "A settled session kept what was decided, less what was waived, owed or given back.",
    "holds": "A session that ended without a charge holds no money after a minute.",
    "deadlines": "No session is long past its deadline.",
    "history": "The chain of each session's events is whole.",
    "uploads": "Every segment that was acknowledged is here, whole.",
    "evidence": "Every picture that a receipt may name is here.",
    "doors": "No two sessions have a device's door at once.",
}
"""Each rule, for people."""
HOLD_GONE_S = 60
LATE_S = 40
"""Another worker takes over within 30 s, and two sweeps of 5 s may pass until it looks."""
Row: TypeAlias = "sa.Row[*tuple[Any, ...]]"
_PENDING = frozenset(state.value for state in PaymentState if state.value.endswith("_pending"))
_UNCHARGED = (State.DENIED.value, State.ABORTED.value, State.RELEASED.value)
_TAKEN = (Kind.CAPTURE, Kind.CHARGE, Kind.PAID_LATER)


@dataclass(frozen=True)
class Broken:
    """A rule that does not hold.

    Attributes:
        rule: one of `RULES`.
        subject: tenant or session.
        detail: what was found.
    """

    rule: str
    subject: str
    detail: str


def broken_rules(rows: Rows, blobs: Blobs, *, now_ns: int, since_ns: int = 0) -> list[Broken]:
    """Check everything.

    Args:
        rows: the database. On Postgres, what changes while this reads may look broken for once; ask again before believing it.
        blobs: clips and pictures.
        now_ns: the time, UTC nanoseconds.
        since_ns: sessions that were created before are left out; books are checked whole.
    Returns:
        what does not hold; empty as a rule.
    """
    with rows.reading() as connection:
        found = [broken for tenant in tenants(connection) for broken in _books(connection, tenant.tenant_id)]
        sessions = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.created_ns >= since_ns)).all()
        for row in sessions:
            found += _money(connection, row)
            found += _times(connection, row, now_ns)
        found += _doors(sessions)
        stored = connection.execute(_since(SEGMENTS, since_ns).where(SEGMENTS.c.stored == 1)).all()
        shown = connection.execute(_since(EVIDENCE, since_ns).where(EVIDENCE.c.deleted_ns.is_(None))).all()
    gone = {row.id for row in sessions if row.evidence == "expired_deleted"}
    for row in stored:
        size_bytes = blobs.size(Digest(f"sha256:{row.sha256}"))
        if size_bytes != row.length and row.session_id not in gone:
            detail = f"{row.camera} {row.index}: {size_bytes} bytes here, {row.length} acknowledged"
            found.append(Broken("uploads", row.session_id, detail))
    for row in shown:
        if blobs.size(Digest(row.digest)) is None:
            found.append(Broken("evidence", row.session_id, f"{row.name} is missing"))
    return found


def _since(table: sa.Table, since_ns: int) -> sa.Select[Any]:
    mine = sa.and_(SESSIONS.c.tenant_id == table.c.tenant_id, SESSIONS.c.id == table.c.session_id)
    return sa.select(table).join(SESSIONS, mine).where(SESSIONS.c.created_ns >= since_ns)


def _books(connection: sa.Connection, tenant_id: str) -> Iterator[Broken]:
    for name in (sales.BOOK, wallet.NAME):
        for problem in Book(tenant_id, name).verify(connection):
            yield Broken("books", tenant_id, f"{name}: {problem}")


def _money(connection: sa.Connection, row: Row) -> Iterator[Broken]:
    said = _sums(Book(row.tenant_id, sales.BOOK).ledger_of(connection, row.id))
    if said.captures > 1:
        yield Broken("once", row.id, f"{said.captures} captures in the books")
    if row.payment in _PENDING:
        return  # a call is under way: who is ahead is not known
    books = [("the books", said)]
    if row.body.get("provider", wallet.NAME) == wallet.NAME:
        books.append(("the wallet", _sums(Book(row.tenant_id, wallet.NAME).ledger_of(connection, row.id))))
    for name, sums in books:
        mine = (row.charged_minor, row.refunded_minor, row.held_minor)
        if mine != (sums.taken_minor, sums.refunded_minor, sums.held_minor):
            theirs = f"{sums.taken_minor} taken, {sums.refunded_minor} given back, {sums.held_minor} held"
            detail = (
                f"{row.state}: session says {mine[0]} taken, {mine[1]} given back, {mine[2]} held; {name}: {theirs}"
            )
            yield Broken("money", row.id, detail)
    asked = row.decided_minor - row.waived_minor - row.owed_minor
    if row.state == State.SETTLED.value and row.refunded_minor == 0 and row.charged_minor != asked:
        yield Broken("amount", row.id, f"{row.charged_minor} charged, {asked} decided")


def _times(connection: sa.Connection, row: Row, now_ns: int) -> Iterator[Broken]:
    if row.state in _UNCHARGED and row.held_minor and now_ns - row.entered_ns > HOLD_GONE_S * SECOND_NS:
        yield Broken("holds", row.id, f"{row.held_minor} held since {(now_ns - row.entered_ns) / SECOND_NS:.0f} s")
    if row.deadline_ns is not None and now_ns - row.deadline_ns > LATE_S * SECOND_NS:
        yield Broken("deadlines", row.id, f"{row.state} is {(now_ns - row.deadline_ns) / SECOND_NS:.0f} s late")
    position = chain.verify(connection, f"session:{row.id}")
    if position is not None:
        yield Broken("history", row.id, f"broken at {position}")


def _doors(sessions: Sequence[Row]) -> Iterator[Broken]:
    latest: dict[tuple[str, str], tuple[int, str]] = {}
    for row in sorted((row for row in sessions if row.opened_ns is not None), key=lambda row: row.opened_ns):
        closed_ns, before = latest.get((row.tenant_id, row.device_id), (0, ""))
        if row.opened_ns < closed_ns:
            yield Broken("doors", row.id, f"opened while {before} had the door")
        if row.closed_ns is not None:
            latest[row.tenant_id, row.device_id] = (row.closed_ns, row.id)


@dataclass(frozen=True)
class _Sums:
    taken_minor: int
    refunded_minor: int
    held_minor: int
    captures: int


def _sums(ledger: Ledger) -> _Sums:
    entries = list(ledger.entries.values())
    ended = {entry.of for entry in entries if entry.kind in (Kind.CAPTURE, Kind.VOID, Kind.EXPIRE)}
    return _Sums(
        taken_minor=sum(entry.amount.minor for entry in entries if entry.kind in _TAKEN),
        refunded_minor=sum(entry.amount.minor for entry in entries if entry.kind is Kind.REFUND),
        held_minor=sum(e.amount.minor for e in entries if e.kind is Kind.HOLD and e.key not in ended),
        captures=sum(entry.kind is Kind.CAPTURE for entry in entries),
    )
