"""The service on Postgres: what its SQL and its locks do there."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fleetsight.apps.cooler.session.machine.states import Verdict
from fleetsight.fleet.people import Role
from fleetsight.store.rows import METADATA
from fleetsight.web.app import tidy
from tests.fleet.machine import Machine, new_key, public_b64
from tests.web.world import Company, World, make_world, sha256


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    made = make_world(tmp_path, database_url=postgres_url)
    yield made
    METADATA.drop_all(made.rows.engine)
    made.rows.close()


@pytest.fixture
def company(world: World) -> Company:
    return world.company()


def test_a_visit_from_code_to_refund(world: World, company: Company) -> None:
    session_id = world.seen_session(company, verdict=Verdict.CHARGE)
    world.settle(session_id)
    assert world.session(session_id).state.value == "settled"
    operator, path = company.tokens[Role.OPERATOR], f"/v1/operator/sessions/{session_id}"
    body = {"amount_minor": 100, "currency": "EUR", "reason_code": "quality"}
    assert world.as_holder(operator, "POST", f"{path}/refunds", json=body).status_code == 201
    world.settle(session_id)
    for part in (path, "/v1/operator/sessions?limit=1", "/v1/operator/fleet", "/v1/operator/money", "/readyz"):
        assert world.as_holder(operator, "GET", part).status_code in (200, 503), part
    tidy(world.services)


def test_one_code_many_times_at_once_is_one_session(world: World, company: Company) -> None:
    _, second = world.another_shopper(company)
    code, tokens = company.machine.qr(), [company.shopper_token, second] * 10

    async def all_at_once() -> list[httpx.Response]:
        asked = [
            world.as_holder_soon(token, "POST", "/v1/shopper/sessions", json={"qr_token": code}) for token in tokens
        ]
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert len({answer.json()["session_id"] for answer in answers if answer.status_code != 409}) == 1


def test_one_key_many_times_at_once_is_one_payment(world: World, company: Company) -> None:
    async def all_at_once() -> list[httpx.Response]:
        body, headers = {"amount_minor": 100, "currency": "EUR"}, {"Idempotency-Key": "k"}
        asked = [
            world.as_holder_soon(company.shopper_token, "POST", "/v1/shopper/top-ups", json=body, headers=headers)
            for _ in range(30)
        ]
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} <= {201, 409}
    wallet = world.services.wallet
    assert wallet is not None
    assert wallet.balance(company.tenant_id, company.shopper.shopper_id, currency="EUR").minor == 10_100


def test_uploads_heartbeats_and_keys(world: World, company: Company) -> None:
    session_id = world.recording_session(company)
    data = bytes(range(256)) * 20
    announced = {"session_id": session_id, "camera": "top", "index": 3, "sha256": sha256(data), "length": len(data)}
    made = world.as_device(company.machine, "POST", "/v1/device/uploads", json=announced).json()
    path, offset = f"/v1/device/uploads/{made['upload_id']}", 0
    while offset < len(data):
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
        chunk = data[offset : offset + 2000]
        offset = world.as_device(company.machine, "PATCH", path, content=chunk, headers=headers).json()["offset"]
    assert world.as_device(company.machine, "GET", path).json()["verified"] is True
    key = new_key()
    added = world.as_device(company.machine, "POST", "/v1/device/keys", json={"public_key_b64": public_b64(key)})
    assert added.status_code == 201
    assert world.beat(Machine(company.machine.device, world.clock, key), temperature_c=9.5).status_code == 200
