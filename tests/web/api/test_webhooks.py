"""News of a payment provider: believed when signed and read, followed once, and told to books and session together."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from fleetsight.apps.cooler.session.machine.states import Verdict
from fleetsight.billing.provider import BadWebhook, DisputeState, Hint, Unknown
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.faulty import FaultyProvider
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.people import Role
from fleetsight.fleet.shoppers import Method, add_shopper
from fleetsight.store import crashpoint
from fleetsight.store.crashpoint import Crash, SimulatedCrashError
from tests.fleet.machine import START_NS
from tests.web.world import Company, World, make_world

PATH = "/v1/webhooks/stripe"


class Reader:
    """Stands for the check of a signature: the word is `right`."""

    def read(self, raw: bytes, signature: str | None) -> Hint | BadWebhook:
        if signature != "right":
            return BadWebhook("signature")
        said = json.loads(raw)
        return Hint("faulty", said["id"], said["kind"], said["ref"], 0)


@dataclass
class Charged:
    """A session that was paid through the bank."""

    world: World
    company: Company
    bank: Bank
    session_id: str

    def send(self, event_id: str, *, ref: str = "", signature: str = "right") -> httpx.Response:
        body = {"id": event_id, "kind": "something", "ref": ref or self.ref}
        return self.world.ask("POST", PATH, json=body, headers={"Stripe-Signature": signature})

    @property
    def ref(self) -> str:
        return next(intent.ref for intent in self.bank.intents() if intent.session_id == self.session_id)

    @property
    def state(self) -> str:
        return self.world.session(self.session_id).state.value


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[tuple[Bank, VirtualClock]]:
    clock = VirtualClock(START_NS)
    made = Bank(tmp_path / "bank.db", clock)
    yield made, clock
    made.close()


@pytest.fixture
def charged(tmp_path: Path, bank: tuple[Bank, VirtualClock]) -> Iterator[Charged]:
    world = make_world(tmp_path, clock=bank[1], providers=[FaultyProvider(bank[0])], webhook=Reader())
    company = world.company()
    with world.rows.transaction() as connection:
        shopper, token = add_shopper(
            connection, company.tenant_id, name="Bo", now_ns=world.clock.now_ns(), method=Method("faulty")
        )
    company.shopper, company.shopper_token = shopper, token
    session_id = world.seen_session(company, verdict=Verdict.CHARGE)
    world.settle(session_id)
    yield Charged(world, company, bank[0], session_id)
    world.rows.close()


def test_a_dispute_freezes_the_session_and_a_won_one_frees_it(charged: Charged) -> None:
    assert charged.state == "settled"
    charged.bank.dispute(charged.ref, DisputeState.OPEN)
    assert charged.send("evt_1").json() == {"fresh": True}
    assert charged.state == "disputed"
    assert charged.send("evt_1").json() == {"fresh": False}
    assert charged.send("evt_2").json() == {"fresh": True}
    assert charged.state == "disputed"
    body = {"amount_minor": 1, "currency": "EUR", "reason_code": "goodwill"}
    path = f"/v1/operator/sessions/{charged.session_id}/refunds"
    assert charged.world.as_holder(charged.company.tokens[Role.OPERATOR], "POST", path, json=body).status_code == 409
    charged.bank.dispute(charged.ref, DisputeState.WON)
    assert charged.send("evt_3").json() == {"fresh": True}
    assert charged.state == "settled"
    money = charged.world.as_holder(charged.company.tokens[Role.OPERATOR], "GET", "/v1/operator/money").json()
    assert money["faults"] == []


def test_dying_after_the_news_was_kept_loses_none_of_it(charged: Charged) -> None:
    charged.bank.dispute(charged.ref, DisputeState.OPEN)
    crashpoint.arm("provider-news.kept", how=Crash.RAISE)
    with pytest.raises(SimulatedCrashError):
        charged.send("evt_1")
    assert charged.state == "disputed"
    assert charged.send("evt_1").json() == {"fresh": False}


def test_a_hold_that_ends_by_itself_is_noticed(charged: Charged) -> None:
    world, company = charged.world, charged.company
    waiting = world.seen_session(company, verdict=Verdict.REVIEW)
    ref = next(intent.ref for intent in charged.bank.intents() if intent.session_id == waiting)
    world.clock.advance(8 * 24 * 3600 * SECOND_NS)
    assert charged.send("evt_1", ref=ref).json() == {"fresh": True}
    assert world.session(waiting).payment.held_minor == 0


@pytest.mark.bad_input(54)
def test_what_is_not_signed_or_about_nothing_of_ours_changes_nothing(charged: Charged) -> None:
    before = charged.world.session(charged.session_id)
    bad = charged.send("evt_1", signature="wrong")
    assert (bad.status_code, bad.json()["code"]) == (400, "bad_webhook")
    assert (
        charged.world.ask("POST", PATH, content=b"{}", headers={"Content-Type": "application/json"}).status_code == 400
    )
    assert charged.send("evt_9", ref="pi_of_somebody_else").json() == {"fresh": True}
    assert charged.world.session(charged.session_id) == before


def test_a_silent_provider_is_asked_again_later(charged: Charged, monkeypatch: pytest.MonkeyPatch) -> None:

    charged.bank.dispute(charged.ref, DisputeState.OPEN)
    with monkeypatch.context() as patch:
        patch.setattr(FaultyProvider, "get", lambda *_: Unknown("no answer"))
        answer = charged.send("evt_1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert charged.send("evt_1").json() == {"fresh": True}
    assert charged.state == "disputed"


def test_an_installation_without_such_a_provider_knows_no_such_address(world: World) -> None:
    answer = world.ask("POST", PATH, json={}, headers={"Stripe-Signature": "right"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.bad_input(54)
def test_a_web_hook_of_a_megabyte_is_refused(charged: Charged) -> None:
    headers = {"Stripe-Signature": "right", "Content-Type": "application/json"}
    assert charged.world.ask("POST", PATH, content=b" " * 1_000_000, headers=headers).status_code == 413
