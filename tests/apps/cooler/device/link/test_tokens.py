"""What a device signs, and which commands it believes."""

import base64
import hashlib
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fleetsight.apps.cooler.device.identity import Identity
from fleetsight.apps.cooler.device.link.tokens import Signer, Unbelievable, UnlockCommand, read_unlock
from fleetsight.clock import SECOND_NS

NOW_S = 1_800_000_000
NOW_NS = NOW_S * SECOND_NS
SERVER_KEY = Ed25519PrivateKey.generate()
DEVICE_KEY = Ed25519PrivateKey.generate()
IDENTITY = Identity(
    "http://server", "device-1", "kid1", "t", "s", base64.b64encode(SERVER_KEY.public_key().public_bytes_raw()).decode()
)
SESSION = "0199aaaa-0000-7000-8000-000000000001"


def claims(**changes: Any) -> dict[str, Any]:
    said = {"aud": "device-1", "kind": "unlock", "seq": 5, "session_id": SESSION, "iat": NOW_S, "exp": NOW_S + 10}
    return {name: value for name, value in (said | changes).items() if value is not ...}


def signed(key: Any = SERVER_KEY, algorithm: str = "EdDSA", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm)


def raw(header: dict[str, Any], body: bytes, key: Ed25519PrivateKey | None = SERVER_KEY) -> str:
    """A token of any header and body, signed by hand."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (json.dumps(header).encode(), body)]
    signature = key.sign(b".".join(parts)) if key is not None else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def test_a_good_command_is_believed() -> None:
    expected = UnlockCommand(5, SESSION, (NOW_S + 10) * SECOND_NS)
    assert read_unlock(signed(), IDENTITY, server_ns=NOW_NS) == expected
    assert read_unlock(signed(), IDENTITY, server_ns=NOW_NS + 10 * SECOND_NS - 1) == expected


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (signed(Ed25519PrivateKey.generate()), "bad_signature"),
        (signed()[:-6] + "AAAAAA", "bad_signature"),
        (signed(aud="device-2"), "wrong_audience"),
        (signed(aud=...), "wrong_audience"),
        (signed(exp=NOW_S), "expired"),
        (signed(iat=NOW_S - 100, exp=NOW_S - 90), "expired"),
        (signed(iat=NOW_S + 60, exp=NOW_S + 70), "not_yet"),
        (signed(exp=NOW_S + 61), "lives_too_long"),
        (signed(exp=253_402_300_799), "lives_too_long"),
        (signed(exp=...), "malformed"),
        (signed(iat=...), "malformed"),
        (signed(kind="open_sesame"), "malformed"),
        (signed(seq="5"), "malformed"),
        (signed(seq=True), "malformed"),
        (signed(session_id="../../etc"), "malformed"),
        (signed(session_id=""), "malformed"),
        (signed(session_id="x" * 65), "malformed"),
        (signed(session_id=7), "malformed"),
        (raw({"alg": "EdDSA"}, json.dumps(claims()).replace(str(NOW_S + 10), "NaN").encode()), "malformed"),
        (raw({"alg": "EdDSA"}, json.dumps(claims()).replace(str(NOW_S + 10), "1e400").encode()), "malformed"),
        (raw({"alg": "EdDSA"}, json.dumps(claims()).replace(str(NOW_S + 10), "1" + "0" * 400).encode()), "malformed"),
        (raw({"alg": "none"}, json.dumps(claims()).encode(), None), "malformed"),
        (raw({"alg": "EdDSA"}, b"not json"), "malformed"),
        ("", "malformed"),
        ("a.b.c", "malformed"),
        ("x" * 5000, "malformed"),
    ],
)
def test_everything_else_is_refused_and_says_why(token: str, reason: str) -> None:
    assert read_unlock(token, IDENTITY, server_ns=NOW_NS) in (Unbelievable(reason), Unbelievable("malformed"))


def test_the_public_key_is_no_shared_secret() -> None:
    public = SERVER_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    forged = jwt.encode(claims(), public, algorithm="HS256")
    assert read_unlock(forged, IDENTITY, server_ns=NOW_NS) == Unbelievable("malformed")


def test_a_request_token_names_its_body_and_is_new_each_time() -> None:
    signer = Signer(IDENTITY, DEVICE_KEY)
    tokens = [signer.request_token(b'{"a":1}', NOW_NS) for _ in range(2)]
    said = [
        jwt.decode(
            token,
            DEVICE_KEY.public_key(),
            ["EdDSA"],
            audience="fleetsight",
            options={"verify_exp": False, "verify_iat": False},
        )
        for token in tokens
    ]
    assert said[0]["jti"] != said[1]["jti"]
    assert said[0]["body_sha256"] == hashlib.sha256(b'{"a":1}').hexdigest()
    assert (said[0]["iss"], said[0]["iat"]) == ("device-1", NOW_S)
    assert 0 < said[0]["exp"] - said[0]["iat"] <= 60
    assert jwt.get_unverified_header(tokens[0]) == {"alg": "EdDSA", "kid": "kid1", "typ": "JWT"}


def test_a_code_is_another_kind_of_token_and_expires_in_a_minute() -> None:
    code = Signer(IDENTITY, DEVICE_KEY).qr_token(NOW_NS)
    options: Any = {"verify_exp": False, "verify_iat": False}
    said = jwt.decode(code.token, DEVICE_KEY.public_key(), ["EdDSA"], audience="fleetsight-qr", options=options)
    assert said.keys() == {"aud", "exp", "iat", "iss", "nonce"}
    assert code.url == f"http://server/q?t={code.token}"
    assert code.expires_ns == said["exp"] * SECOND_NS == NOW_NS + 60 * SECOND_NS
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(code.token, DEVICE_KEY.public_key(), ["EdDSA"], audience="fleetsight", options=options)
