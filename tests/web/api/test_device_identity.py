"""Who a device is (bad inputs 4 to 6): one refusal for every wrong signature, and each signature counts once."""

import base64
import json
from typing import Any

import httpx
import jwt
import pytest

from fleetsight.clock import SECOND_NS
from fleetsight.fleet.devices.registry import revoke_device
from fleetsight.fleet.people import Role
from tests.fleet.machine import Machine, enrolled, new_key, public_b64
from tests.web.world import Company, World, heartbeat, sha256

BEAT = "/v1/device/heartbeat"


def send(world: World, token: str, body: bytes) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return world.ask("POST", BEAT, content=body, headers=headers)


def body_of(machine: Machine) -> bytes:
    return json.dumps(heartbeat(machine)).encode()


def segment(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.bad_input(4)
def test_every_wrong_signature_is_refused_in_the_same_words(world: World, company: Company) -> None:
    machine, body = company.machine, body_of(company.machine)
    stranger = Machine(machine.device, world.clock)
    other = world.company().machine
    now_s = world.clock.now_ns() / SECOND_NS
    public = machine.private_key.public_key().public_bytes_raw()
    revoked = enrolled(world.rows, world.clock, tenant_id=company.tenant_id)
    with world.rows.transaction() as connection:
        here = revoked.device
        revoke_device(connection, here.tenant_id, device_id=here.device_id, now_ns=world.clock.now_ns())
    claims = machine.claims(body)
    tokens = {
        "none": f"{segment({'alg': 'none', 'kid': machine.kid})}.{segment(claims)}.",
        "HS256 with the public key": jwt.encode(claims, public, algorithm="HS256", headers={"kid": machine.kid}),
        "wrong audience": machine.token(body, aud="fleetsight-qr"),
        "a QR code": machine.qr(),
        "no end": machine.token(body, exp=None),
        "the year 9999": machine.token(body, exp=253402300799),
        "expired": machine.token(body, iat=now_s - 61, exp=now_s - 1),
        "from the future": machine.token(body, iat=now_s + 60, exp=now_s + 90),
        "no jti": machine.token(body, jti=None),
        "another body": machine.token(body + b" "),
        "no body digest": machine.token(body, body_sha256=None),
        "another device's name": machine.token(body, iss=other.device.device_id),
        "another device's key name": other.sign(claims, kid=machine.kid),
        "a key that nobody enrolled": stranger.token(body),
        "a revoked device": revoked.token(body),
        "a person's token": company.tokens[Role.ADMIN],
        "garbage": "x" * 3000,
        "nothing": "",
    }
    answers = {name: send(world, token, body) for name, token in tokens.items()}
    answers["no header"] = world.ask("POST", BEAT, content=body, headers={"Content-Type": "application/json"})
    answers["basic"] = world.ask("POST", BEAT, content=body, headers={"Authorization": "Basic YTpi"})
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 401)
    assert len({answer.text for answer in answers.values()}) == 1
    assert send(world, machine.token(body), body).status_code == 200


@pytest.mark.bad_input(5)
def test_a_signature_counts_once_and_for_its_body_alone(world: World, company: Company) -> None:
    machine, body = company.machine, body_of(company.machine)
    token = machine.token(body)
    changed = body.replace(b'"locked"', b'"opened"')
    assert send(world, token, changed).status_code == 401
    assert send(world, token, body).status_code == 200
    assert send(world, token, body).status_code == 401
    assert send(world, token, changed).status_code == 401


def test_a_get_request_is_signed_over_the_empty_body(world: World, company: Company) -> None:
    path = "/v1/device/commands?after=0"
    assert world.as_device(company.machine, "GET", path).status_code == 200
    wrong = {"body_sha256": sha256(b"x")}
    assert world.as_device(company.machine, "GET", path, claims=wrong).status_code == 401


@pytest.mark.bad_input(6)
def test_a_machine_enrols_rotates_its_key_and_is_revoked(world: World, company: Company) -> None:
    admin = company.tokens[Role.ADMIN]
    site = world.as_holder(admin, "POST", "/v1/operator/sites", json={"name": "Lobby"}).json()
    asked = {"name": "Cooler 7", "site_id": site["site_id"]}
    made = world.as_holder(admin, "POST", "/v1/operator/devices", json=asked).json()
    key = new_key()
    claim = {"claim_code": made["claim_code"], "public_key_b64": public_b64(key), "name": "box"}
    answer = world.ask("POST", "/v1/enrolments", json=claim)
    assert answer.status_code == 201
    said = answer.json()
    assert said["device_id"] == made["device_id"]
    assert said["site_id"] == site["site_id"]
    assert said["tenant_id"] == company.tenant_id
    assert said["server_ns"] == world.clock.now_ns()
    assert len(base64.b64decode(said["server_public_key_b64"])) == 32
    assert world.ask("POST", "/v1/enrolments", json=claim).json() == said
    thief = claim | {"public_key_b64": public_b64(new_key())}
    assert world.ask("POST", "/v1/enrolments", json=thief).status_code == 404
    here = company.machine.device
    device = type(here)(said["tenant_id"], said["device_id"], said["site_id"], "Cooler 7")
    machine = Machine(device, world.clock, key)
    assert machine.kid == said["kid"]
    assert world.beat(machine).status_code == 200
    next_key = new_key()
    added = world.as_device(machine, "POST", "/v1/device/keys", json={"public_key_b64": public_b64(next_key)})
    assert added.status_code == 201
    renewed = Machine(device, world.clock, next_key)
    assert added.json() == {"kid": renewed.kid}
    assert world.beat(machine).status_code == 200
    assert world.beat(renewed).status_code == 200
    refused = world.as_device(machine, "POST", "/v1/device/keys", json={"public_key_b64": "A" * 44})
    assert (refused.status_code, refused.json()["code"]) == (409, "key_refused")
    path = f"/v1/operator/devices/{said['device_id']}/revoke"
    assert world.as_holder(admin, "POST", path).json() == {"device_id": said["device_id"], "revoked": True}
    assert world.beat(machine).status_code == 401
    assert world.beat(renewed).status_code == 401


def test_claim_codes_are_refused_alike_and_guesses_are_slowed(world: World, company: Company) -> None:
    key = public_b64(new_key())
    admin = company.tokens[Role.ADMIN]
    made = world.as_holder(
        admin, "POST", "/v1/operator/devices", json={"name": "x", "site_id": company.machine.device.site_id}
    ).json()
    world.clock.advance(601 * SECOND_NS)
    codes = [made["claim_code"], "AAAA-AAAA-AAAA", "?"]
    answers = [world.ask("POST", "/v1/enrolments", json={"claim_code": code, "public_key_b64": key}) for code in codes]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant_id": "mine"},
        {"device_id": "another"},
        {"seq": True},
        {"seq": "1"},
        {"seq": 1.5},
        {"seq": -1},
        {"seq": 2**63},
        {"door": "ajar"},
        {"camera_ok": 1},
        {"temperature_c": "cold"},
        {"boot_id": ""},
        {"boot_id": "x" * 65},
        {"boot_id": "../../etc"},
        {"at_ns": None},
    ],
)
def test_a_heartbeat_has_its_form_or_is_refused_by_field(
    world: World, company: Company, changed: dict[str, Any]
) -> None:
    answer = world.beat(company.machine, **changed)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
    assert next(iter(changed)) in answer.json()["faults"][0]["where"]
