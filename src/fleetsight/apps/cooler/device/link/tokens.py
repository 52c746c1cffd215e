"""Signed words: what the device says about itself, and the commands that it obeys.

All tokens are JWTs signed with EdDSA (RFC 8037). PyJWT's own checks of time are off, because they ask the machine's clock: a cooler's clock may
be days off, so every check here is told the server's time.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.apps.cooler.device.identity import Identity
from fleetsight.clock import SECOND_NS

AUDIENCE = "fleetsight"
QR_AUDIENCE = "fleetsight-qr"
REQUEST_LASTS_S = 45  # the server takes 60 at most
QR_LASTS_S = 60
COMMAND_LASTS_S = 10
"""A door is unlocked only for the person who stands before it now; commands that claim to live longer are not obeyed."""
CLOCK_SLACK_S = 2  # half a bad round trip, and the whole seconds of the claims
TOKEN_LENGTH_MAX = 4096
TIME_MAX_S = 1e11  # the year 5138


@dataclass(frozen=True, slots=True)
class QrToken:
    """What a shopper's phone reads off the device.

    Attributes:
        token: redeemed once.
        url: where the phone goes.
        expires_ns: by the server's clock.
    """

    token: str
    url: str
    expires_ns: int


class Signer:
    """Speaks for a device.

    Args:
        identity: who it is.
        key: its key.
    """

    def __init__(self, identity: Identity, key: Ed25519PrivateKey) -> None:
        self.identity = identity
        self._key = key

    def request_token(self, body: bytes, server_ns: int) -> str:
        """A token for one request, good for `REQUEST_LASTS_S`.

        Args:
            body: of the request, as it is sent; empty when it has none.
            server_ns: the server's time.
        Returns:
            the token; it names the body, so nobody can send another one with it.
        """
        digest = hashlib.sha256(body).hexdigest()
        claims = {"aud": AUDIENCE, "body_sha256": digest, "jti": secrets.token_hex(16)}
        return self._sign(claims, server_ns, lasts_s=REQUEST_LASTS_S)

    def qr_token(self, server_ns: int) -> QrToken:
        """A token to be shown to a shopper, good for `QR_LASTS_S`.

        Args:
            server_ns: the server's time.
        Returns:
            the token and where it leads.
        """
        claims = {"aud": QR_AUDIENCE, "nonce": secrets.token_hex(16)}
        token = self._sign(claims, server_ns, lasts_s=QR_LASTS_S)
        expires_ns = (server_ns // SECOND_NS + QR_LASTS_S) * SECOND_NS
        return QrToken(token, f"{self.identity.server_url}/q?t={token}", expires_ns)

    def _sign(self, claims: dict[str, Any], server_ns: int, *, lasts_s: int) -> str:
        now_s = server_ns // SECOND_NS
        always = {"iss": self.identity.device_id, "iat": now_s, "exp": now_s + lasts_s}
        return jwt.encode(claims | always, self._key, algorithm="EdDSA", headers={"kid": self.identity.kid})


@dataclass(frozen=True, slots=True)
class UnlockCommand:
    """The server's word that a door may be opened now.

    Attributes:
        seq: rises with every command to this device.
        session_id: for whom.
        expires_ns: by the server's clock.
    """

    seq: int
    session_id: str
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Unbelievable:
    """A token that is not obeyed.

    Attributes:
        reason: ``bad_signature``, ``wrong_audience``, ``expired``, ``not_yet``, ``lives_too_long`` or ``malformed``.
    """

    reason: str


def read_unlock(token: str, identity: Identity, *, server_ns: int) -> UnlockCommand | Unbelievable:
    """Check a command.

    Args:
        token: as it came over the wire.
        identity: whose command it should be, and whose signature it should bear.
        server_ns: the server's time.
    Returns:
        the command, or why it is none. Whether its number is new is for the caller to say.
    """
    if len(token) > TOKEN_LENGTH_MAX:
        return Unbelievable("malformed")
    try:
        claims = jwt.decode(
            token,
            identity.server_public_key,
            algorithms=["EdDSA"],
            audience=identity.device_id,
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp", "iat", "aud"]},
        )
    except jwt.InvalidSignatureError:
        return Unbelievable("bad_signature")
    except jwt.InvalidAudienceError:
        return Unbelievable("wrong_audience")
    except jwt.InvalidTokenError:
        return Unbelievable("malformed")
    return _believable(claims, server_ns)


def _believable(claims: dict[str, Any], server_ns: int) -> UnlockCommand | Unbelievable:
    seq, session_id = claims.get("seq"), claims.get("session_id")
    issued_ns, until_ns = _ns(claims.get("iat")), _ns(claims.get("exp"))
    if claims.get("kind") != "unlock" or type(seq) is not int or not _is_safe_name(session_id):
        return Unbelievable("malformed")
    if issued_ns is None or until_ns is None:
        return Unbelievable("malformed")
    if until_ns - issued_ns > COMMAND_LASTS_S * SECOND_NS:
        return Unbelievable("lives_too_long")
    if server_ns >= until_ns:
        return Unbelievable("expired")
    if issued_ns > server_ns + CLOCK_SLACK_S * SECOND_NS:
        return Unbelievable("not_yet")
    return UnlockCommand(seq, str(session_id), until_ns)


def _ns(value: object) -> int | None:
    """A time of RFC 7519; None for NaN, which is neither before nor after anything, and other nonsense."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < TIME_MAX_S:
        return None
    return round(value * SECOND_NS)


def _is_safe_name(session_id: object) -> bool:
    """Whether a session's name may become the name of a folder: 1 to 64 letters, digits and hyphens."""
    if not isinstance(session_id, str) or not 0 < len(session_id) <= 64:
        return False
    plain = session_id.replace("-", "")
    return plain.isascii() and plain.isalnum()
