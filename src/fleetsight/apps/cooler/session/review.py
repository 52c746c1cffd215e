"""What people decide about sessions: the next case, a decision, a refund, an objection. The first one wins, the others are told so.

Each puts what a person said and what the session makes of it into one transaction. Prices are never taken from outside: a basket
costs what the price list says that the session froze.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.apps.cooler.session import records
from fleetsight.apps.cooler.session.answers import Applied, Missing, Repeated
from fleetsight.apps.cooler.session.duties.receipts import quote_of
from fleetsight.apps.cooler.session.machine import events
from fleetsight.apps.cooler.session.machine.deciding import basket_fault
from fleetsight.apps.cooler.session.machine.limits import MINUTE_S, span_ns
from fleetsight.apps.cooler.session.machine.session import Basket, Session
from fleetsight.apps.cooler.session.machine.states import AFTER_MONEY, Action, State
from fleetsight.apps.cooler.session.machine.transition import Refusal, Refused
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.tables import CLAIMS, CONTESTS, EVENTS, REVIEWS, SESSIONS
from fleetsight.clock import Clock
from fleetsight.money import Money
from fleetsight.store.rows import insert_if_absent

REASON_CODES = (
    "as_proposed",
    "wrong_product",
    "wrong_count",
    "missed_take",
    "missed_put_back",
    "hidden",
    "not_in_catalog",
    "no_evidence",
    "device_fault",
    "not_taken",
    "quality",
    "goodwill",
    "test",
    "other",
)
"""Why a person decided as they did; for statistics, so one of these and no free text."""
CONTEST_REASONS = ("not_taken", "put_back", "wrong_product", "wrong_count", "wrong_price", "other")
CLAIM_S = 5 * MINUTE_S
"""A case is before one person for so long; a decision takes half a minute."""
CANDIDATES = 50
TEXT_CHARACTERS = 2000
SECONDS_MAX = 24 * 3600.0

_HARMLESS = frozenset({"DeadlinePassed", "DoorClosed", "DoorLocked", "CameraChanged", "SegmentStored"})
"""Events that change nothing of what a reviewer saw."""


@dataclass(frozen=True, slots=True)
class Case:
    """A session that waits for a person.

    Attributes:
        session_id: which.
        version: as it is shown; a decision names it.
        reason: why it waits.
        waiting: cases that wait, this one included.
        oldest_ns: since when the oldest waits.
        claimed_until_ns: it is this reviewer's until then.
    """

    session_id: str
    version: int
    reason: str
    waiting: int
    oldest_ns: int
    claimed_until_ns: int


@dataclass(frozen=True, slots=True)
class ReviewVerdict:
    """What a person says about a case.

    Attributes:
        tenant_id: of the person.
        session_id: anything.
        reviewer_id: who.
        version: of the session as it was shown.
        action: `accept` what was proposed or decided, `correct` it by `basket`, or `waive` it.
        reason_code: one of `REASON_CODES`.
        basket: units by SKU; None unless the action is `correct`.
        seconds: that the case was on the screen.
        note: in words.
    """

    tenant_id: str
    session_id: str
    reviewer_id: str
    version: int
    action: str
    reason_code: str
    basket: Mapping[str, int] | None = None
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Money to give back.

    Attributes:
        tenant_id: of the operator.
        session_id: anything.
        operator_id: who.
        refund_id: names the refund for ever.
        amount: > 0, in the session's currency.
        reason_code: one of `REASON_CODES`.
    """

    tenant_id: str
    session_id: str
    operator_id: str
    refund_id: str
    amount: Money
    reason_code: str


@dataclass(frozen=True, slots=True)
class Contest:
    """A shopper's "this is wrong".

    Attributes:
        tenant_id: of the shopper.
        session_id: anything.
        shopper_id: who.
        contest_id: names the objection for ever.
        skus: lines of the receipt; empty when something is missing from it.
        reason: one of `CONTEST_REASONS`.
        text: in the shopper's words.
    """

    tenant_id: str
    session_id: str
    shopper_id: str
    contest_id: str
    skus: tuple[str, ...]
    reason: str
    text: str = ""


Told = Applied | Repeated | Refused | Missing


class Reviews:
    """The desk at which people decide.

    Args:
        sessions: the machine on rows.
        clock: server time.
    """

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock

    def next(self, tenant_id: str, reviewer_id: str) -> Case | None:
        """Take the case that waits longest and that nobody else has before them; one's own comes again.

        Args:
            tenant_id: whose cases.
            reviewer_id: who asks.
        Returns:
            the case; None when none is free.
        """
        now_ns = self._clock.now_ns()
        waits = (SESSIONS.c.tenant_id == tenant_id, SESSIONS.c.wants_person == 1)
        columns = (SESSIONS.c.id, SESSIONS.c.version, SESSIONS.c.review_reason, SESSIONS.c.entered_ns)
        taken = sa.and_(CLAIMS.c.until_ns > now_ns, CLAIMS.c.reviewer_id != reviewer_id)
        free = sa.select(*columns).join(CLAIMS, CLAIMS.c.session_id == SESSIONS.c.id, isouter=True)
        mine_first = sa.case((CLAIMS.c.reviewer_id == reviewer_id, 0), else_=1)
        free = free.where(*waits, sa.or_(CLAIMS.c.until_ns.is_(None), sa.not_(taken)))
        with self._sessions.turn(None) as connection:
            count, oldest_ns = connection.execute(
                sa.select(sa.func.count(), sa.func.min(SESSIONS.c.entered_ns)).where(*waits)
            ).one()
            for row in connection.execute(
                free.order_by(mine_first, SESSIONS.c.entered_ns, SESSIONS.c.id).limit(CANDIDATES)
            ).all():
                until_ns = now_ns + span_ns(CLAIM_S)
                if _claim(connection, (tenant_id, row.id, reviewer_id), now_ns=now_ns, until_ns=until_ns):
                    return Case(row.id, row.version, row.review_reason or "contest", count, oldest_ns, until_ns)
        return None

    def decide(self, verdict: ReviewVerdict, *, connection: sa.Connection | None = None) -> Told:
        """Take a person's decision; of two, the first.

        Args:
            verdict: what the person says.
            connection: of a write transaction; a new one when None.
        Returns:
            the session afterwards; `Refused` when it is decided already, changed since it was shown, or the basket has no price.
        """
        fault = _fault(verdict)
        if fault:
            return Refused(Refusal.CONFLICT, fault)
        with self._sessions.turn(connection) as turn:
            session = records.load(turn, verdict.session_id, lock=True)
            if session is None or session.tenant_id != verdict.tenant_id:
                return Missing()
            if self._changed_since(turn, session, verdict.version):
                return Refused(Refusal.STALE, "the case changed since it was shown; look again")
            fault = basket_fault(_basket(session, verdict), self._sessions.limits)
            if fault:
                return Refused(Refusal.LIMIT, fault)
            event = _event(turn, session, verdict)
            if isinstance(event, Refused):
                return event
            outcome = self._sessions.apply(session.id, event, connection=turn)
            if isinstance(outcome, Applied):
                _keep(turn, session, outcome.session, verdict=verdict, now_ns=self._clock.now_ns())
            return outcome

    def refund(self, order: RefundOrder, *, connection: sa.Connection | None = None) -> Told:
        """Give money back without another decision.

        Args:
            order: how much, and why.
            connection: of a write transaction; a new one when None.
        Returns:
            the session afterwards, which waits for the provider; or why not.
        """
        if order.reason_code not in REASON_CODES:
            return Refused(Refusal.CONFLICT, f"{order.reason_code} is no reason")
        with self._sessions.turn(connection) as turn:
            session = records.load(turn, order.session_id, lock=True)
            if session is None or session.tenant_id != order.tenant_id:
                return Missing()
            if order.amount.currency != session.currency:
                return Refused(Refusal.CONFLICT, f"the session was paid in {session.currency}")
            event = events.RefundRequested(order.refund_id, order.operator_id, order.amount.minor, order.reason_code)
            return self._sessions.apply(session.id, event, key=f"refund:{order.refund_id}", connection=turn)

    def contest(self, contest: Contest, *, connection: sa.Connection | None = None) -> Told:
        """Take a shopper's objection.

        Args:
            contest: what the shopper says.
            connection: of a write transaction; a new one when None.
        Returns:
            the session afterwards, which waits for a person; or why not.
        """
        if contest.reason not in CONTEST_REASONS or len(contest.text) > TEXT_CHARACTERS:
            return Refused(Refusal.CONFLICT, f"a reason is one of {', '.join(CONTEST_REASONS)}, with a short text")
        with self._sessions.turn(connection) as turn:
            session = records.load(turn, contest.session_id, lock=True)
            mine = session is not None and (session.tenant_id, session.shopper_id) == (
                contest.tenant_id,
                contest.shopper_id,
            )
            if session is None or not mine:
                return Missing()
            bought = dict(session.decision.basket) if session.decision else {}
            foreign = [sku for sku in contest.skus if sku not in bought]
            if foreign:
                return Refused(Refusal.CONFLICT, f"the receipt has no line {', '.join(foreign[:5])}")
            event = events.ContestOpened(contest.contest_id, contest.skus, contest.reason, contest.text)
            outcome = self._sessions.apply(session.id, event, key=f"contest:{contest.contest_id}", connection=turn)
            if isinstance(outcome, Applied):
                _keep_contest(turn, contest, now_ns=self._clock.now_ns())
            return outcome

    def _changed_since(self, connection: sa.Connection, session: Session, version: int) -> bool:
        if version == session.version:
            return False
        kinds = sa.select(EVENTS.c.kind).where(EVENTS.c.session_id == session.id, EVENTS.c.version > version)
        return version > session.version or not _HARMLESS.issuperset(connection.execute(kinds).scalars())


def _fault(verdict: ReviewVerdict) -> str:
    if verdict.action not in ("accept", "correct", "waive") or verdict.reason_code not in REASON_CODES:
        return f"{verdict.action} for {verdict.reason_code} is no decision"
    if (verdict.action == "correct") != (verdict.basket is not None):
        return "a correction needs its basket, and only a correction"
    if not 0 <= verdict.seconds <= SECONDS_MAX or len(verdict.note) > TEXT_CHARACTERS:
        return "seconds or note are out of range"
    return ""


def _event(connection: sa.Connection, session: Session, verdict: ReviewVerdict) -> events.Event | Refused:
    """What a verdict means for the session as it stands."""
    reviewed = session.state is State.REVIEW
    if not reviewed and session.state not in AFTER_MONEY:
        return Refused(Refusal.NOT_NOW, f"the session is {session.state}")
    if verdict.action == "accept" and not reviewed:
        return events.ContestClosed(verdict.reviewer_id, verdict.reason_code)
    if verdict.action == "accept" and session.proposal is None:
        return Refused(Refusal.CONFLICT, "nothing was proposed; correct or waive")
    basket = _basket(session, verdict)
    quoted = quote_of(connection, session, basket=dict(basket)) if basket else None
    if quoted is not None and quoted.missing:
        if verdict.action != "waive":
            return Refused(Refusal.CONFLICT, f"no price for {', '.join(quoted.missing[:5])}")
        basket, quoted = (), None
    total_minor = quoted.total.minor if quoted is not None else 0
    action = Action.WAIVE if verdict.action == "waive" and basket else Action.CHARGE if basket else Action.RELEASE
    if reviewed:
        return events.ReviewDecided(verdict.reviewer_id, action, basket, total_minor, verdict.reason_code)
    version = session.decision.version + 1 if session.decision else 1
    return events.DecisionRevised(verdict.reviewer_id, version, action, basket, total_minor, verdict.reason_code)


def _basket(session: Session, verdict: ReviewVerdict) -> Basket:
    if verdict.basket is not None:
        return tuple(sorted((sku, count) for sku, count in verdict.basket.items() if count != 0))
    if session.state is State.REVIEW:
        return session.proposal.basket if session.proposal else ()
    return session.decision.basket if session.decision else ()


def _claim(connection: sa.Connection, who: tuple[str, str, str], *, now_ns: int, until_ns: int) -> bool:
    tenant_id, session_id, reviewer_id = who
    row = {"session_id": session_id, "tenant_id": tenant_id, "reviewer_id": reviewer_id, "until_ns": until_ns}
    if insert_if_absent(connection, CLAIMS, values=row, keys=["session_id"]):
        return True
    free = sa.or_(CLAIMS.c.until_ns <= now_ns, CLAIMS.c.reviewer_id == reviewer_id)
    changed = sa.update(CLAIMS).where(CLAIMS.c.session_id == session_id, free).values(**row)
    return connection.execute(changed).rowcount == 1


def _keep(connection: sa.Connection, before: Session, after: Session, *, verdict: ReviewVerdict, now_ns: int) -> None:
    shown = before.proposal.basket if before.state is State.REVIEW and before.proposal else _decided(before)
    row = {
        "session_id": before.id,
        "version": before.version,
        "tenant_id": before.tenant_id,
        "reviewer_id": verdict.reviewer_id,
        "action": verdict.action,
        "reason_code": verdict.reason_code,
        "note": verdict.note,
        "seconds": verdict.seconds,
        "basket_before": dict(shown),
        "basket": dict(_decided(after)),
        "at_ns": now_ns,
    }
    connection.execute(sa.insert(REVIEWS).values(**row))
    connection.execute(sa.delete(CLAIMS).where(CLAIMS.c.session_id == before.id))


def _decided(session: Session) -> Basket:
    return session.decision.basket if session.decision else ()


def _keep_contest(connection: sa.Connection, contest: Contest, *, now_ns: int) -> None:
    row = {
        "session_id": contest.session_id,
        "contest_id": contest.contest_id,
        "tenant_id": contest.tenant_id,
        "shopper_id": contest.shopper_id,
        "skus": list(contest.skus),
        "reason": contest.reason,
        "text": contest.text,
        "at_ns": now_ns,
    }
    connection.execute(sa.insert(CONTESTS).values(**row))
