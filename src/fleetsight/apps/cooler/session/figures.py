"""Figures over many sessions: how the coolers do, how fast receipts come, where the money is."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.apps.cooler.session.duties.sweeper import AT_ONCE
from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.tables import CONTESTS, DEVICE_EVENTS, RECEIPTS, REVIEWS, SESSIONS
from fleetsight.billing.books import Book
from fleetsight.billing.gauges import MoneyGauges, gauges
from fleetsight.billing.ledger import TAKES, Entry, Kind
from fleetsight.billing.reconciliation.reconciler import StoredReport, last_reports
from fleetsight.billing.sales import BOOK
from fleetsight.billing.tables import OPERATIONS
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money

SAMPLE = 5000
"""Receipts of which percentiles are taken, the newest; more change the p95 by less than it varies by itself."""
LIST_MAX = 200
PIPELINE = "pipeline"


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds of a sample; both None when it is empty."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class DeviceFigures:
    """One cooler since a moment.

    Attributes:
        device_id: which.
        last_session_ns: when the newest session ever began.
        sessions: begun since then.
        automatic: share of decided ones that no person and no deadline decided; None without decided ones.
        waiting: sessions that wait for a person now.
        contests: objections since then.
        incidents: doors that moved for nobody since then.
        receipt_s: from the last segment to the first receipt.
    """

    device_id: str
    last_session_ns: int | None
    sessions: int
    automatic: float | None
    waiting: int
    contests: int
    incidents: int
    receipt_s: Spread


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """All coolers of a tenant since a moment.

    Attributes:
        devices: by id; those without a session ever are left out.
        sessions: begun since then.
        automatic: share of decided ones that no person and no deadline decided; None without decided ones.
        waiting: sessions that wait for a person now.
        oldest_waiting_ns: since when the oldest waits; None when none does.
        contested: share of receipts with an objection; None without receipts.
        receipt_s: from the last segment to the first receipt.
        review_s: median seconds that a case was on a screen; None without reviews.
        revenue: taken less refunds since then, by currency.
    """

    devices: dict[str, DeviceFigures]
    sessions: int
    automatic: float | None
    waiting: int
    oldest_waiting_ns: int | None
    contested: float | None
    receipt_s: Spread
    review_s: float | None
    revenue: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class OpenHold:
    """Money that is reserved; `until_ns` is when the provider lets go by itself."""

    session_id: str
    shopper_id: str
    state: str
    amount: Money
    since_ns: int
    until_ns: int | None


@dataclass(frozen=True, slots=True)
class Debt:
    """A purchase that could not be charged."""

    session_id: str
    shopper_id: str
    amount: Money
    since_ns: int
    tries: int
    next_try_ns: int | None


@dataclass(frozen=True, slots=True)
class MoneyRow:
    """A payment call."""

    at_ns: int
    session_id: str
    kind: str
    amount: Money
    state: str
    key: str
    ref: str
    note: str


@dataclass(frozen=True, slots=True)
class MoneyFigures:
    """Where the money of a tenant is.

    Attributes:
        gauges: what waits.
        holds: open, oldest first, at most `LIST_MAX`.
        owed: oldest first, at most `LIST_MAX`.
        reports: newest comparison with each provider.
        operations: newest first, at most `LIST_MAX`.
        taken: since the moment, by currency.
        refunded: since the moment, by currency.
        faults: why the books do not balance; empty when they do.
    """

    gauges: MoneyGauges
    holds: tuple[OpenHold, ...]
    owed: tuple[Debt, ...]
    reports: tuple[StoredReport, ...]
    operations: tuple[MoneyRow, ...]
    taken: tuple[Money, ...]
    refunded: tuple[Money, ...]
    faults: tuple[str, ...]


def fleet(connection: sa.Connection, tenant_id: str, *, since_ns: int) -> FleetFigures:
    """How the coolers of a tenant do.

    Args:
        connection: reads.
        tenant_id: whose.
        since_ns: figures of a period begin here, UTC nanoseconds.
    Returns:
        the figures now.
    """
    mine = SESSIONS.c.tenant_id == tenant_id
    groups = sa.select(
        SESSIONS.c.device_id,
        sa.func.max(SESSIONS.c.created_ns).label("last_ns"),
        sa.func.sum(sa.case((SESSIONS.c.created_ns >= since_ns, 1), else_=0)).label("begun"),
        sa.func.sum(
            sa.case((sa.and_(SESSIONS.c.created_ns >= since_ns, SESSIONS.c.decided_by != ""), 1), else_=0)
        ).label("decided"),
        sa.func.sum(
            sa.case((sa.and_(SESSIONS.c.created_ns >= since_ns, SESSIONS.c.decided_by == PIPELINE), 1), else_=0)
        ).label("automatic"),
        sa.func.sum(SESSIONS.c.wants_person).label("waiting"),
    ).where(mine)
    rows = connection.execute(groups.group_by(SESSIONS.c.device_id).order_by(SESSIONS.c.device_id)).all()
    waits = receipt_seconds(connection, tenant_id, since_ns=since_ns)
    contests = _count_by_device(connection, CONTESTS, tenant_id, since_ns=since_ns)
    incidents = _incidents(connection, tenant_id, since_ns=since_ns)
    devices = {
        row.device_id: DeviceFigures(
            device_id=row.device_id,
            last_session_ns=row.last_ns,
            sessions=int(row.begun),
            automatic=_share(int(row.automatic), int(row.decided)),
            waiting=int(row.waiting),
            contests=contests.get(row.device_id, 0),
            incidents=incidents.get(row.device_id, 0),
            receipt_s=spread([seconds for device, seconds in waits if device == row.device_id]),
        )
        for row in rows
    }
    oldest = sa.select(sa.func.min(SESSIONS.c.entered_ns)).where(mine, SESSIONS.c.wants_person == 1)
    taken, refunded = _moved(connection, tenant_id, since_ns=since_ns)
    return FleetFigures(
        devices=devices,
        sessions=sum(device.sessions for device in devices.values()),
        automatic=_share(sum(int(row.automatic) for row in rows), sum(int(row.decided) for row in rows)),
        waiting=sum(device.waiting for device in devices.values()),
        oldest_waiting_ns=connection.execute(oldest).scalar(),
        contested=_share(sum(contests.values()), len(waits)),
        receipt_s=spread([seconds for _, seconds in waits]),
        review_s=review_seconds(connection, tenant_id, since_ns=since_ns),
        revenue=_less(taken, refunded),
    )


def money(connection: sa.Connection, tenant_id: str, *, since_ns: int) -> MoneyFigures:
    """Where the money of a tenant is.

    Args:
        connection: reads.
        tenant_id: whose.
        since_ns: figures of a period begin here, UTC nanoseconds.
    Returns:
        the figures now.
    """
    mine = SESSIONS.c.tenant_id == tenant_id
    held = sa.select(SESSIONS).where(mine, SESSIONS.c.held_minor > 0)
    owed = sa.select(SESSIONS).where(mine, SESSIONS.c.owed_minor > 0)
    calls = sa.select(OPERATIONS).where(OPERATIONS.c.tenant_id == tenant_id)
    taken, refunded = _moved(connection, tenant_id, since_ns=since_ns)
    return MoneyFigures(
        gauges=gauges(connection, tenant_id),
        holds=tuple(
            OpenHold(
                session_id=row.id,
                shopper_id=row.shopper_id,
                state=row.state,
                amount=Money(row.held_minor, row.currency),
                since_ns=row.created_ns,
                until_ns=row.body["payment"]["capture_before_ns"],
            )
            for row in connection.execute(held.order_by(SESSIONS.c.created_ns).limit(LIST_MAX))
        ),
        owed=tuple(
            Debt(
                session_id=row.id,
                shopper_id=row.shopper_id,
                amount=Money(row.owed_minor, row.currency),
                since_ns=row.entered_ns,
                tries=row.body["payment"]["retries"],
                next_try_ns=row.deadline_ns,
            )
            for row in connection.execute(owed.order_by(SESSIONS.c.entered_ns).limit(LIST_MAX))
        ),
        reports=last_reports(connection, tenant_id),
        operations=tuple(
            MoneyRow(
                at_ns=row.touched_ns,
                session_id=row.session_id,
                kind=row.kind,
                amount=Money(row.amount_minor, row.currency),
                state=row.state,
                key=row.key,
                ref=row.provider_ref,
                note=row.note,
            )
            for row in connection.execute(calls.order_by(OPERATIONS.c.touched_ns.desc()).limit(LIST_MAX))
        ),
        taken=taken,
        refunded=refunded,
        faults=Book(tenant_id, BOOK).verify(connection),
    )


def receipt_seconds(connection: sa.Connection, tenant_id: str, *, since_ns: int) -> list[tuple[str, float]]:
    """How long shoppers waited for their receipts.

    Args:
        connection: reads.
        tenant_id: whose.
        since_ns: receipts that were first issued since then.
    Returns:
        device and seconds from the last segment to the first receipt; the newest `SAMPLE`.
    """
    first = (
        sa.select(RECEIPTS.c.session_id, sa.func.min(RECEIPTS.c.at_ns).label("at_ns"))
        .where(RECEIPTS.c.tenant_id == tenant_id)
        .group_by(RECEIPTS.c.session_id)
        .subquery()
    )
    question = (
        sa.select(SESSIONS.c.device_id, first.c.at_ns - SESSIONS.c.complete_ns)
        .join(first, first.c.session_id == SESSIONS.c.id)
        .where(SESSIONS.c.complete_ns.is_not(None), first.c.at_ns >= since_ns)
        .order_by(first.c.at_ns.desc())
        .limit(SAMPLE)
    )
    return [(row[0], row[1] / SECOND_NS) for row in connection.execute(question)]


def review_seconds(
    connection: sa.Connection, tenant_id: str, *, since_ns: int, reviewer_id: str | None = None
) -> float | None:
    """How long people looked at a case before they decided.

    Args:
        connection: reads.
        tenant_id: whose.
        since_ns: decisions since then.
        reviewer_id: one person's only; None for everybody's.
    Returns:
        the median in seconds; None without decisions.
    """
    mine = [REVIEWS.c.tenant_id == tenant_id, REVIEWS.c.at_ns >= since_ns]
    if reviewer_id is not None:
        mine.append(REVIEWS.c.reviewer_id == reviewer_id)
    found = sa.select(REVIEWS.c.seconds).where(*mine).order_by(REVIEWS.c.at_ns.desc()).limit(SAMPLE)
    return spread(list(connection.execute(found).scalars())).p50


def states(connection: sa.Connection) -> dict[State, int]:
    """How many sessions of all tenants are in each state, for metrics.

    Args:
        connection: reads.
    Returns:
        every state, also those without sessions.
    """
    counts = connection.execute(sa.select(SESSIONS.c.state, sa.func.count()).group_by(SESSIONS.c.state))
    found = {row[0]: row[1] for row in counts}
    return {state: found.get(state.value, 0) for state in State}


def overdue(connection: sa.Connection, now_ns: int) -> int:
    """How many sessions of all tenants are past their deadline; above zero for long means that no worker sweeps.

    Args:
        connection: reads.
        now_ns: now.
    Returns:
        the number, at most what one sweep takes.
    """
    late = sa.select(SESSIONS.c.id).where(SESSIONS.c.deadline_ns <= now_ns).limit(AT_ONCE)
    return len(connection.execute(late).all())


def spread(seconds: Sequence[float]) -> Spread:
    """Median and 95th percentile by nearest rank.

    Args:
        seconds: any number of them.
    Returns:
        both, or None when there are none.
    """
    ranked = sorted(seconds)
    if not ranked:
        return Spread(None, None)
    return Spread(*(ranked[max(0, -(-len(ranked) * share // 100) - 1)] for share in (50, 95)))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _count_by_device(connection: sa.Connection, table: sa.Table, tenant_id: str, *, since_ns: int) -> dict[str, int]:
    question = (
        sa.select(SESSIONS.c.device_id, sa.func.count())
        .join(table, table.c.session_id == SESSIONS.c.id)
        .where(table.c.tenant_id == tenant_id, table.c.at_ns >= since_ns)
        .group_by(SESSIONS.c.device_id)
    )
    return {row[0]: row[1] for row in connection.execute(question)}


def _incidents(connection: sa.Connection, tenant_id: str, *, since_ns: int) -> dict[str, int]:
    question = (
        sa.select(DEVICE_EVENTS.c.device_id, sa.func.count())
        .where(DEVICE_EVENTS.c.tenant_id == tenant_id, DEVICE_EVENTS.c.at_ns >= since_ns)
        .where(DEVICE_EVENTS.c.session_id.is_(None), DEVICE_EVENTS.c.kind.in_(["door_opened", "forced"]))
        .group_by(DEVICE_EVENTS.c.device_id)
    )
    return {row[0]: row[1] for row in connection.execute(question)}


def _moved(connection: sa.Connection, tenant_id: str, *, since_ns: int) -> tuple[tuple[Money, ...], tuple[Money, ...]]:
    entries = Book(tenant_id, BOOK).entries_since(connection, since_ns)
    return _sums([entry for entry in entries if entry.kind in TAKES]), _sums(
        [entry for entry in entries if entry.kind is Kind.REFUND]
    )


def _sums(entries: Sequence[Entry]) -> tuple[Money, ...]:
    sums: dict[str, int] = {}
    for entry in entries:
        sums[entry.amount.currency] = sums.get(entry.amount.currency, 0) + entry.amount.minor
    return tuple(Money(minor, currency) for currency, minor in sorted(sums.items()))


def _less(taken: tuple[Money, ...], refunded: tuple[Money, ...]) -> tuple[Money, ...]:
    sums = {amount.currency: amount for amount in taken}
    for amount in refunded:
        sums[amount.currency] = sums.get(amount.currency, Money(0, amount.currency)) - amount
    return tuple(sums[currency] for currency in sorted(sums))
