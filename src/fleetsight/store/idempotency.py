"""Answers that were given, so that a request which is sent again gets the same answer and no second effect.

A door calls `begin` in a short transaction, does its work, and calls `finish` in the transaction that keeps the effect. A second
request with the same key finds the answer; with another body it is refused; while the first one works it is told to wait.
"""

from dataclasses import dataclass
from typing import TypeAlias

import sqlalchemy as sa

from fleetsight.clock import SECOND_NS
from fleetsight.store.canonical import Json
from fleetsight.store.rows import METADATA, JsonColumn, TimeNs, insert_if_absent

ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("body_sha256", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("body", JsonColumn),
    sa.Column("at_ns", TimeNs, nullable=False, index=True),
)
KEPT_NS = 7 * 24 * 3600 * SECOND_NS
"""How long an answer is kept."""
ABANDONED_NS = 60 * SECOND_NS
"""A request without an answer for this long died with its process; the next one takes its place."""


@dataclass(frozen=True)
class Request:
    """What tells a repeated request.

    Attributes:
        tenant_id: whose.
        principal: who asks, so that two people may choose the same key.
        key: the caller's key.
        body_sha256: of everything that matters in the request, 64 hexadecimal digits.
    """

    tenant_id: str
    principal: str
    key: str
    body_sha256: str


@dataclass(frozen=True)
class Started:
    """The request is new: do it, then `finish`."""


@dataclass(frozen=True)
class Answer:
    """What was, or is to be, answered.

    Attributes:
        status: HTTP status.
        body: JSON.
    """

    status: int
    body: Json


@dataclass(frozen=True)
class Conflict:
    """The key was used for another body."""


@dataclass(frozen=True)
class InProgress:
    """The first request with this key is at work.

    Attributes:
        retry_after_s: ask again after this.
    """

    retry_after_s: int = 1


Beginning: TypeAlias = Started | Answer | Conflict | InProgress


def begin(connection: sa.Connection, request: Request, *, now_ns: int) -> Beginning:
    """Begin a request, or find what became of it.

    Args:
        connection: of a write transaction; commit it before the work begins, or finish in it.
        request: the request.
        now_ns: now.
    Returns:
        whether to do it; see the classes.
    """
    fresh = {**_key(request), "body_sha256": request.body_sha256, "status": None, "body": None, "at_ns": now_ns}
    if insert_if_absent(connection, ANSWERS, values=fresh, keys=list(_key(request))):
        return Started()
    found = connection.execute(sa.select(ANSWERS).where(*_matches(request)).with_for_update()).one()
    if found.at_ns <= now_ns - KEPT_NS or (
        found.status is None and found.at_ns <= now_ns - ABANDONED_NS and found.body_sha256 == request.body_sha256
    ):
        connection.execute(sa.update(ANSWERS).where(*_matches(request)).values(**fresh))
        return Started()
    if found.body_sha256 != request.body_sha256:
        return Conflict()
    return InProgress() if found.status is None else Answer(found.status, found.body)


def finish(connection: sa.Connection, request: Request, *, answer: Answer) -> None:
    """Keep the answer.

    Args:
        connection: of the transaction that keeps the effect.
        request: the request that was begun.
        answer: what is answered, now and to every repetition.
    """
    connection.execute(sa.update(ANSWERS).where(*_matches(request)).values(status=answer.status, body=answer.body))


def abandon(connection: sa.Connection, request: Request) -> None:
    """Forget a request that had no effect, so that it may be sent again at once.

    Args:
        connection: of a write transaction.
        request: the request that was begun.
    """
    connection.execute(sa.delete(ANSWERS).where(*_matches(request), ANSWERS.c.status.is_(None)))


def abandon_all(connection: sa.Connection) -> int:
    """Forget every request without an answer: the process that worked on them is gone. Their effects have keys of their own.

    Args:
        connection: of a write transaction.
    Returns:
        how many there were.
    """
    return connection.execute(sa.delete(ANSWERS).where(ANSWERS.c.status.is_(None))).rowcount


def delete_old(connection: sa.Connection, now_ns: int) -> int:
    """Delete answers that nobody may ask for any more.

    Args:
        connection: of a write transaction.
        now_ns: now.
    Returns:
        how many were deleted.
    """
    return connection.execute(sa.delete(ANSWERS).where(ANSWERS.c.at_ns <= now_ns - KEPT_NS)).rowcount


def _key(request: Request) -> dict[str, str]:
    return {"tenant_id": request.tenant_id, "principal": request.principal, "key": request.key}


def _matches(request: Request) -> list[sa.ColumnElement[bool]]:
    return [ANSWERS.c[name] == value for name, value in _key(request).items()]
