"""Tokens that devices sign: one for every request, and one that the QR code on the door shows.

Both are JWTs with EdDSA and nothing else. PyJWT checks the signature; the times are checked here, against the clock that is passed in.
"""

from dataclasses import dataclass
from typing import Any

import jwt
import sqlalchemy as sa
from jwt.types import Options

from fleetsight.clock import SECOND_NS
from fleetsight.fleet.devices.registry import DeviceKey
from fleetsight.fleet.tables import SPENT_TOKENS
from fleetsight.store.rows import insert_if_absent

REQUEST_AUDIENCE = "fleetsight"
QR_AUDIENCE = "fleetsight-qr"
LIFETIME_MAX_S = 60
SKEW_S = 5
"""A device learns the time by its heartbeats; this much it may be ahead."""
TOKEN_CHARACTERS_MAX = 2048
JTI_CHARACTERS_MAX = 64
SECONDS_MAX = 4_000_000_000
"""The year 2096: beyond lies nothing that a clock of ours will show."""
_SIGNATURE_ONLY: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(frozen=True)
class Claims:
    """What a token says that a device signed.

    Attributes:
        jti: its number, used once.
        body_sha256: digest of the request's body, 64 hexadecimal digits; empty in a QR token.
        issued_ns: when the device signed it, by the device's clock.
        expires_ns: from when it is worth nothing.
    """

    jti: str
    body_sha256: str
    issued_ns: int
    expires_ns: int

    def in_time(self, now_ns: int) -> bool:
        """Whether the token is worth something now.

        Args:
            now_ns: now.
        Returns:
            False when it has expired, or comes from the future, or was made to last longer than `LIFETIME_MAX_S`.
        """
        lasting = 0 < self.expires_ns - self.issued_ns <= LIFETIME_MAX_S * SECOND_NS
        return lasting and self.issued_ns <= now_ns + SKEW_S * SECOND_NS and now_ns < self.expires_ns


def kid_in(token: str) -> str | None:
    """The key that a token says it is signed with; nothing about it is verified.

    Args:
        token: anything.
    Returns:
        the kid; None when the token is not a JWT that this service could accept.
    """
    if len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
        return None
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        return None
    kid = header.get("kid")
    plain = header.get("alg") == "EdDSA" and "crit" not in header and "b64" not in header
    return kid if plain and isinstance(kid, str) and 0 < len(kid) <= 32 and kid.isalnum() else None


def read_claims(token: str, key: DeviceKey, *, audience: str) -> Claims | None:
    """Verify who signed a token and for what; whether it is in time is for the caller to ask.

    Args:
        token: anything.
        key: the key that `kid_in` named.
        audience: `REQUEST_AUDIENCE` or `QR_AUDIENCE`.
    Returns:
        what it says; None when the signature, issuer, audience or the shape of anything is wrong.
    """
    try:
        said = jwt.decode(token, key.public_key, algorithms=["EdDSA"], options=_SIGNATURE_ONLY)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    jti = said.get("nonce" if audience == QR_AUDIENCE else "jti")
    body = "" if audience == QR_AUDIENCE else said.get("body_sha256")
    issued_ns, expires_ns = _nanoseconds(said.get("iat")), _nanoseconds(said.get("exp"))
    if issued_ns is None or expires_ns is None or not isinstance(jti, str) or not isinstance(body, str):
        return None
    if said.get("iss") != key.device.device_id or said.get("aud") != audience:
        return None
    if not 0 < len(jti) <= JTI_CHARACTERS_MAX or not jti.isascii() or not jti.isprintable():
        return None
    return Claims(jti, body, issued_ns, expires_ns)


def spend(connection: sa.Connection, key: DeviceKey, *, claims: Claims) -> bool:
    """Use a token's number, once.

    Args:
        connection: of a write transaction.
        key: whose token.
        claims: of the token.
    Returns:
        False when it was used before.
    """
    values = {
        "device_id": key.device.device_id,
        "jti": claims.jti,
        "tenant_id": key.device.tenant_id,
        "expires_ns": claims.expires_ns,
    }
    return insert_if_absent(connection, SPENT_TOKENS, values=values, keys=["device_id", "jti"])


def delete_spent(connection: sa.Connection, now_ns: int) -> int:
    """Forget numbers of tokens that have expired and would be refused for that.

    Args:
        connection: of a write transaction.
        now_ns: now.
    Returns:
        how many.
    """
    return connection.execute(sa.delete(SPENT_TOKENS).where(SPENT_TOKENS.c.expires_ns <= now_ns)).rowcount


def _nanoseconds(value: Any) -> int | None:
    """A NumericDate of RFC 7519 in nanoseconds, or None for what only looks like one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < SECONDS_MAX:
        return None  # NaN is not below anything
    return int(value * SECOND_NS)
