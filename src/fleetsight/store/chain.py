"""Append-only logs whose every record carries the digest of all before it (after RFC 6962's idea, as a plain list).

``h_n = SHA-256(h_(n-1) + canonical JSON of [scope, n, record])``. Editing, deleting, inserting or reordering a record changes every
later digest; the head, kept beside the log, shows when the end was cut off. Publish heads elsewhere to notice that both were
rewritten.
"""

import hashlib
import json
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.store.append_only import APPEND_ONLY
from fleetsight.store.canonical import JsonObject, canonical
from fleetsight.store.rows import METADATA, insert_if_absent

CHAIN = sa.Table(
    "chain",
    METADATA,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("record", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    info=APPEND_ONLY,
)
HEADS = sa.Table(
    "chain_heads",
    METADATA,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)
NO_RECORD = "0" * 64
"""The digest before the first record."""


@dataclass(frozen=True)
class Link:
    """One record of a log.

    Attributes:
        position: from 1.
        record: what was appended.
        digest: of this and all before it, 64 hexadecimal digits.
    """

    position: int
    record: JsonObject
    digest: str


def append(connection: sa.Connection, scope: str, *, record: JsonObject) -> Link:
    """Append a record; on Postgres other appends to the same scope wait for this transaction.

    Args:
        connection: of the transaction that the record is about.
        scope: the log, for example ``session:<id>``.
        record: plain JSON.
    Returns:
        the record in its place.
    """
    insert_if_absent(connection, HEADS, values={"scope": scope, "position": 0, "digest": NO_RECORD}, keys=["scope"])
    head = connection.execute(sa.select(HEADS).where(HEADS.c.scope == scope).with_for_update()).one()
    position, text = head.position + 1, canonical(record)
    digest = _digest(head.digest, scope, position=position, text=text)
    connection.execute(sa.insert(CHAIN).values(scope=scope, position=position, record=text, digest=digest))
    connection.execute(sa.update(HEADS).where(HEADS.c.scope == scope).values(position=position, digest=digest))
    return Link(position, record, digest)


def verify(connection: sa.Connection, scope: str) -> int | None:
    """Look for the first place where a log is not what was appended.

    Args:
        connection: reads the log.
        scope: the log.
    Returns:
        the first broken position, from 1; one more than the number of records when the end is missing; None when all is well.
    """
    previous, expected = NO_RECORD, 1
    for row in connection.execute(sa.select(CHAIN).where(CHAIN.c.scope == scope).order_by(CHAIN.c.position)):
        if row.position != expected or row.digest != _digest(previous, scope, position=expected, text=row.record):
            return expected
        previous, expected = row.digest, expected + 1
    head = connection.execute(sa.select(HEADS).where(HEADS.c.scope == scope)).first()
    at_head = (0, NO_RECORD) if head is None else (head.position, head.digest)
    return None if at_head == (expected - 1, previous) else expected


def records(connection: sa.Connection, scope: str) -> list[Link]:
    """Read a log.

    Args:
        connection: reads it.
        scope: the log.
    Returns:
        its records, first to last; not verified.
    """
    question = sa.select(CHAIN).where(CHAIN.c.scope == scope).order_by(CHAIN.c.position)
    return [Link(row.position, json.loads(row.record), row.digest) for row in connection.execute(question)]


def _digest(previous: str, scope: str, *, position: int, text: str) -> str:
    place = canonical([scope, position])
    return hashlib.sha256(f"{previous}\n{place}\n{text}".encode()).hexdigest()
