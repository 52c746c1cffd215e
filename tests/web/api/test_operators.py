"""What people decide and see: the first decision counts, money goes back once, and files come in ranges."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from fleetsight.apps.cooler.session.machine.states import Verdict
from fleetsight.apps.cooler.session.tables import EVIDENCE
from fleetsight.fleet.people import Role
from tests.web.world import Company, World

SESSIONS = "/v1/operator/sessions"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def decide(world: World, company: Company, session_id: str, **changed: Any) -> httpx.Response:
    body = {"version": world.session(session_id).version, "action": "accept", "reason_code": "as_proposed"} | changed
    path = f"{SESSIONS}/{session_id}/decision"
    headers = {"Idempotency-Key": changed.pop("key")} if "key" in changed else {}
    body.pop("key", None)
    return world.as_holder(company.tokens[Role.REVIEWER], "POST", path, json=body, headers=headers)


@pytest.fixture
def waiting(world: World, company: Company) -> str:
    """A session that a person must decide."""
    return world.seen_session(company, verdict=Verdict.REVIEW, units=2)


@pytest.fixture
def paid(world: World, company: Company) -> str:
    """A session that was charged."""
    session_id = world.seen_session(company, verdict=Verdict.CHARGE)
    world.settle(session_id)
    assert world.session(session_id).state.value == "settled"
    return session_id


def test_the_next_case_is_given_and_decided(world: World, company: Company, waiting: str) -> None:
    reviewer = company.tokens[Role.REVIEWER]
    case = world.as_holder(reviewer, "GET", "/v1/operator/reviews/next").json()
    assert (case["session_id"], case["waiting"]) == (waiting, 1)
    shown = world.as_holder(reviewer, "GET", f"{SESSIONS}/{waiting}").json()
    assert shown["version"] == case["version"]
    assert [(line["sku"], line["count"]) for line in shown["proposed"]] == [("cola", 2)]
    assert shown["log_broken_at"] is None
    answer = decide(world, company, waiting, version=case["version"], seconds=12.5)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "decided"
    assert refusal(world.as_holder(reviewer, "GET", "/v1/operator/reviews/next")) == (404, "no_case")
    world.settle(waiting)
    assert world.session(waiting).state.value == "settled"


def test_of_two_decisions_the_first_counts(world: World, company: Company, waiting: str) -> None:
    version = world.session(waiting).version
    assert decide(world, company, waiting, version=version, action="waive", reason_code="goodwill").is_success
    second = decide(world, company, waiting, version=version)
    assert second.status_code == 409
    assert refusal(second)[1] in {"stale", "not_now", "conflict"}


def test_a_decision_sent_again_gets_the_same_answer(world: World, company: Company, waiting: str) -> None:
    version = world.session(waiting).version
    first = decide(world, company, waiting, version=version, key="k")
    again = decide(world, company, waiting, version=version, key="k")
    assert first.json() == again.json()
    other = decide(world, company, waiting, version=version, action="waive", key="k")
    assert refusal(other) == (422, "idempotency_conflict")


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "correct"},
        {"action": "accept", "basket": {"cola": 1}},
        {"action": "correct", "basket": {"cola": -1}},
        {"action": "correct", "basket": {"cola": 100}},
        {"action": "correct", "basket": {"cola": True}},
        {"action": "correct", "basket": {f"sku{n}": 1 for n in range(101)}},
        {"action": "burn"},
        {"reason_code": "because"},
        {"version": "1"},
        {"seconds": -1.0},
        {"total_minor": 1},
        {"state": "settled"},
        {"price_list_id": "mine"},
    ],
)
def test_a_decision_has_its_form_or_is_refused(
    world: World, company: Company, waiting: str, changed: dict[str, Any]
) -> None:
    assert refusal(decide(world, company, waiting, **changed)) == (422, "invalid")
    assert world.session(waiting).state.value == "review"


def test_a_basket_without_a_price_is_refused(world: World, company: Company, waiting: str) -> None:
    answer = decide(world, company, waiting, action="correct", basket={"unknown": 1}, reason_code="wrong_product")
    assert answer.status_code == 409
    assert world.session(waiting).state.value == "review"


def refund(
    world: World, company: Company, session_id: str, minor: int, *, currency: str = "EUR", key: str = "r"
) -> httpx.Response:
    body = {"amount_minor": minor, "currency": currency, "reason_code": "quality"}
    path, headers = f"{SESSIONS}/{session_id}/refunds", {"Idempotency-Key": key}
    return world.as_holder(company.tokens[Role.OPERATOR], "POST", path, json=body, headers=headers)


@pytest.mark.bad_input(55)
def test_money_goes_back_once_for_a_key_and_never_more_than_was_taken(
    world: World, company: Company, paid: str
) -> None:
    wallet = world.services.wallet
    assert wallet is not None

    def balance() -> int:
        return wallet.balance(company.tenant_id, company.shopper.shopper_id, currency="EUR").minor

    before = balance()
    first = refund(world, company, paid, 100)
    assert first.status_code == 201, first.text
    assert refund(world, company, paid, 100).json() == first.json()
    world.settle(paid)
    assert balance() == before + 100
    assert refund(world, company, paid, 151, key="r2").status_code == 409
    assert refund(world, company, paid, 1, currency="USD", key="r3").status_code == 409
    assert refund(world, company, paid, 150, key="r4").status_code == 201
    world.settle(paid)
    assert balance() == before + 250
    assert refund(world, company, paid, 1, key="r5").status_code == 409


def test_a_shopper_objects_once_and_a_person_looks(world: World, company: Company, paid: str) -> None:
    path = f"/v1/shopper/sessions/{paid}/contest"
    body = {"lines": ["cola"], "reason": "not_taken", "text": "I put it back.\nReally."}
    first = world.as_holder(company.shopper_token, "POST", path, json=body, headers={"Idempotency-Key": "c"})
    again = world.as_holder(company.shopper_token, "POST", path, json=body, headers={"Idempotency-Key": "c"})
    assert first.status_code == 201, first.text
    assert again.json() == first.json()
    case = world.as_holder(company.tokens[Role.REVIEWER], "GET", "/v1/operator/reviews/next").json()
    assert case["session_id"] == paid
    other = world.as_holder(company.shopper_token, "POST", path, json=body)
    assert other.status_code == 409


def test_a_shopper_sees_the_session_and_asks_for_its_receipt(world: World, company: Company, waiting: str) -> None:
    shown = world.as_holder(company.shopper_token, "GET", f"/v1/shopper/sessions/{waiting}").json()
    assert (shown["session_id"], shown["stage"]) == (waiting, "review")
    early = world.as_holder(company.shopper_token, "GET", f"/v1/shopper/sessions/{waiting}/receipt")
    assert refusal(early) == (409, "no_receipt")


def test_fleet_and_money_show_what_is_there(world: World, company: Company, paid: str) -> None:
    viewer = company.tokens[Role.VIEWER]
    fleet = world.as_holder(viewer, "GET", "/v1/operator/fleet").json()
    (device,) = fleet["devices"]
    assert device["device_id"] == company.machine.device.device_id
    assert device["online"] is True
    assert fleet["sessions"] == 1
    assert fleet["revenue"] == [{"minor": 250, "currency": "EUR"}]
    money = world.as_holder(company.tokens[Role.OPERATOR], "GET", "/v1/operator/money").json()
    assert money["taken"] == [{"minor": 250, "currency": "EUR"}]
    assert money["faults"] == []
    listed = world.as_holder(viewer, "GET", SESSIONS + "?state=settled").json()["sessions"]
    assert [row["session_id"] for row in listed] == [paid]


def test_evidence_comes_whole_or_in_ranges(world: World, company: Company, paid: str) -> None:
    data = bytes(range(256)) * 40
    row = {
        "tenant_id": company.tenant_id,
        "session_id": paid,
        "name": "clip.mp4",
        "run_id": "x",
        "digest": world.services.blobs.put_bytes(data),
        "size_bytes": len(data),
    }
    with world.rows.transaction() as connection:
        connection.execute(sa.insert(EVIDENCE).values(row))
    path, viewer = f"{SESSIONS}/{paid}/evidence/clip.mp4", company.tokens[Role.VIEWER]
    whole = world.as_holder(viewer, "GET", path)
    assert (whole.status_code, whole.content) == (200, data)
    part = world.as_holder(viewer, "GET", path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, data[100:200])
    beyond = world.as_holder(viewer, "GET", path, headers={"Range": "bytes=99999-"})
    assert refusal(beyond) == (416, "range_beyond_end")
    known = world.as_holder(viewer, "GET", path, headers={"If-None-Match": whole.headers["etag"]})
    assert known.status_code == 304
