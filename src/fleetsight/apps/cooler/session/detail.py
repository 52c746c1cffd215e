"""Everything about one session, for the person who has to understand or to decide it."""

from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.apps.cooler.session import records
from fleetsight.apps.cooler.session.duties.receipts import PriceMissingError, quote_of
from fleetsight.apps.cooler.session.machine.session import Basket, Session
from fleetsight.apps.cooler.session.queries import ContestView, ReceiptView, contest_view, find, receipt_view
from fleetsight.apps.cooler.session.tables import DECISIONS, EVIDENCE, REVIEWS, RUNS
from fleetsight.billing.operations import Operation
from fleetsight.billing.payments import Payments
from fleetsight.money import Money
from fleetsight.store import chain
from fleetsight.store.canonical import JsonObject


@dataclass(frozen=True, slots=True)
class AlternativeView:
    """Another reading of an event; `sku` is None for a product that is not in the catalog."""

    sku: str | None
    score: float


@dataclass(frozen=True, slots=True)
class ClipEvent:
    """One act seen on the clip; times are seconds of the clip's own time.

    Attributes:
        kind: take, put_back, move, foreign_item, unknown.
        sku: None when it is not in the catalog.
        count: units.
        at_s: when.
        window_s: the interval in which it must have happened.
        confidence: 0 to 1.
        rule: the rule that fired.
        alternatives: by probability, the chosen one first.
        strip: name of the evidence file; empty when none was kept.
    """

    kind: str
    sku: str | None
    count: int
    at_s: float
    window_s: tuple[float, float]
    confidence: float
    rule: str
    alternatives: tuple[AlternativeView, ...]
    strip: str


@dataclass(frozen=True, slots=True)
class BasketLine:
    """One SKU of a basket.

    Attributes:
        sku: which.
        count: units.
        each: price of one; None when the price list lacks it.
        amount: price of all; None when the price list lacks it.
        events: indexes into the clip's events.
        contested: the shopper says that this line is wrong.
    """

    sku: str
    count: int
    each: Money | None
    amount: Money | None
    events: tuple[int, ...]
    contested: bool


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One transition; `facts` is what the event carried, `path` the states entered."""

    at_ns: int
    kind: str
    before: str
    after: str
    path: tuple[str, ...]
    facts: JsonObject


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One frozen decision."""

    version: int
    action: str
    basket: Basket
    total: Money
    decided_by: str
    reason: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One decision by a person; `seconds` is the time that the case was on the screen."""

    at_ns: int
    reviewer_id: str
    action: str
    reason_code: str
    note: str
    seconds: float
    before: Basket
    after: Basket


@dataclass(frozen=True, slots=True)
class SessionDetail:
    """Everything about one session.

    Attributes:
        session: as it stands.
        clip: name of the annotated clip among the evidence; empty while there is none.
        duration_s: of the clip's own time; 0 while there is none.
        degraded: why the pictures are incomplete.
        events: of the clip, in order of time.
        proposed: the basket that the analysis saw.
        basket: what counts now: the newest decision, else the proposal.
        refundable: what may still be given back; None when nothing may.
        history: every transition, oldest first.
        decisions: oldest first.
        money: every payment call, oldest first.
        reviews: oldest first.
        contest: the newest objection.
        receipt: the newest.
        log_broken_at: first position at which the log is not what was written; None when it is whole.
    """

    session: Session
    clip: str
    duration_s: float
    degraded: tuple[str, ...]
    events: tuple[ClipEvent, ...]
    proposed: tuple[BasketLine, ...]
    basket: tuple[BasketLine, ...]
    refundable: Money | None
    history: tuple[HistoryRow, ...]
    decisions: tuple[DecisionRow, ...]
    money: tuple[Operation, ...]
    reviews: tuple[ReviewRow, ...]
    contest: ContestView | None
    receipt: ReceiptView | None
    log_broken_at: int | None


def detail(connection: sa.Connection, tenant_id: str, *, session_id: str, payments: Payments) -> SessionDetail | None:
    """Look at one session.

    Args:
        connection: reads.
        tenant_id: of who asks.
        session_id: anything.
        payments: knows its money.
    Returns:
        everything; None when the tenant has no such session.
    """
    session = find(connection, tenant_id, session_id=session_id)
    if session is None:
        return None
    report = _report(connection, session)
    events, clip = _events(connection, session, report)
    contest = contest_view(connection, session.id)
    contested = frozenset(contest.skus) if contest is not None and session.contest else frozenset()
    proposed = session.proposal.basket if session.proposal else ()
    counted = session.decision.basket if session.decision else proposed
    refundable = payments.refundable(connection, tenant_id, session_id=session.id)
    left_minor = sum(amount.minor for _, amount in refundable)
    scope = records.scope_of(session.id)
    return SessionDetail(
        session=session,
        clip=clip,
        duration_s=float(report["end_s"]) if report else 0.0,
        degraded=tuple(report["degraded"]) if report else (),
        events=events,
        proposed=_lines(connection, session, proposed, events=events, contested=frozenset()),
        basket=_lines(connection, session, counted, events=events, contested=contested),
        refundable=Money(left_minor, session.currency) if left_minor else None,
        history=tuple(_history(link.record) for link in chain.records(connection, scope)),
        decisions=_decisions(connection, session),
        money=payments.operations_of(connection, tenant_id, session_id=session.id),
        reviews=_reviews(connection, session),
        contest=contest,
        receipt=receipt_view(connection, session),
        log_broken_at=chain.verify(connection, scope),
    )


def _report(connection: sa.Connection, session: Session) -> JsonObject | None:
    question = sa.select(RUNS.c.report).where(RUNS.c.session_id == session.id)
    report: JsonObject | None = connection.execute(question.order_by(RUNS.c.at_ns.desc()).limit(1)).scalar()
    return report


def _events(
    connection: sa.Connection, session: Session, report: JsonObject | None
) -> tuple[tuple[ClipEvent, ...], str]:
    files = sa.select(EVIDENCE.c.name, EVIDENCE.c.event).where(
        EVIDENCE.c.session_id == session.id, EVIDENCE.c.deleted_ns.is_(None)
    )
    strips: dict[int, str] = {}
    clip = ""
    for row in connection.execute(files):
        if row.event is None:
            clip = row.name
        else:
            strips[row.event] = row.name
    events = tuple(
        ClipEvent(
            kind=event["kind"],
            sku=event["sku"],
            count=event["count"],
            at_s=event["at_s"],
            window_s=(event["window_s"][0], event["window_s"][1]),
            confidence=event["confidence"],
            rule=event["rule"],
            alternatives=tuple(AlternativeView(other["sku"], other["score"]) for other in event["alternatives"]),
            strip=strips.get(index, ""),
        )
        for index, event in enumerate(report["events"] if report else ())
    )
    return events, clip


def _lines(
    connection: sa.Connection,
    session: Session,
    basket: Basket,
    *,
    events: tuple[ClipEvent, ...],
    contested: frozenset[str],
) -> tuple[BasketLine, ...]:
    try:
        prices = {line.sku: line for line in quote_of(connection, session, basket=dict(basket)).lines} if basket else {}
    except PriceMissingError:
        prices = {}  # the page shows the lines without prices; deciding says why it cannot
    return tuple(
        BasketLine(
            sku=sku,
            count=count,
            each=prices[sku].unit if sku in prices else None,
            amount=prices[sku].gross if sku in prices else None,
            events=tuple(index for index, event in enumerate(events) if event.sku == sku),
            contested=sku in contested,
        )
        for sku, count in basket
    )


def _history(record: JsonObject) -> HistoryRow:
    if record["kind"] == "Created":
        created_ns = int(record["session"]["created_ns"])
        return HistoryRow(created_ns, "Created", "", record["session"]["state"], (record["session"]["state"],), {})
    return HistoryRow(
        at_ns=record["at_ns"],
        kind=record["kind"],
        before=record["before"],
        after=record["after"],
        path=tuple(record["path"]),
        facts=record["facts"],
    )


def _decisions(connection: sa.Connection, session: Session) -> tuple[DecisionRow, ...]:
    question = sa.select(DECISIONS).where(DECISIONS.c.session_id == session.id).order_by(DECISIONS.c.version)
    return tuple(
        DecisionRow(
            version=row.version,
            action=row.action,
            basket=tuple(sorted(row.basket.items())),
            total=Money(row.total_minor, row.currency),
            decided_by=row.decided_by,
            reason=row.reason,
            at_ns=row.at_ns,
        )
        for row in connection.execute(question)
    )


def _reviews(connection: sa.Connection, session: Session) -> tuple[ReviewRow, ...]:
    question = sa.select(REVIEWS).where(REVIEWS.c.session_id == session.id).order_by(REVIEWS.c.version)
    return tuple(
        ReviewRow(
            at_ns=row.at_ns,
            reviewer_id=row.reviewer_id,
            action=row.action,
            reason_code=row.reason_code,
            note=row.note,
            seconds=row.seconds,
            before=tuple(sorted(row.basket_before.items())),
            after=tuple(sorted(row.basket.items())),
        )
        for row in connection.execute(question)
    )
