"""Requests nobody means well with (bad inputs 58 to 60 and 62): one clear refusal each, and nothing behind it happens."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from fleetsight.apps.cooler.session.machine.events import DeadlinePassed
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.people import Role
from fleetsight.store.rows import RowsUnavailableError
from fleetsight.web.gate.rates import Rate, Rates
from tests.fleet.machine import new_key, public_b64
from tests.web.world import FREE, Company, World, sha256

SITES = "/v1/operator/sites"
TOP_UPS = "/v1/shopper/top-ups"


def post(
    world: World, company: Company, raw: bytes, media: str = "application/json", path: str = SITES
) -> httpx.Response:
    headers = {"Content-Type": media} if media else {}
    return world.as_holder(company.tokens[Role.ADMIN], "POST", path, content=raw, headers=headers)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:fleetsight:problem:{body['code']}"
    assert body["title"]
    assert body["detail"]
    assert body["hint"]
    return answer.status_code, body["code"]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"name": "a", "name": "b"}', "not_json"),
        (b'{"name": 1e400}', "not_json"),
        (b'{"name": NaN}', "not_json"),
        (b'{"name": "\\ud800"}', "not_json"),
        (b'{"name": "a\\u0000"}', "not_json"),
        (b'{"name": "\xff"}', "not_json"),
        (b"[" * 10_000 + b"]" * 10_000, "not_json"),
        (b'{"name": "a"', "not_json"),
        (b"", "invalid"),
        (b"null", "invalid"),
        (b"[]", "invalid"),
        (b'"name"', "invalid"),
        (b"{}", "invalid"),
        (b'{"name": true}', "invalid"),
        (b'{"name": 7}', "invalid"),
        (b'{"name": ""}', "invalid"),
        (b'{"name": "a\\nb"}', "invalid"),
        (json.dumps({"name": "x" * 201}).encode(), "invalid"),
        (b'{"name": "a", "tenant_id": "mine"}', "invalid"),
    ],
)
@pytest.mark.bad_input(58, 59)
def test_bodies_with_two_meanings_or_another_form_are_refused(
    world: World, company: Company, raw: bytes, code: str
) -> None:
    assert refusal(post(world, company, raw)) == (422, code)


@pytest.mark.parametrize(
    "media",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json; charset=utf-16"],
)
@pytest.mark.bad_input(59)
def test_a_body_of_another_media_type_is_refused(world: World, company: Company, media: str) -> None:
    assert refusal(post(world, company, b'{"name": "a"}', media)) == (415, "wrong_media_type")


@pytest.mark.bad_input(59)
def test_ten_megabytes_are_refused_by_their_announcement_and_by_their_bytes(world: World, company: Company) -> None:
    assert refusal(post(world, company, b" " * 10_000_000)) == (413, "too_large")

    async def endless() -> Any:
        for _ in range(200):
            yield b" " * 1000

    async def send() -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        return await world.as_holder_soon(company.tokens[Role.ADMIN], "POST", SITES, content=endless(), headers=headers)

    assert refusal(asyncio.run(send())) == (413, "too_large")


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "9" * 30, "٣"])
def test_an_announced_length_that_is_no_number_is_refused(world: World, company: Company, length: str) -> None:
    headers = {"Content-Length": length.encode(), "Content-Type": b"application/json"}
    answer = world.as_holder(company.tokens[Role.ADMIN], "POST", SITES, content=b"{}", headers=headers)
    assert refusal(answer)[0] in (413, 422)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/operator/sessions?cursor=forged", 404),
        ("/v1/operator/sessions?cursor=" + "A" * 300, 422),
        ("/v1/operator/sessions?cursor=%00", 422),
        ("/v1/operator/sessions?state=%27%20OR%201%3D1", 422),
        ("/v1/operator/sessions?state=open&state=closed", 422),
        ("/v1/operator/sessions?state=%ff", 422),
        ("/v1/operator/sessions?limit=0", 422),
        ("/v1/operator/sessions?limit=1e9", 422),
        ("/v1/operator/sessions?limit=201", 422),
        ("/v1/operator/fleet?hours=-1", 422),
        ("/v1/operator/sessions/%00", 404),
        ("/v1/operator/sessions/x%00y", 404),
        ("/v1/operator/sessions/" + "x" * 1000, 404),
        ("/v1/operator/sessions/..%2f..%2fetc%2fpasswd", 404),
        ("/v1/operator/sessions/%27%20OR%201%3D1", 404),
        ("/v1/operator/sessions/x/evidence/..%2f..%2fx", 404),
        ("/v1/operator/sessions/", 404),
        ("http://service.test//v1/operator/sessions", 404),
        ("/V1/operator/sessions", 404),
        ("/static/..%2f..%2fapp.py", 404),
        ("/static/../app.py", 404),
    ],
)
@pytest.mark.bad_input(60)
def test_addresses_and_filters_that_mean_something_else_are_refused(
    world: World, company: Company, path: str, status: int
) -> None:
    answer = world.as_holder(company.tokens[Role.ADMIN], "GET", path)
    assert answer.status_code == status
    assert refusal(answer)[0] == status


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "TRACE", "OPTIONS", "PUT", "NONSENSE"])
def test_another_method_is_refused_with_the_ones_that_exist(world: World, company: Company, method: str) -> None:
    answer = world.as_holder(company.tokens[Role.ADMIN], method, SITES)
    assert refusal(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.bad_input(60)
def test_a_cursor_leads_on_and_never_to_another_tenant(world: World, company: Company) -> None:
    other = world.company()
    theirs = {world.open_session(other)}
    mine = []
    for _ in range(3):
        mine.append(world.open_session(company))
        said = {"boot_id": "b", "at_ns": 1, "result": "refused"}
        found = world.as_device(company.machine, "GET", "/v1/device/commands?after=0").json()["commands"]
        world.as_device(company.machine, "POST", f"/v1/device/commands/{found[-1]['seq']}/ack", json=said)
        world.clock.advance(25 * SECOND_NS)
        world.beat(company.machine)
        session = world.services.sessions.load(mine[-1])
        assert session is not None
        world.services.sessions.apply(mine[-1], DeadlinePassed())
    viewer, seen, cursor = company.tokens[Role.VIEWER], [], None
    while True:
        tail = f"&cursor={cursor}" if cursor else ""
        piece = world.as_holder(viewer, "GET", f"/v1/operator/sessions?limit=2{tail}").json()
        seen += [row["session_id"] for row in piece["sessions"]]
        cursor = piece["cursor"]
        if cursor is None:
            break
    assert seen == mine[::-1]
    stolen = world.as_holder(other.tokens[Role.VIEWER], "GET", "/v1/operator/sessions?limit=1").json()
    assert {row["session_id"] for row in stolen["sessions"]} == theirs


def top_up(world: World, company: Company, key: str | bytes, minor: int = 100, token: str = "") -> httpx.Response:
    body = {"amount_minor": minor, "currency": "EUR"}
    return world.as_holder(token or company.shopper_token, "POST", TOP_UPS, json=body, headers={"Idempotency-Key": key})


def balance(world: World, company: Company) -> int:
    wallet = world.services.wallet
    assert wallet is not None
    return wallet.balance(company.tenant_id, company.shopper.shopper_id, currency="EUR").minor


def test_a_money_request_without_a_key_is_refused(world: World, company: Company) -> None:
    headers = {"Authorization": f"Bearer {company.shopper_token}"}
    answer = world.ask("POST", TOP_UPS, json={"amount_minor": 1, "currency": "EUR"}, headers=headers)
    assert refusal(answer) == (422, "invalid")
    for key in (b"", b"x" * 256, b"a b", b"\xe9"):
        assert refusal(top_up(world, company, key)) == (422, "invalid")


@pytest.mark.bad_input(62)
def test_the_same_key_is_one_payment_and_another_body_is_refused(world: World, company: Company) -> None:
    before = balance(world, company)
    first = top_up(world, company, "k1")
    again = top_up(world, company, "k1")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert balance(world, company) == before + 100
    assert refusal(top_up(world, company, "k1", 200)) == (422, "idempotency_conflict")
    other = world.company()
    assert top_up(world, other, "k1", 200).status_code == 201
    assert balance(world, company) == before + 100


@pytest.mark.bad_input(62)
def test_one_key_two_hundred_times_at_once_is_one_payment(world: World, company: Company) -> None:
    before = balance(world, company)

    async def all_at_once() -> list[httpx.Response]:
        body, headers = {"amount_minor": 100, "currency": "EUR"}, {"Idempotency-Key": "k"}
        asked = [
            world.as_holder_soon(company.shopper_token, "POST", TOP_UPS, json=body, headers=headers) for _ in range(200)
        ]
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} <= {201, 409}
    busy = [answer for answer in answers if answer.status_code == 409]
    assert {refusal(answer) for answer in busy} <= {(409, "in_progress")}
    assert all(answer.headers["retry-after"] == "1" for answer in busy)
    assert balance(world, company) == before + 100
    assert top_up(world, company, "k").json()["balance"]["minor"] == before + 100


def test_an_installation_that_gives_nothing_away_says_so(world: World, company: Company) -> None:
    world.change(open_signup=False)
    assert refusal(top_up(world, company, "k")) == (403, "closed")
    body = {"name": "Ada", "method": {"kind": "wallet"}}
    assert refusal(world.ask("POST", "/v1/shoppers", json=body)) == (403, "closed")


def test_strangers_sign_up_where_they_may(world: World, company: Company) -> None:
    answer = world.ask("POST", "/v1/shoppers", json={"name": "Ada", "method": {"kind": "wallet"}})
    assert answer.status_code == 201
    assert world.as_holder(answer.json()["token"], "GET", "/v1/shopper/sessions/x").status_code == 404
    for body in (
        {"name": "Ada", "method": {"kind": "card"}},
        {"name": "Ada"},
        {"name": "A", "method": {"kind": "wallet", "iban": "x"}},
    ):
        assert refusal(world.ask("POST", "/v1/shoppers", json=body)) == (422, "invalid")


@pytest.mark.parametrize(
    ("limit", "asks"),
    [
        ("guesses", "enrol"),
        ("address", "nothing"),
        ("person", "fleet"),
        ("tenant", "fleet"),
        ("device", "beat"),
        ("upload_bytes", "upload"),
    ],
)
def test_limits_are_named_and_say_when_to_come_back(world: World, company: Company, limit: str, asks: str) -> None:
    tight = Rates(**vars(FREE) | {limit: Rate(limit, 0.1, 5)})
    session_id = world.recording_session(company) if asks == "upload" else ""
    world.change(rates=tight)

    def ask(number: int) -> httpx.Response:
        if asks == "enrol":
            body = {"claim_code": "AAAA", "public_key_b64": public_b64(new_key())}
            return world.ask("POST", "/v1/enrolments", json=body)
        if asks == "fleet":
            return world.as_holder(company.tokens[Role.ADMIN], "GET", "/v1/operator/fleet")
        if asks == "beat":
            return world.beat(company.machine)
        if asks == "upload":
            announced = {"session_id": session_id, "camera": "top", "index": 0, "sha256": sha256(b"x"), "length": 100}
            made = world.as_device(company.machine, "POST", "/v1/device/uploads", json=announced).json()
            headers = {"Upload-Offset": str(number), "Content-Type": "application/octet-stream"}
            path = f"/v1/device/uploads/{made['upload_id']}"
            return world.as_device(company.machine, "PATCH", path, content=b"x", headers=headers)
        return world.as_holder("fs_nobody", "GET", "/v1/operator/fleet")

    answers = [ask(number) for number in range(6)]
    assert 429 not in [answer.status_code for answer in answers[:5]]
    assert refusal(answers[5]) == (429, "too_many_requests")
    assert answers[5].json()["limit"] == limit
    assert answers[5].headers["retry-after"] == "10"
    world.clock.advance(10 * SECOND_NS)
    assert ask(5).status_code != 429


def test_what_nobody_foresaw_is_hidden_and_logged(
    world: World, company: Company, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr("fleetsight.web.api.operators.latest_beats", broken)
    answer = world.as_holder(company.tokens[Role.ADMIN], "GET", "/v1/operator/fleet")
    assert refusal(answer) == (500, "internal")
    assert "42" not in answer.text
    assert any("request failed" in record.message and record.exc_info for record in caplog.records)


def test_a_database_that_does_not_answer_is_told_with_a_time(
    world: World, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise RowsUnavailableError("database is locked")

    monkeypatch.setattr("fleetsight.web.api.operators.latest_beats", gone)
    answer = world.as_holder(company.tokens[Role.ADMIN], "GET", "/v1/operator/fleet")
    assert refusal(answer) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
