"""From the outcome of an operation to the facts that the sales book records. Pure."""

from collections.abc import Mapping

from fleetsight.billing.ledger import Kind, Ledger
from fleetsight.billing.operations import Operation, OperationError, OperationKind
from fleetsight.billing.provider import (
    Authorized,
    Captured,
    Declined,
    Mismatch,
    Outcome,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from fleetsight.billing.sales import Fact
from fleetsight.money import Money

_FITTING: Mapping[OperationKind, tuple[type[Outcome], ...]] = {
    OperationKind.HOLD: (Authorized, Declined),
    OperationKind.CHARGE: (Captured, Declined),
    OperationKind.CAPTURE: (Captured, Refused),
    OperationKind.VOID: (Voided, Refused),
    OperationKind.REFUND: (Refunded, Refused),
}
_ENDINGS: Mapping[str, Kind] = {"hold_expired": Kind.EXPIRE, "hold_voided": Kind.VOID}
"""Refusals of a capture that say what became of the hold."""


def check_fits(operation: Operation, outcome: Outcome) -> None:
    """Refuse an outcome that cannot come of an operation.

    Args:
        operation: what was asked.
        outcome: what is said to have come of it.
    Raises:
        OperationError: it answers another question, or names another amount.
    """
    fitting = (*_FITTING[operation.kind], Mismatch, Unknown)
    if not isinstance(outcome, fitting):
        raise OperationError(f"{operation.kind} {operation.key} cannot end in {type(outcome).__name__}")
    if isinstance(outcome, Authorized | Captured | Refunded) and outcome.amount != operation.amount:
        raise OperationError(
            f"{operation.kind} of {operation.amount} ({operation.key}) cannot end in {outcome.amount}",
            hint="Payments.perform turns another amount into a Mismatch",
        )


def facts_of(operation: Operation, outcome: Outcome, *, ledger: Ledger, now_ns: int) -> tuple[Fact, ...]:
    """What an outcome means for the book.

    Args:
        operation: what was asked.
        outcome: fits it.
        ledger: the entries about the operation's session.
        now_ns: now.
    Returns:
        facts to record, none when no money moved.
    """
    hold = ledger.entries.get(operation.root_key)
    is_held = hold is not None and hold.kind is Kind.HOLD and ledger.standings[hold.key].ended_by is None
    if isinstance(outcome, Authorized):
        return (fact_of(operation, Kind.HOLD, at_ns=now_ns),)
    if isinstance(outcome, Captured):
        if operation.kind is OperationKind.CAPTURE:
            held = hold.amount if hold is not None else None
            return (fact_of(operation, Kind.CAPTURE, at_ns=now_ns, of=operation.root_key, held=held),)
        if operation.debt_key:
            return (fact_of(operation, Kind.PAID_LATER, at_ns=now_ns, of=operation.debt_key),)
        return (fact_of(operation, Kind.CHARGE, at_ns=now_ns),)
    if isinstance(outcome, Refunded):
        return (fact_of(operation, Kind.REFUND, at_ns=now_ns, of=operation.of_key),)
    ends = Kind.VOID if isinstance(outcome, Voided) else None
    if isinstance(outcome, Refused) and operation.kind is OperationKind.CAPTURE:
        ends = _ENDINGS.get(outcome.reason)
    if ends is None or hold is None or not is_held:
        return ()
    return (ending_of(operation, ends, amount=hold.amount, at_ns=now_ns),)


def ending_of(operation: Operation, kind: Kind, *, amount: Money, at_ns: int) -> Fact:
    """The fact that a hold ended and nothing was taken.

    Args:
        operation: any about the intent.
        kind: voided or expired.
        amount: the whole hold.
        at_ns: now.
    Returns:
        the fact; its key is the same whoever notices.
    """
    return Fact(
        key=f"{operation.root_key}:ended",
        kind=kind,
        session_id=operation.session_id,
        shopper_id=operation.shopper_id,
        provider=operation.provider,
        amount=amount,
        at_ns=at_ns,
        of=operation.root_key,
    )


def fact_of(operation: Operation, kind: Kind, *, at_ns: int, of: str = "", held: Money | None = None) -> Fact:
    """The fact that an operation had its effect.

    Args:
        operation: what was asked, and done.
        kind: what to record.
        at_ns: now.
        of: key of the entry it answers.
        held: of a capture: the whole hold.
    Returns:
        the fact, under the operation's key.
    """
    return Fact(
        key=operation.key,
        kind=kind,
        session_id=operation.session_id,
        shopper_id=operation.shopper_id,
        provider=operation.provider,
        amount=operation.amount,
        at_ns=at_ns,
        of=of,
        held=held,
        note=operation.note,
    )
