"""Access tokens of people and shoppers: 256 random bits, kept as SHA-256, so that a stolen database opens nothing.

SHA-256 without salt is enough here, because nobody can guess 256 random bits; passwords would need argon2.
"""

import enum
import hashlib
import re
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.clock import SECOND_NS
from fleetsight.fleet.tables import ACCESS_TOKENS

TOKEN_BYTES = 32
PREFIX = "fs_"  # lets a scanner of leaked secrets know what it found
_TOKEN = re.compile(r"fs_[A-Za-z0-9_-]{43}", re.ASCII)


class HolderKind(enum.StrEnum):
    """Who may hold a token."""

    PERSON = "person"
    SHOPPER = "shopper"


@dataclass(frozen=True)
class Holder:
    """Whom a token speaks for.

    Attributes:
        tenant_id: the tenant.
        kind: a person of the tenant, or a shopper.
        holder_id: the person's or the shopper's id.
    """

    tenant_id: str
    kind: HolderKind
    holder_id: str


def issue_token(connection: sa.Connection, holder: Holder, *, now_ns: int, lifetime_s: int | None = None) -> str:
    """Make a token; it is shown once and cannot be read again.

    Args:
        connection: of a write transaction.
        holder: whom it speaks for.
        now_ns: now.
        lifetime_s: seconds until it expires; None for a token that lasts until it is revoked.
    Returns:
        the token.
    """
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    connection.execute(
        sa.insert(ACCESS_TOKENS).values(
            token_sha256=digest_of(token),
            tenant_id=holder.tenant_id,
            kind=holder.kind.value,
            holder_id=holder.holder_id,
            created_ns=now_ns,
            expires_ns=None if lifetime_s is None else now_ns + lifetime_s * SECOND_NS,
        )
    )
    return token


def holder_of(connection: sa.Connection, token: str, *, now_ns: int) -> Holder | None:
    """Whom a token speaks for now.

    Args:
        connection: reads.
        token: as it was sent; anything.
        now_ns: now.
    Returns:
        the holder; None for a token that is unknown, expired, revoked or no token at all.
    """
    if not _TOKEN.fullmatch(token):
        return None
    row = connection.execute(
        sa.select(ACCESS_TOKENS).where(
            ACCESS_TOKENS.c.token_sha256 == digest_of(token),
            ACCESS_TOKENS.c.revoked_ns.is_(None),
            sa.or_(ACCESS_TOKENS.c.expires_ns.is_(None), ACCESS_TOKENS.c.expires_ns > now_ns),
        )
    ).first()
    return None if row is None else Holder(row.tenant_id, HolderKind(row.kind), row.holder_id)


def revoke_token(connection: sa.Connection, token: str, *, now_ns: int) -> None:
    """End a token; nothing happens when it is none.

    Args:
        connection: of a write transaction.
        token: as it was issued.
        now_ns: now.
    """
    here = ACCESS_TOKENS.c.token_sha256 == digest_of(token)
    connection.execute(
        sa.update(ACCESS_TOKENS).where(here, ACCESS_TOKENS.c.revoked_ns.is_(None)).values(revoked_ns=now_ns)
    )


def delete_expired_tokens(connection: sa.Connection, now_ns: int) -> int:
    """Forget tokens that have expired.

    Args:
        connection: of a write transaction.
        now_ns: now.
    Returns:
        how many.
    """
    return connection.execute(sa.delete(ACCESS_TOKENS).where(ACCESS_TOKENS.c.expires_ns <= now_ns)).rowcount


def digest_of(token: str) -> str:
    """What is kept of a token.

    Args:
        token: the token.
    Returns:
        its SHA-256, 64 hexadecimal digits.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
