"""What a provider tells us by itself: holds that ended, disputes, answers that were lost.

Webhooks and reconciliation come here alike. A webhook is only a hint where to look; what is booked is what the provider's object
shows when it is read. All of it may be repeated, in any order.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import sqlalchemy as sa

from fleetsight.billing import sales
from fleetsight.billing.books import Book
from fleetsight.billing.exactly_once import operation_rows
from fleetsight.billing.exactly_once.concluding import ending_of, fact_of
from fleetsight.billing.exactly_once.judge import judge
from fleetsight.billing.ledger import TAKES, Kind, Ledger
from fleetsight.billing.operations import Operation, OperationKind, OperationState
from fleetsight.billing.payments import Payments
from fleetsight.billing.provider import DisputeState, Hint, Intent, IntentState, Refunded, Refused, Unknown
from fleetsight.billing.tables import EVENTS, OPERATIONS
from fleetsight.money import Money
from fleetsight.store.rows import insert_if_absent

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outstanding:
    """The provider shows how an open operation of ours ended: perform it, and conclude it with the session.

    Attributes:
        key: of the operation.
        session_id: what it is about.
    """

    key: str
    session_id: str


@dataclass(frozen=True, slots=True)
class HoldEnded:
    """A hold ended without a word from us, and is booked so.

    Attributes:
        key: of the hold.
        session_id: what it is about.
        expired: by itself; False when somebody gave it back at the provider.
    """

    key: str
    session_id: str
    expired: bool


@dataclass(frozen=True, slots=True)
class DisputeChanged:
    """A dispute was opened, won or lost, and is booked so.

    Attributes:
        key: of the payment.
        session_id: what it is about.
        state: where the dispute stands now.
        amount: what it is about.
    """

    key: str
    session_id: str
    state: DisputeState
    amount: Money


Observation: TypeAlias = Outstanding | HoldEnded | DisputeChanged


def take_hint(connection: sa.Connection, hint: Hint, *, now_ns: int) -> bool:
    """Note a webhook, so that the same event is looked at once.

    Args:
        connection: of a write transaction; want the look (`Payments.look`) in the same one.
        hint: checked.
        now_ns: now.
    Returns:
        False when the event came before.
    """
    values = {
        "provider": hint.provider,
        "event_id": hint.event_id,
        "kind": hint.kind,
        "ref": hint.ref,
        "at_ns": now_ns,
    }
    return insert_if_absent(connection, EVENTS, values=values, keys=["provider", "event_id"])


def observe(
    connection: sa.Connection, payments: Payments, *, provider: str, intent: Intent, now_ns: int
) -> tuple[Observation, ...]:
    """Book what the provider's object shows and we did not ask for.

    Args:
        connection: of a write transaction, which locks the tenant's sales book: lock a session before, if at all.
        payments: concludes refunds that the object shows, so that a later dispute finds them booked.
        provider: whose object it is.
        intent: as read a moment ago.
        now_ns: now.
    Returns:
        what is new to us; nothing when the object is none of ours, which reconciliation reports.
    """
    root = root_of(connection, provider, intent=intent)
    if root is None:
        return ()
    book = Book(root.tenant_id, sales.BOOK)
    book.lock(connection)
    found: list[Observation] = [*_outstanding(connection, payments, root, intent=intent, now_ns=now_ns)]
    ledger = book.ledger_of(connection, root.session_id)
    facts = [*_ended(root, intent, ledger=ledger, now_ns=now_ns)] if not found else []
    facts += _disputed(connection, root, intent=intent, ledger=ledger, now_ns=now_ns)
    for fact in facts:
        posted = book.post(connection, sales.entry_of(fact))
        if isinstance(posted, Refused):
            LOGGER.error("not booked key=%s kind=%s reason=%s", fact.key, fact.kind, posted.reason)
        elif fact.kind in _DISPUTES:
            found.append(DisputeChanged(fact.of, fact.session_id, _DISPUTES[fact.kind], fact.amount))
        else:
            found.append(HoldEnded(fact.of, fact.session_id, expired=fact.kind is Kind.EXPIRE))
    return tuple(found)


def root_of(connection: sa.Connection, provider: str, *, intent: Intent) -> Operation | None:
    """Find the hold or charge of ours that asked for an intent.

    Args:
        connection: reads.
        provider: whose intent it is.
        intent: by its key, else by its name.
    Returns:
        the operation; None when the intent is none of ours.
    """
    mine = sa.and_(OPERATIONS.c.provider == provider, OPERATIONS.c.root_key == OPERATIONS.c.key)
    named = OPERATIONS.c.key == intent.key if intent.key else OPERATIONS.c.provider_ref == intent.ref
    return next(iter(operation_rows.find(connection, mine, named, limit=1)), None)


_DISPUTES = {
    Kind.DISPUTE: DisputeState.OPEN,
    Kind.DISPUTE_WON: DisputeState.WON,
    Kind.DISPUTE_LOST: DisputeState.LOST,
}


def _outstanding(
    connection: sa.Connection, payments: Payments, root: Operation, *, intent: Intent, now_ns: int
) -> Iterator[Outstanding]:
    for operation in operation_rows.follow_ups(connection, [root.key]):
        if not operation.is_open:
            continue
        seen = judge(operation, root, intent=intent, now_ns=now_ns)
        if isinstance(seen, Refunded):
            payments.conclude(connection, operation.key, outcome=seen)
        if seen is not None and not isinstance(seen, Unknown):
            yield Outstanding(operation.key, operation.session_id)


def _ended(root: Operation, intent: Intent, *, ledger: Ledger, now_ns: int) -> Iterator[sales.Fact]:
    kinds = {IntentState.EXPIRED: Kind.EXPIRE, IntentState.VOIDED: Kind.VOID}
    if root.kind is not OperationKind.HOLD or intent.state not in kinds or root.key not in ledger.entries:
        return
    if ledger.standings[root.key].ended_by is None:
        yield ending_of(root, kinds[intent.state], amount=ledger.entries[root.key].amount, at_ns=now_ns)


def _disputed(
    connection: sa.Connection, root: Operation, *, intent: Intent, ledger: Ledger, now_ns: int
) -> Iterator[sales.Fact]:
    if intent.dispute is None or intent.disputed is None:
        return
    takers = [
        operation
        for operation in operation_rows.follow_ups(connection, [root.key])
        if operation.state is OperationState.DONE
        and operation.key in ledger.entries
        and ledger.entries[operation.key].kind in TAKES
    ]
    for taker in takers:
        before = ledger.standings[taker.key]
        amount = intent.disputed if before.dispute is None else Money(before.disputed, intent.disputed.currency)
        steps = [] if before.dispute is not None else [(Kind.DISPUTE, "dispute")]
        if before.dispute in (None, DisputeState.OPEN):
            if intent.dispute is DisputeState.WON:
                steps.append((Kind.DISPUTE_WON, "dispute:won"))
            elif intent.dispute is DisputeState.LOST:
                steps.append((Kind.DISPUTE_LOST, "dispute:lost"))
        for kind, name in steps:
            fact = fact_of(taker, kind, at_ns=now_ns, of=taker.key)
            yield replace(fact, key=f"{taker.key}:{name}", amount=amount, note="")
