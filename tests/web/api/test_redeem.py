"""Codes and unlocks (bad inputs 1 to 3 and 7 to 10): one door, one session, one hold, for who asks, now."""

import asyncio
from typing import Any

import httpx
import pytest

from fleetsight.billing.operations import Debt
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.devices.registry import revoke_device
from fleetsight.fleet.shoppers import Method, add_shopper
from fleetsight.money import Money
from tests.fleet.machine import enrolled
from tests.web.world import Company, World, heartbeat

OPEN = "/v1/shopper/sessions"


def redeem(world: World, token: str, qr_token: str, **options: Any) -> httpx.Response:
    return world.as_holder(token, "POST", OPEN, json={"qr_token": qr_token}, **options)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]
    return answer.status_code, answer.json()["code"]


def commands(world: World, company: Company) -> list[dict[str, Any]]:
    answer = world.as_device(company.machine, "GET", "/v1/device/commands?after=0")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["commands"]
    return found


def test_a_scanned_code_holds_money_and_unlocks(world: World, company: Company) -> None:
    answer = redeem(world, company.shopper_token, company.machine.qr())
    assert answer.status_code == 201
    assert answer.json()["state"] == "unlocking"
    assert answer.json()["hold"] == {"minor": 2500, "currency": "EUR"}
    assert len(commands(world, company)) == 1


@pytest.mark.bad_input(1)
def test_one_code_fifty_times_at_once_is_one_session_and_one_command(world: World, company: Company) -> None:
    code = company.machine.qr()

    async def all_at_once() -> list[httpx.Response]:
        asked = [world.as_holder_soon(company.shopper_token, "POST", OPEN, json={"qr_token": code}) for _ in range(50)]
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert sum(answer.status_code == 201 for answer in answers) == 1
    assert len({answer.json()["session_id"] for answer in answers}) == 1
    assert len(commands(world, company)) == 1


@pytest.mark.bad_input(1)
def test_two_shoppers_with_one_code_get_one_door(world: World, company: Company) -> None:
    _, second = world.another_shopper(company)
    code = company.machine.qr()

    async def both() -> list[httpx.Response]:
        tokens = [company.shopper_token, second] * 10
        return list(
            await asyncio.gather(
                *(world.as_holder_soon(token, "POST", OPEN, json={"qr_token": code}) for token in tokens)
            )
        )

    answers = asyncio.run(both())
    assert len({answer.json()["session_id"] for answer in answers if answer.status_code < 300}) == 1
    lost = [refusal(answer) for answer in answers if answer.status_code >= 300]
    assert len(lost) == 10
    assert set(lost) <= {(409, "redeemed"), (409, "device_busy")}
    assert len(commands(world, company)) == 1


@pytest.mark.parametrize("away_s", [-61, 6, 86_400, -86_400])
@pytest.mark.bad_input(2)
def test_a_code_out_of_time_opens_nothing(world: World, company: Company, away_s: int) -> None:
    now_s = world.clock.now_ns() / SECOND_NS + away_s
    code = company.machine.qr(iat=now_s, exp=now_s + 60)
    assert refusal(redeem(world, company.shopper_token, code)) == (410, "qr_expired")
    assert commands(world, company) == []


@pytest.mark.bad_input(2)
def test_a_code_that_lasts_longer_than_a_minute_opens_nothing(world: World, company: Company) -> None:
    now_s = world.clock.now_ns() / SECOND_NS
    code = company.machine.qr(iat=now_s, exp=now_s + 61)
    assert refusal(redeem(world, company.shopper_token, code)) == (410, "qr_expired")


@pytest.mark.bad_input(3)
def test_codes_that_no_device_of_ours_signed_are_all_unknown(world: World, company: Company) -> None:
    other = world.company()
    stranger = enrolled(world.rows, world.clock)
    machine = company.machine
    codes = [
        "nonsense",
        machine.token(),
        machine.qr(aud="fleetsight"),
        machine.qr(nonce=None),
        machine.qr(iss=stranger.device.device_id),
        stranger.sign({"iss": machine.device.device_id, "aud": "fleetsight-qr"}, kid=machine.kid),
        other.machine.qr(),
        machine.qr()[:-4] + "AAAA",
    ]
    answers = [redeem(world, company.shopper_token, code) for code in codes]
    assert {refusal(answer) for answer in answers} == {(404, "not_found")}
    assert len({answer.text for answer in answers}) == 1


def test_the_code_of_a_revoked_device_is_unknown(world: World, company: Company) -> None:
    here = company.machine.device
    code = company.machine.qr()
    with world.rows.transaction() as connection:
        revoke_device(connection, here.tenant_id, device_id=here.device_id, now_ns=world.clock.now_ns())
    assert refusal(redeem(world, company.shopper_token, code)) == (404, "not_found")


@pytest.mark.bad_input(19)
def test_a_busy_door_is_told(world: World, company: Company) -> None:
    _, second = world.another_shopper(company)
    world.open_session(company)
    assert refusal(redeem(world, second, company.machine.qr())) == (409, "device_busy")


@pytest.mark.bad_input(10)
def test_a_device_that_should_not_open_says_why(world: World, company: Company) -> None:
    machine, tokens = company.machine, company.tokens
    path = f"/v1/operator/devices/{machine.device.device_id}/maintenance"
    operator = next(token for role, token in tokens.items() if role.label == "operator")
    assert world.as_holder(operator, "PUT", path, json={"reason": "cleaning"}).status_code == 200
    assert refusal(redeem(world, company.shopper_token, machine.qr())) == (409, "maintenance")
    assert world.as_holder(operator, "PUT", path, json={"reason": None}).status_code == 200
    world.beat(machine, camera_ok=False)
    assert refusal(redeem(world, company.shopper_token, machine.qr())) == (409, "camera_dead")
    for _ in range(7):
        world.beat(machine, temperature_c=9.0)
        world.clock.advance(360 * SECOND_NS)
    world.beat(machine)
    assert refusal(redeem(world, company.shopper_token, machine.qr())) == (409, "too_warm")
    assert world.as_holder(operator, "PUT", path, json={"reason": None}).status_code == 200
    world.clock.advance(60 * SECOND_NS)
    assert refusal(redeem(world, company.shopper_token, machine.qr())) == (409, "offline")
    world.beat(machine)
    assert redeem(world, company.shopper_token, machine.qr()).status_code == 201


def test_a_device_without_prices_or_assortment_says_so(world: World, company: Company) -> None:
    bare = enrolled(world.rows, world.clock, tenant_id=company.tenant_id)
    world.beat(bare)
    assert refusal(redeem(world, company.shopper_token, bare.qr())) == (409, "no_prices")


def test_a_declined_hold_ends_the_session_and_unlocks_nothing(world: World, company: Company) -> None:
    _, poor = world.another_shopper(company, balance_minor=0)
    answer = redeem(world, poor, company.machine.qr())
    assert answer.status_code == 201
    assert answer.json()["state"] == "denied"
    assert commands(world, company) == []
    assert redeem(world, company.shopper_token, company.machine.qr()).status_code == 201


@pytest.mark.bad_input(7)
def test_an_unlock_command_expires_within_ten_seconds(world: World, company: Company) -> None:
    world.open_session(company)
    assert len(commands(world, company)) == 1
    world.clock.advance(10 * SECOND_NS)
    assert commands(world, company) == []


@pytest.mark.bad_input(8)
def test_a_lost_acknowledgement_may_be_repeated_and_the_first_one_stays(world: World, company: Company) -> None:
    session_id = world.open_session(company)
    seq = commands(world, company)[0]["seq"]
    path = f"/v1/device/commands/{seq}/ack"
    said = {"boot_id": "b", "at_ns": 1, "result": "unlocked", "reason": None}
    first = world.as_device(company.machine, "POST", path, json=said)
    again = world.as_device(company.machine, "POST", path, json=said)
    other = world.as_device(company.machine, "POST", path, json=said | {"result": "refused", "reason": "late"})
    assert [answer.json() for answer in (first, again, other)] == [{"seq": seq, "result": "unlocked"}] * 3
    session = world.services.sessions.load(session_id)
    assert session is not None
    assert session.state.value in {"unlocking", "open"}
    assert commands(world, company) == []


def test_a_refused_unlock_gives_the_hold_back(world: World, company: Company) -> None:
    session_id = world.open_session(company)
    seq = commands(world, company)[0]["seq"]
    said = {"boot_id": "b", "at_ns": 1, "result": "refused", "reason": "the lock is stuck"}
    assert world.as_device(company.machine, "POST", f"/v1/device/commands/{seq}/ack", json=said).status_code == 200
    session = world.services.sessions.load(session_id)
    assert session is not None
    assert session.state.value == "aborted"


def test_acknowledging_a_foreign_or_unknown_command_is_not_found(world: World, company: Company) -> None:
    other = world.company()
    world.open_session(other)
    seq = commands(world, other)[0]["seq"]
    said = {"boot_id": "b", "at_ns": 1, "result": "unlocked"}
    for number in (seq, 999, -1, 2**63, "x"):
        answer = world.as_device(company.machine, "POST", f"/v1/device/commands/{number}/ack", json=said)
        assert refusal(answer) == (404, "not_found"), number


def test_a_poll_that_waits_gets_the_command_of_the_shopper(world: World, company: Company) -> None:
    async def both() -> tuple[httpx.Response, httpx.Response]:
        poll = asyncio.create_task(
            world.as_device_soon(company.machine, "GET", "/v1/device/commands?after=0&wait_s=25")
        )
        while not len(world.app.state.listening):
            await asyncio.sleep(0.01)
        opened = await world.as_holder_soon(
            company.shopper_token, "POST", OPEN, json={"qr_token": company.machine.qr()}
        )
        async with asyncio.timeout(20):
            return opened, await poll

    opened, poll = asyncio.run(both())
    assert opened.status_code == 201
    assert [command["seq"] for command in poll.json()["commands"]] == [1]


def test_a_heartbeat_tells_the_time_and_how_to_record(world: World, company: Company) -> None:
    answer = world.as_device(company.machine, "POST", "/v1/device/heartbeat", json=heartbeat(company.machine))
    assert answer.json()["server_ns"] == world.clock.now_ns()
    assert set(answer.json()["config"]) == {"blur_faces", "clip_height_px", "segment_s"}


@pytest.mark.bad_input(9)
def test_who_owes_opens_no_door(world: World, company: Company) -> None:
    session_id = world.open_session(company)
    debt = Debt(
        key=f"{session_id}:owed",
        tenant_id=company.tenant_id,
        session_id=session_id,
        shopper_id=company.shopper.shopper_id,
        amount=Money(400, "EUR"),
        reason="test",
    )
    with world.rows.transaction() as connection:
        assert world.services.payments.owe(connection, debt) is None
    second = enrolled(world.rows, world.clock, tenant_id=company.tenant_id)
    world.stock(second)
    assert refusal(redeem(world, company.shopper_token, second.qr())) == (409, "arrears")


@pytest.mark.bad_input(9)
def test_a_second_account_with_the_card_of_a_debtor_opens_no_door(world: World, company: Company) -> None:
    tenant_id, now_ns, card = company.tenant_id, world.clock.now_ns(), Method("card", "pm_1")
    with world.rows.transaction() as connection:
        (debtor, _), (_, second), (_, other) = (
            add_shopper(connection, tenant_id, name="Ada", now_ns=now_ns, method=method)
            for method in (card, card, Method("card", "pm_2"))
        )
        debt = Debt("debt", tenant_id, "session", debtor.shopper_id, Money(400, "EUR"), "test")
        assert world.services.payments.owe(connection, debt) is None
    assert refusal(redeem(world, second, company.machine.qr())) == (409, "arrears")
    assert redeem(world, other, company.machine.qr()).json()["state"] == "denied"  # nobody takes such cards here
    assert redeem(world, company.shopper_token, company.machine.qr()).status_code == 201
