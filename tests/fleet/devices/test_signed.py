"""Only a token that the device signed, for this service, in time, counts; and it counts once."""

import base64
import json
from typing import Any

import jwt
import pytest

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.devices.signed import (
    QR_AUDIENCE,
    REQUEST_AUDIENCE,
    Claims,
    delete_spent,
    kid_in,
    read_claims,
    spend,
)
from fleetsight.store.rows import Rows
from tests.fleet.machine import Machine, enrolled


def read(rows: Rows, machine: Machine, token: str, audience: str = REQUEST_AUDIENCE) -> Claims | None:
    """What the service makes of a token: None when it is worth nothing now."""
    if kid_in(token) != machine.kid:
        return None
    claims = read_claims(token, machine.key(rows), audience=audience)
    return claims if claims is not None and claims.in_time(machine.clock.now_ns()) else None


def test_a_token_of_the_device_is_read(rows: Rows, machine: Machine) -> None:
    claims = read(rows, machine, machine.token(b"body", jti="once"))
    assert claims is not None
    assert claims.jti == "once"
    assert read(rows, machine, machine.qr(), QR_AUDIENCE) is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "fleetsight-qr"},
        {"aud": ["fleetsight"]},
        {"aud": None},
        {"iss": "another-device"},
        {"iss": None},
        {"exp": None},
        {"iat": None},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 65},
        {"jti": "é"},
        {"jti": "a\0b"},
        {"body_sha256": None},
        {"body_sha256": 1},
        {"exp": True},
        {"exp": "2000000000"},
        {"exp": 253402300799},  # the year 9999
        {"exp": -1},
        {"iat": float("nan")},
        {"iat": 1e400},
    ],
)
def test_a_token_with_a_wrong_claim_is_worth_nothing(rows: Rows, machine: Machine, changed: dict[str, Any]) -> None:
    assert read(rows, machine, machine.token(**changed)) is None


@pytest.mark.parametrize(
    ("issued_s", "lasts_s", "valid"),
    [
        (0, 60, True),
        (0, 60.5, False),
        (-59, 60, True),
        (-60, 60, False),
        (-61, 60, False),
        (5, 10, True),
        (6, 10, False),
        (86_400, 10, False),
        (0, 0, False),
        (0, -5, False),
    ],
)
def test_times_are_checked_against_the_clock_that_is_passed_in(
    rows: Rows, machine: Machine, issued_s: float, lasts_s: float, valid: bool
) -> None:
    now_s = machine.clock.now_ns() // SECOND_NS
    token = machine.token(iat=now_s + issued_s, exp=now_s + issued_s + lasts_s)
    assert (read(rows, machine, token) is not None) is valid


def test_a_token_of_another_audience_is_no_request_and_no_code(rows: Rows, machine: Machine) -> None:
    assert read(rows, machine, machine.qr()) is None
    assert read(rows, machine, machine.token(), QR_AUDIENCE) is None
    both = machine.sign(machine.claims(nonce="n") | {"aud": "fleetsight-qr"})
    assert read(rows, machine, both) is None


def segment(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.bad_input(4)
def test_algorithm_none_and_hmac_with_the_public_key_are_refused(rows: Rows, machine: Machine) -> None:
    claims = machine.claims()
    public = machine.private_key.public_key().public_bytes_raw()
    none = f"{segment({'alg': 'none', 'kid': machine.kid})}.{segment(claims)}."
    hmac = jwt.encode(claims, public, algorithm="HS256", headers={"kid": machine.kid})
    lying = f"{segment({'alg': 'EdDSA', 'kid': machine.kid})}.{segment(claims)}."
    critical = machine.sign(claims, crit=["b64"])
    for token in (none, hmac, lying, critical):
        assert read(rows, machine, token) is None


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "x" * 5000, "\0", "eyJhbGciOiJFZERTQSJ9.e30.AA"])
def test_what_is_no_token_names_no_key(token: str) -> None:
    assert kid_in(token) is None


@pytest.mark.parametrize("kid", [7, None, "", "x" * 33, "../../etc/passwd", "a b"])
def test_a_strange_key_name_names_no_key(machine: Machine, kid: Any) -> None:
    header = segment({"alg": "EdDSA", "kid": kid})
    assert kid_in(f"{header}.{segment(machine.claims())}.AA") is None


@pytest.mark.bad_input(3)
def test_a_token_of_one_device_does_not_speak_for_another(rows: Rows, machine: Machine, clock: VirtualClock) -> None:
    other = enrolled(rows, clock)
    forged = other.sign(machine.claims(), kid=machine.kid)
    assert read(rows, machine, forged) is None
    borrowed = other.sign(machine.claims())
    assert read_claims(borrowed, other.key(rows), audience=REQUEST_AUDIENCE) is None


@pytest.mark.bad_input(5)
def test_a_token_is_spent_once_by_each_device(rows: Rows, machine: Machine, clock: VirtualClock) -> None:
    other = enrolled(rows, clock)
    claims = read(rows, machine, machine.token(jti="same"))
    assert claims is not None
    with rows.transaction() as connection:
        assert spend(connection, machine.key(rows), claims=claims)
        assert not spend(connection, machine.key(rows), claims=claims)
        assert spend(connection, other.key(rows), claims=claims)
        assert delete_spent(connection, claims.expires_ns - 1) == 0
        assert delete_spent(connection, claims.expires_ns) == 2
