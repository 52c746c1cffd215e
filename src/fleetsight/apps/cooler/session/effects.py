"""What a transition wants, written in its own transaction: payments planned, letters posted, rows that never change.

A letter names its topic, the session, and what the effect needs. Its key is the command's key, so it is posted once however often
the transition is tried.
"""

from collections.abc import Iterator

import sqlalchemy as sa

from fleetsight.apps.cooler.session.codec import to_json
from fleetsight.apps.cooler.session.machine import commands as wanted
from fleetsight.apps.cooler.session.machine.commands import Command, Pay
from fleetsight.apps.cooler.session.machine.events import PaymentAnswered
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import Answer, Operation
from fleetsight.apps.cooler.session.tables import DECISIONS, STOCK_MOVES
from fleetsight.billing import provider as said
from fleetsight.billing.operations import Capture, Charge, Debt, Hold, Refund, Request, Void
from fleetsight.billing.payments import Payments
from fleetsight.errors import Error
from fleetsight.money import Money
from fleetsight.store.canonical import JsonObject
from fleetsight.store.outbox import post

PAY, ASK, UNLOCK = "session.pay", "session.ask", "session.unlock"
ANALYSE, SETTLE, RECEIPT, DELETE = "session.analyse", "session.settle", "session.receipt", "session.delete"
TOPICS = (PAY, ASK, UNLOCK, ANALYSE, SETTLE, RECEIPT, DELETE)
NOTIFY = "notify"
FALLBACK_S = 3.0
"""Who redeems a code waits for the hold and the unlock, so the request performs both itself; the letter is for when it died."""
SECOND_NS = 1_000_000_000

_HOLD_GONE = frozenset({"hold_expired", "hold_voided", "hold_ended", "hold_missing"})
"""Reasons of the books and of providers that mean: there is nothing left to capture."""


class EffectError(Error):
    """The books do not know what the session says."""

    code = "session_effect"


class Effects:
    """Writes commands.

    Args:
        payments: plans calls and books debts.
    """

    def __init__(self, payments: Payments) -> None:
        self._payments = payments

    def write(
        self, connection: sa.Connection, session: Session, *, commands: tuple[Command, ...], now_ns: int
    ) -> Iterator[PaymentAnswered]:
        """Write what is wanted.

        Args:
            connection: of the transition's transaction.
            session: after the transition.
            commands: of the transition.
            now_ns: when.
        Yields:
            answers that need no call: the books refuse, or know the end already. Each is the session's next event.
        """
        for command in commands:
            if isinstance(command, Pay):
                yield from self._plan(connection, session, command, now_ns=now_ns)
            elif isinstance(command, wanted.Owe | wanted.WriteOff):
                self._book_debt(connection, session, command)
            elif isinstance(command, wanted.FreezeDecision):
                _freeze(connection, session, command)
            elif isinstance(command, wanted.MoveStock):
                _move_stock(connection, session, command, now_ns=now_ns)
            elif isinstance(command, wanted.Tell):
                _tell(connection, session, command, now_ns=now_ns)
            else:
                _post(connection, session, command, now_ns=now_ns)

    def _plan(
        self, connection: sa.Connection, session: Session, command: Pay, *, now_ns: int
    ) -> Iterator[PaymentAnswered]:
        planned = self._payments.plan(connection, _request(session, command))
        if isinstance(planned, said.Refused):
            yield PaymentAnswered(command.key, _refusal(command.kind, planned.reason), reason=planned.reason)
            return
        if planned.outcome is not None:
            self._payments.conclude(connection, command.key, outcome=planned.outcome)
            yield answer_of(command.key, planned.outcome, kind=command.kind)
            return
        wait_s = FALLBACK_S if command.kind is Operation.AUTHORIZE else 0.0
        body: JsonObject = {"session_id": session.id, "key": command.key}
        post(connection, topic=PAY, key=command.key, body=body, due_ns=now_ns + round(wait_s * SECOND_NS))

    def _book_debt(self, connection: sa.Connection, session: Session, command: wanted.Owe | wanted.WriteOff) -> None:
        if isinstance(command, wanted.Owe):
            refused = self._payments.owe(connection, _debt(session, command.key, command.amount_minor))
        else:
            booked = self._payments.write_off(connection, _debt(session, command.debt_key, 1), key=command.key)
            refused = booked if isinstance(booked, said.Refused) else None
        if refused is not None:
            raise EffectError(
                f"session {session.id}: the books refuse {command.key} ({refused.reason})",
                hint="compare the session's events with its ledger entries",
            )


def answer_of(key: str, outcome: said.Outcome, *, kind: Operation) -> PaymentAnswered:
    """What the machine makes of an outcome.

    Args:
        key: of the call.
        outcome: as `Payments.perform` gives it.
        kind: of call.
    Returns:
        the event.
    """
    match outcome:
        case said.Authorized():
            until_ns = outcome.capture_before_ns
            return PaymentAnswered(key, Answer.AUTHORIZED, outcome.amount.minor, outcome.ref, until_ns)
        case said.Captured():
            return PaymentAnswered(key, Answer.CAPTURED, outcome.amount.minor, outcome.ref)
        case said.Refunded():
            return PaymentAnswered(key, Answer.REFUNDED, outcome.amount.minor, outcome.ref)
        case said.Voided():
            return PaymentAnswered(key, Answer.VOIDED)
        case said.Declined():
            return PaymentAnswered(key, Answer.DECLINED, reason=outcome.reason)
        case said.Refused():
            return PaymentAnswered(key, _refusal(kind, outcome.reason), reason=outcome.reason)
        case said.Mismatch():
            return PaymentAnswered(key, Answer.MISMATCH, reason=f"{outcome.expected}; found {outcome.found}")
        case said.Unknown():
            return PaymentAnswered(key, Answer.UNKNOWN, reason=outcome.reason)


def _refusal(kind: Operation, reason: str) -> Answer:
    if kind in (Operation.AUTHORIZE, Operation.EXTRA, Operation.COLLECT):
        return Answer.DECLINED
    return Answer.EXPIRED if kind is Operation.CAPTURE and reason in _HOLD_GONE else Answer.REFUSED


def _request(session: Session, command: Pay) -> Request:
    amount = Money(command.amount_minor, session.currency)
    who = (command.key, session.tenant_id, session.id, session.shopper_id, session.provider, session.method_id)
    match command.kind:
        case Operation.AUTHORIZE:
            return Hold(*who, amount)
        case Operation.EXTRA:
            return Charge(*who, amount)
        case Operation.COLLECT:
            return Charge(*who, amount, debt_key=session.payment.debt_key)
        case Operation.CAPTURE:
            return Capture(command.key, command.of, amount)
        case Operation.VOID:
            return Void(command.key, command.of)
        case Operation.REFUND:
            return Refund(command.key, command.of, amount, command.reason)


def _debt(session: Session, key: str, amount_minor: int) -> Debt:
    amount = Money(amount_minor, session.currency)
    return Debt(key, session.tenant_id, session.id, session.shopper_id, amount, "not collected")


def _freeze(connection: sa.Connection, session: Session, command: wanted.FreezeDecision) -> None:
    decision = command.decision
    connection.execute(
        sa.insert(DECISIONS).values(
            session_id=session.id,
            version=decision.version,
            tenant_id=session.tenant_id,
            action=decision.action.value,
            basket=dict(decision.basket),
            total_minor=decision.total_minor,
            currency=session.currency,
            price_list_id=session.price_list_id,
            decided_by=decision.decided_by,
            reason=decision.reason,
            at_ns=decision.at_ns,
        )
    )


def _move_stock(connection: sa.Connection, session: Session, command: wanted.MoveStock, *, now_ns: int) -> None:
    rows = [
        {
            "session_id": session.id,
            "version": command.version,
            "sku": sku,
            "tenant_id": session.tenant_id,
            "site_id": session.site_id,
            "device_id": session.device_id,
            "delta": delta,
            "at_ns": now_ns,
        }
        for sku, delta in command.deltas
    ]
    if rows:
        connection.execute(sa.insert(STOCK_MOVES), rows)


def _tell(connection: sa.Connection, session: Session, command: wanted.Tell, *, now_ns: int) -> None:
    facts = {
        "session_id": session.id,
        "tenant_id": session.tenant_id,
        "device_id": session.device_id,
        "audience": command.audience,
        "state": session.state.value,
    }
    body: JsonObject = {"kind": f"session.{command.subject}", "at_ns": now_ns, "facts": facts}
    post(connection, topic=NOTIFY, key=f"notify:{command.key}", body=body, due_ns=now_ns)


def _post(connection: sa.Connection, session: Session, command: Command, *, now_ns: int) -> None:
    topics = {
        wanted.AskProvider: ASK,
        wanted.Unlock: UNLOCK,
        wanted.Analyse: ANALYSE,
        wanted.StartSettlement: SETTLE,
        wanted.WriteReceipt: RECEIPT,
        wanted.DeleteVideo: DELETE,
    }
    wait_s = FALLBACK_S if isinstance(command, wanted.Unlock) else 0.0
    fields = to_json(command)
    assert isinstance(fields, dict)
    body: JsonObject = {"session_id": session.id, **fields}
    due_ns = now_ns + round(wait_s * SECOND_NS)
    post(connection, topic=topics[type(command)], key=command.key, body=body, due_ns=due_ns)
