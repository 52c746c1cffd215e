"""Questions about sessions: lists, a shopper's own session, its receipt, the files that show why.

Everything is asked within one tenant; what belongs to another is as if it did not exist. Names of devices, sites and people are the
fleet's; here they are ids.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from fleetsight.apps.cooler.session import records
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import ENDED, State
from fleetsight.apps.cooler.session.tables import CONTESTS, EVENTS, EVIDENCE, RECEIPTS, RUNS, SESSIONS
from fleetsight.money import Money
from fleetsight.store.canonical import JsonObject

PAGE_MAX = 200


class Filter(StrEnum):
    """Which sessions a list shows."""

    ALL = "all"
    LIVE = "live"
    REVIEW = "review"
    SETTLED = "settled"
    RELEASED = "released"
    OWED = "owed"
    ENDED = "ended"


class Stage(StrEnum):
    """Where a shopper's phone is."""

    UNLOCKING = "unlocking"
    OPEN = "open"
    WORKING = "working"
    REVIEW = "review"
    RECEIPT = "receipt"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list that is sorted by newest first; the list goes on after it."""

    created_ns: int
    session_id: str


@dataclass(frozen=True, slots=True)
class Query:
    """What to list.

    Attributes:
        filter: by kind of state.
        state: one state only; None for any.
        device_id: one device only; None for any.
        shopper_id: one shopper only; None for any.
        after: where the last page ended; None for the newest.
        limit: 1 to `PAGE_MAX`.
    """

    filter: Filter = Filter.ALL
    state: State | None = None
    device_id: str | None = None
    shopper_id: str | None = None
    after: Place | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A line of a list.

    Attributes:
        session_id: which.
        state: as a whole.
        door: its door.
        evidence: its video.
        payment: its money.
        device_id: where.
        site_id: where.
        shopper_id: who.
        created_ns: code redeemed.
        closed_ns: door locked; None before.
        ended_ns: end reached last; None before.
        decision: charge, release or waive; None before.
        decided_by: pipeline, deadline or a person's id; empty before.
        confidence: that the basket is exact, 0 to 1; None before the analysis.
        total: of the newest decision; None before.
        kept: taken and not given back.
        review_reason: why a person has to look; empty when nobody has to.
        wants_person: in review, contested, or changed by late video.
        version: a decision names it.
    """

    session_id: str
    state: str
    door: str
    evidence: str
    payment: str
    device_id: str
    site_id: str
    shopper_id: str
    created_ns: int
    closed_ns: int | None
    ended_ns: int | None
    decision: str | None
    decided_by: str
    confidence: float | None
    total: Money | None
    kept: Money
    review_reason: str
    wants_person: bool
    version: int


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a list; `after` leads to the next, None at the end."""

    rows: tuple[SessionRow, ...]
    after: Place | None


@dataclass(frozen=True, slots=True)
class StripView:
    """A picture of one event: its file name, what kind of act it shows, and when in the clip's own time."""

    name: str
    kind: str
    at_s: float


@dataclass(frozen=True, slots=True)
class ReceiptLineView:
    """One SKU of a receipt.

    Attributes:
        sku: which.
        name: for people.
        count: units.
        each: price of one, tax included.
        amount: price of all.
        tax_rate_bp: basis points.
        strips: the moments behind this line.
    """

    sku: str
    name: str
    count: int
    each: Money
    amount: Money
    tax_rate_bp: int
    strips: tuple[StripView, ...]


@dataclass(frozen=True, slots=True)
class TaxView:
    """Tax of one rate, contained in the total."""

    rate_bp: int
    amount: Money


@dataclass(frozen=True, slots=True)
class RefundView:
    """Money given back."""

    at_ns: int
    amount: Money
    reason: str


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """A receipt.

    Attributes:
        number: printed on it.
        seller: who sells.
        place: where.
        issued_ns: when this version was written.
        lines: what was taken.
        total: price of all, tax included.
        taxes: contained in the total, by rate.
        paid_by: name of the provider.
        paid: payments less refunds.
        owed: still to be paid.
        waived: not asked for.
        refunds: in order of time.
        text: the receipt as a till would print it.
    """

    number: str
    seller: str
    place: str
    issued_ns: int
    lines: tuple[ReceiptLineView, ...]
    total: Money
    taxes: tuple[TaxView, ...]
    paid_by: str
    paid: Money
    owed: Money
    waived: Money
    refunds: tuple[RefundView, ...]
    text: str


@dataclass(frozen=True, slots=True)
class ContestView:
    """A shopper's objection; `answered_ns` is None while it is open, `answer` says what a person did."""

    at_ns: int
    skus: tuple[str, ...]
    reason: str
    text: str
    answered_ns: int | None
    answer: str


@dataclass(frozen=True, slots=True)
class ShopperSession:
    """A session as its shopper sees it.

    Attributes:
        session_id: which.
        stage: where the phone is.
        state: as a whole.
        door: its door.
        outcome: why an end was reached, in one word; empty before.
        device_id: which cooler.
        site_id: where.
        created_ns: code redeemed.
        deadline_ns: when the present state is left at the latest; None: never.
        opened_ns: None before.
        closed_ns: None before.
        hold: what is held; None when nothing is.
        receipt: None before.
        contest: the newest objection; None when there never was one.
    """

    session_id: str
    stage: Stage
    state: str
    door: str
    outcome: str
    device_id: str
    site_id: str
    created_ns: int
    deadline_ns: int | None
    opened_ns: int | None
    closed_ns: int | None
    hold: Money | None
    receipt: ReceiptView | None
    contest: ContestView | None


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A file that shows something; its bytes are a blob."""

    name: str
    digest: str
    size_bytes: int
    event: int | None


_BEFORE_OPEN = frozenset({State.CREATED, State.AUTHORIZING, State.AUTHORIZED, State.UNLOCKING})
_NO_RECEIPT = frozenset({State.DENIED, State.ABORTED})
_WORKING = frozenset({State.CLOSED, State.WAITING_EVIDENCE, State.ANALYZING, State.DECIDED, State.SETTLING})
_FILTERS: dict[Filter, frozenset[State]] = {
    Filter.LIVE: frozenset(State) - ENDED - {State.OWED, State.REVIEW},
    Filter.SETTLED: frozenset({State.SETTLED, State.REFUNDING, State.REFUNDED, State.DISPUTED}),
    Filter.RELEASED: frozenset({State.RELEASED}),
    Filter.OWED: frozenset({State.OWED, State.WRITTEN_OFF}),
    Filter.ENDED: ENDED,
}
_ANSWERS = ("DecisionRevised", "ContestClosed")


def page(connection: sa.Connection, tenant_id: str, *, query: Query) -> Page:
    """List sessions, newest first.

    Args:
        connection: reads.
        tenant_id: whose.
        query: which.
    Returns:
        at most `query.limit` rows.
    """
    limit = max(1, min(query.limit, PAGE_MAX))
    question = sa.select(SESSIONS).where(SESSIONS.c.tenant_id == tenant_id, *_conditions(query))
    newest = question.order_by(SESSIONS.c.created_ns.desc(), SESSIONS.c.id.desc()).limit(limit + 1)
    rows = tuple(row_of(row) for row in connection.execute(newest))
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return Page(rows[:limit], Place(last.created_ns, last.session_id) if last else None)


def waiting(connection: sa.Connection, tenant_id: str) -> int:
    """How many sessions wait for a person.

    Args:
        connection: reads.
        tenant_id: whose.
    Returns:
        the number.
    """
    mine = (SESSIONS.c.tenant_id == tenant_id, SESSIONS.c.wants_person == 1)
    return connection.execute(sa.select(sa.func.count()).select_from(SESSIONS).where(*mine)).scalar_one()


def shopper_session(
    connection: sa.Connection, tenant_id: str, *, shopper_id: str, session_id: str
) -> ShopperSession | None:
    """A session as its shopper sees it.

    Args:
        connection: reads.
        tenant_id: of the shopper.
        shopper_id: who asks.
        session_id: anything.
    Returns:
        the session; None when it is not this shopper's.
    """
    session = find(connection, tenant_id, session_id=session_id)
    if session is None or session.shopper_id != shopper_id:
        return None
    receipt = receipt_view(connection, session)
    held = session.payment.held_minor
    return ShopperSession(
        session_id=session.id,
        stage=stage_of(session.state, has_receipt=receipt is not None),
        state=session.state.value,
        door=session.door.state.value,
        outcome=session.outcome,
        device_id=session.device_id,
        site_id=session.site_id,
        created_ns=session.created_ns,
        deadline_ns=session.due_ns,
        opened_ns=session.door.opened_ns,
        closed_ns=session.door.closed_ns,
        hold=Money(held, session.currency) if held else None,
        receipt=receipt,
        contest=contest_view(connection, session.id),
    )


def find(connection: sa.Connection, tenant_id: str, *, session_id: str) -> Session | None:
    """A session of a tenant.

    Args:
        connection: reads.
        tenant_id: whose.
        session_id: anything.
    Returns:
        the session; None when the tenant has no such.
    """
    session = records.load(connection, session_id)
    return session if session is not None and session.tenant_id == tenant_id else None


def stage_of(state: State, *, has_receipt: bool) -> Stage:
    """Where a phone is.

    Args:
        state: of the session.
        has_receipt: whether its receipt is written.
    Returns:
        the stage; after the money it is working until the receipt is there.
    """
    if state in _BEFORE_OPEN:
        return Stage.UNLOCKING
    if state is State.OPEN:
        return Stage.OPEN
    if state is State.REVIEW:
        return Stage.REVIEW
    if state in _NO_RECEIPT:
        return Stage.ENDED
    return Stage.RECEIPT if has_receipt and state not in _WORKING else Stage.WORKING


def receipt_view(connection: sa.Connection, session: Session) -> ReceiptView | None:
    """The newest receipt of a session.

    Args:
        connection: reads.
        session: whose.
    Returns:
        the receipt; None while there is none.
    """
    question = sa.select(RECEIPTS).where(RECEIPTS.c.session_id == session.id)
    row = connection.execute(question.order_by(RECEIPTS.c.version.desc()).limit(1)).first()
    if row is None:
        return None
    body: JsonObject = row.body
    strips = _strips(connection, session.id)

    def money(minor: int) -> Money:
        return Money(minor, str(body["currency"]))

    lines = tuple(
        ReceiptLineView(
            sku=line["sku"],
            name=line["name"],
            count=line["count"],
            each=money(line["unit_minor"]),
            amount=money(line["gross_minor"]),
            tax_rate_bp=line["tax_rate_bp"],
            strips=tuple(strips[name] for name in line["evidence"] if name in strips),
        )
        for line in body["lines"]
    )
    return ReceiptView(
        number=body["number"],
        seller=body["seller"],
        place=body["place"],
        issued_ns=row.at_ns,
        lines=lines,
        total=money(body["total_minor"]),
        taxes=tuple(TaxView(share["rate_bp"], money(share["tax_minor"])) for share in body["tax"]),
        paid_by=session.provider,
        paid=money(body["paid_minor"]),
        owed=money(body["owed_minor"]),
        waived=money(body["waived_minor"]),
        refunds=tuple(RefundView(r["at_ns"], money(r["amount_minor"]), r["reason"]) for r in body["refunds"]),
        text=body["text"],
    )


def contest_view(connection: sa.Connection, session_id: str) -> ContestView | None:
    """The newest objection to a session.

    Args:
        connection: reads.
        session_id: whose.
    Returns:
        the objection with its answer; None when there never was one.
    """
    question = sa.select(CONTESTS).where(CONTESTS.c.session_id == session_id)
    row = connection.execute(question.order_by(CONTESTS.c.at_ns.desc()).limit(1)).first()
    if row is None:
        return None
    answers = sa.select(EVENTS.c.kind, EVENTS.c.at_ns).where(
        EVENTS.c.session_id == session_id, EVENTS.c.kind.in_(_ANSWERS), EVENTS.c.at_ns >= row.at_ns
    )
    answer = connection.execute(answers.order_by(EVENTS.c.version).limit(1)).first()
    words = {"DecisionRevised": "changed", "ContestClosed": "confirmed"}
    return ContestView(
        at_ns=row.at_ns,
        skus=tuple(row.skus),
        reason=row.reason,
        text=row.text,
        answered_ns=answer.at_ns if answer else None,
        answer=words[answer.kind] if answer else "",
    )


def evidence_file(
    connection: sa.Connection, tenant_id: str, *, session_id: str, name: str, shopper_id: str | None = None
) -> EvidenceFile | None:
    """A file of a session.

    Args:
        connection: reads.
        tenant_id: of who asks.
        session_id: anything.
        name: anything.
        shopper_id: set when a shopper asks, who may see only what stands on the own receipt.
    Returns:
        the file; None when there is none for who asks, or its time is over.
    """
    session = find(connection, tenant_id, session_id=session_id)
    if session is None or (shopper_id is not None and session.shopper_id != shopper_id):
        return None
    if shopper_id is not None:
        receipt = receipt_view(connection, session)
        shown = {strip.name for line in (receipt.lines if receipt else ()) for strip in line.strips}
        if name not in shown:
            return None
    question = sa.select(EVIDENCE).where(
        EVIDENCE.c.session_id == session_id, EVIDENCE.c.name == name, EVIDENCE.c.deleted_ns.is_(None)
    )
    row = connection.execute(question).first()
    return None if row is None else EvidenceFile(row.name, row.digest, row.size_bytes, row.event)


def row_of(row: Any) -> SessionRow:
    """A line of a list from a row of the table.

    Args:
        row: all columns of `sessions`.
    Returns:
        the line.
    """
    decision, proposal = row.body["decision"], row.body["proposal"]
    return SessionRow(
        session_id=row.id,
        state=row.state,
        door=row.door,
        evidence=row.evidence,
        payment=row.payment,
        device_id=row.device_id,
        site_id=row.site_id,
        shopper_id=row.shopper_id,
        created_ns=row.created_ns,
        closed_ns=row.closed_ns,
        ended_ns=row.ended_ns,
        decision=decision["action"] if decision else None,
        decided_by=row.decided_by,
        confidence=proposal["confidence"] if proposal else None,
        total=Money(row.decided_minor, row.currency) if decision else None,
        kept=Money(row.charged_minor - row.refunded_minor, row.currency),
        review_reason=row.review_reason,
        wants_person=bool(row.wants_person),
        version=row.version,
    )


def _conditions(query: Query) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if query.filter is Filter.REVIEW:
        found.append(SESSIONS.c.wants_person == 1)
    elif query.filter is not Filter.ALL:
        found.append(SESSIONS.c.state.in_(sorted(state.value for state in _FILTERS[query.filter])))
    for column, value in (
        (SESSIONS.c.state, query.state.value if query.state else None),
        (SESSIONS.c.device_id, query.device_id),
        (SESSIONS.c.shopper_id, query.shopper_id),
    ):
        if value is not None:
            found.append(column == value)
    if query.after is not None:
        place = sa.tuple_(SESSIONS.c.created_ns, SESSIONS.c.id)
        found.append(place < sa.tuple_(query.after.created_ns, query.after.session_id))
    return found


def _strips(connection: sa.Connection, session_id: str) -> dict[str, StripView]:
    files = sa.select(EVIDENCE.c.name, EVIDENCE.c.event, EVIDENCE.c.run_id).where(
        EVIDENCE.c.session_id == session_id, EVIDENCE.c.event.is_not(None), EVIDENCE.c.deleted_ns.is_(None)
    )
    reports = sa.select(RUNS.c.run_id, RUNS.c.report).where(RUNS.c.session_id == session_id)
    by_run = {row.run_id: row.report["events"] for row in connection.execute(reports)}
    found = {}
    for row in connection.execute(files):
        event = by_run[row.run_id][row.event]
        found[row.name] = StripView(row.name, event["kind"], event["at_s"])
    return found
