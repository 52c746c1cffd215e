"""Operations as rows. Each change is guarded by the state it starts from."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import sqlalchemy as sa

from fleetsight.billing.operations import OPEN, Operation, OperationKind, OperationState
from fleetsight.billing.provider import (
    Authorized,
    Captured,
    Declined,
    Mismatch,
    Outcome,
    Refunded,
    Refused,
    Unknown,
    outcome_from_json,
    outcome_to_json,
)
from fleetsight.billing.tables import OPERATIONS
from fleetsight.money import Money

_PLAIN = tuple(field.name for field in fields(Operation) if field.name not in ("amount", "kind", "state", "outcome"))


def insert(connection: sa.Connection, operation: Operation) -> None:
    """Write a new operation.

    Args:
        connection: of the transaction of the state change that wants it.
        operation: not written before.
    """
    plain = {name: getattr(operation, name) for name in _PLAIN}
    connection.execute(
        sa.insert(OPERATIONS).values(
            **plain,
            kind=operation.kind,
            state=operation.state,
            amount_minor=operation.amount.minor,
            currency=operation.amount.currency,
            outcome=None if operation.outcome is None else outcome_to_json(operation.outcome),
        )
    )


def read(connection: sa.Connection, key: str, *, lock: bool = False) -> Operation | None:
    """Read one operation.

    Args:
        connection: reads.
        key: which.
        lock: nobody else changes it until this transaction ends.
    Returns:
        the operation; None when there is none.
    """
    question = sa.select(OPERATIONS).where(OPERATIONS.c.key == key)
    row = connection.execute(question.with_for_update() if lock else question).first()
    return None if row is None else _operation(row)


def find(connection: sa.Connection, *which: sa.ColumnElement[bool], limit: int = 1_000) -> tuple[Operation, ...]:
    """Read operations.

    Args:
        connection: reads.
        *which: conditions on the columns of the table, all of which hold.
        limit: at most so many.
    Returns:
        oldest first.
    """
    question = sa.select(OPERATIONS).where(*which).order_by(OPERATIONS.c.created_ns, OPERATIONS.c.key).limit(limit)
    return tuple(_operation(row) for row in connection.execute(question))


def is_open() -> sa.ColumnElement[bool]:
    """The condition that an operation has not ended."""
    return OPERATIONS.c.state.in_([str(state) for state in OPEN])


def begin(connection: sa.Connection, operation: Operation, *, now_ns: int) -> bool:
    """Note that a call begins. From now on it may have happened.

    Args:
        connection: of a write transaction that is committed before the call.
        operation: as read in this transaction.
        now_ns: now.
    Returns:
        whether it was still open.
    """
    values = {"attempts": OPERATIONS.c.attempts + 1, "touched_ns": now_ns}
    return _update(connection, operation.key, values)


def end(connection: sa.Connection, operation: Operation, *, outcome: Outcome, now_ns: int) -> Operation:
    """Write what came of an operation.

    Args:
        connection: of the transaction of the next state change.
        operation: open, and locked.
        outcome: what came of it.
        now_ns: now.
    Returns:
        the operation as it is now.
    """
    state = _STATES.get(type(outcome), OperationState.DONE)
    ended = replace(operation, state=state, outcome=outcome, touched_ns=now_ns)
    if isinstance(outcome, Authorized | Captured | Refunded):
        ended = replace(ended, provider_ref=outcome.ref)
    if isinstance(outcome, Authorized):
        ended = replace(ended, capture_before_ns=outcome.capture_before_ns)
    _update(
        connection,
        operation.key,
        {
            "state": state,
            "outcome": outcome_to_json(outcome),
            "touched_ns": now_ns,
            "provider_ref": ended.provider_ref,
            "capture_before_ns": ended.capture_before_ns,
        },
    )
    return ended


_STATES = {
    Declined: OperationState.FAILED,
    Refused: OperationState.FAILED,
    Mismatch: OperationState.FROZEN,
    Unknown: OperationState.UNKNOWN,
}


def _update(connection: sa.Connection, key: str, values: dict[str, Any]) -> bool:
    which = sa.and_(OPERATIONS.c.key == key, is_open())
    return connection.execute(sa.update(OPERATIONS).where(which).values(**values)).rowcount == 1


def follow_ups(connection: sa.Connection, root_keys: Sequence[str]) -> tuple[Operation, ...]:
    """Read every operation about some intents.

    Args:
        connection: reads.
        root_keys: keys of the holds and charges that asked for them.
    Returns:
        these and what followed, oldest first.
    """
    return find(connection, OPERATIONS.c.root_key.in_(list(root_keys)))


def _operation(row: Any) -> Operation:
    plain = {name: getattr(row, name) for name in _PLAIN}
    return Operation(
        **plain,
        kind=OperationKind(row.kind),
        state=OperationState(row.state),
        amount=Money(row.amount_minor, row.currency),
        outcome=None if row.outcome is None else outcome_from_json(row.outcome),
    )
