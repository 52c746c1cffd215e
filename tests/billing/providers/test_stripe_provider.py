"""Stripe through its own library, against a transport that answers as Stripe does."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stripe

from fleetsight.billing.provider import (
    Authorize,
    Authorized,
    Captured,
    Declined,
    DisputeState,
    Intent,
    IntentState,
    Lookup,
    Provider,
    ProviderUnavailableError,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.desk import Fault, Faults, Scripted, Visit, no_faults
from fleetsight.billing.providers.stripe_provider import StripeProvider, connect
from fleetsight.clock import VirtualClock
from fleetsight.money import Money
from tests.billing.providers.stripe_transport import API_KEY, StripeTransport
from tests.contracts.payment_provider_contract import NOON_NS, PaymentProviderContract, euro

HOLD = Authorize("s1:auth:1", "t1", "s1", "cus_1/pm_card_visa", euro(2500))
LOOKUP = Lookup("", "s1:auth:1", "t1", "cus_1/pm_card_visa", NOON_NS)


def provider_on(transport: StripeTransport, api_key: str = API_KEY) -> StripeProvider:
    return StripeProvider(stripe.StripeClient(api_key, http_client=transport, max_network_retries=0))


class TestContract(PaymentProviderContract):
    good_method = "cus_1/pm_card_visa"
    poor_method = "cus_1/pm_card_chargeDeclinedInsufficientFunds"

    @pytest.fixture
    def provider(self, bank: Bank) -> Provider:
        return provider_on(StripeTransport(bank))


@pytest.fixture
def bank(clock: VirtualClock, tmp_path: Path) -> Iterator[Bank]:
    with closing(Bank(tmp_path / "bank.db", clock)) as bank:
        yield bank


@pytest.fixture
def transport(bank: Bank) -> StripeTransport:
    return StripeTransport(bank)


def failing(bank: Bank, **script: Fault | None) -> StripeProvider:
    faults: Faults = Scripted({kind: (fault,) for kind, fault in script.items()}) if script else no_faults
    return provider_on(StripeTransport(bank, faults=faults))


def held(provider: StripeProvider, request: Authorize = HOLD) -> str:
    answer = provider.authorize(request)
    assert isinstance(answer, Authorized), answer
    return answer.ref


def test_every_write_carries_its_key_and_reads_carry_none(transport: StripeTransport) -> None:
    provider = provider_on(transport)
    ref = held(provider)
    provider.capture(ref, euro(640), key="s1:capture:1")
    provider.refund(ref, euro(40), key="s1:refund:1")
    provider.void(ref, key="s1:void")
    provider.get(LOOKUP)
    posts = [(path, key) for method, path, key in transport.asked if method == "post"]
    assert posts == [
        ("/v1/payment_intents", "s1:auth:1"),
        (f"/v1/payment_intents/{ref}/capture", "s1:capture:1"),
        ("/v1/refunds", "s1:refund:1"),
        (f"/v1/payment_intents/{ref}/cancel", "s1:void"),
    ]
    assert {key for method, _, key in transport.asked if method == "get"} == {None}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.SLOW])
def test_whatever_is_no_answer_is_unknown_and_never_sent_again_by_the_library(bank: Bank, fault: Fault) -> None:
    transport = StripeTransport(bank, faults=Scripted({"authorize": (fault,)}))
    assert isinstance(provider_on(transport).authorize(HOLD), Unknown)
    assert len(transport.asked) == 1


@pytest.mark.parametrize("kind", ["capture", "void", "refund"])
@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.ERROR_AFTER, Fault.CONFLICT])
def test_other_writes_are_unknown_too(bank: Bank, kind: str, fault: Fault) -> None:
    provider = failing(bank, **{kind: fault})
    ref = held(provider)
    if kind == "refund":
        provider.capture(ref, euro(640), key="c")
    if kind == "void":
        assert isinstance(provider.void(ref, key="v"), Unknown)
    elif kind == "refund":
        assert isinstance(provider.refund(ref, euro(40), key="r"), Unknown)
    else:
        assert isinstance(provider.capture(ref, euro(640), key="c"), Unknown)


def test_a_lost_intent_is_found_among_the_customers_by_its_key(bank: Bank) -> None:
    def lost(visit: Visit) -> Fault | None:
        return Fault.LOST_AFTER if visit.key == HOLD.key and visit.kind == "authorize" else None

    provider = provider_on(StripeTransport(bank, faults=lost))
    assert isinstance(provider.authorize(HOLD), Unknown)
    for number in range(2, 12):  # more than a page
        held(provider, replace(HOLD, key=f"s1:auth:{number}"))
    held(provider, replace(HOLD, key="s9:auth:1", method_id="cus_9/pm_card_visa"))
    found = provider.get(LOOKUP)
    assert isinstance(found, Intent)
    assert (found.key, found.state) == ("s1:auth:1", IntentState.HELD)
    assert provider.get(replace(LOOKUP, key="s9:auth:1")) is None  # another customer's


def test_a_key_is_looked_for_although_our_clock_runs_ahead(bank: Bank) -> None:
    provider = failing(bank)
    held(provider)
    assert isinstance(provider.get(replace(LOOKUP, asked_ns=NOON_NS + 590 * 10**9)), Intent)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
def test_the_reason_of_a_decline_is_the_banks(bank: Bank, method: str, reason: str) -> None:
    provider = failing(bank)
    assert provider.authorize(replace(HOLD, method_id=f"cus_1/{method}")) == Declined(reason)
    found = provider.get(LOOKUP)
    assert isinstance(found, Intent)
    assert (found.state, found.reason) == (IntentState.DECLINED, reason)


@pytest.mark.parametrize("method", ["", "cus_1", "cus_1/", "/pm_card_visa"])
def test_a_method_that_names_no_card_is_declined_without_a_call(transport: StripeTransport, method: str) -> None:
    assert provider_on(transport).authorize(replace(HOLD, method_id=method)) == Declined("method")
    assert transport.asked == []


@pytest.mark.parametrize("amount", [Money(1251, "KWD"), Money(150, "MGA"), Money(500, "IQD")])
def test_what_stripe_cannot_express_is_refused_without_a_call(transport: StripeTransport, amount: Money) -> None:
    provider = provider_on(transport)
    assert provider.authorize(replace(HOLD, amount=amount)) == Refused("unit")
    assert provider.capture("pi_1", amount, key="c") == Refused("unit")
    assert provider.refund("pi_1", amount, key="r") == Refused("unit")
    assert transport.asked == []


def test_an_amount_below_stripes_minimum_is_refused_by_name(bank: Bank) -> None:
    small = replace(HOLD, amount=euro(30), method_id="cus_minimum/pm_card_visa")
    assert failing(bank).authorize(small) == Refused("amount_too_small")


def test_a_dispute_is_read_with_its_amount(bank: Bank) -> None:
    transport = StripeTransport(bank)
    provider = provider_on(transport)
    ref = held(provider)
    provider.capture(ref, euro(640), key="c")
    for state in DisputeState:
        bank.dispute(ref, state, minor=640)
        found = provider.get(replace(LOOKUP, ref=ref))
        assert isinstance(found, Intent)
        assert (found.dispute, found.disputed) == (state, euro(640))
    bank.dispute(ref, DisputeState.OPEN)
    assert provider.refund(ref, euro(1), key="r") == Refused("disputed")


@pytest.mark.parametrize("status", ["warning_needs_response", "warning_under_review", "warning_closed", "prevented"])
def test_an_inquiry_takes_no_money_and_is_no_dispute(bank: Bank, status: str) -> None:
    transport = StripeTransport(bank)
    provider = provider_on(transport)
    ref = held(provider)
    provider.capture(ref, euro(640), key="c")
    bank.dispute(ref, DisputeState.OPEN)
    transport.disputes[ref] = status
    found = provider.get(replace(LOOKUP, ref=ref))
    assert isinstance(found, Intent)
    assert (found.dispute, found.disputed) == (None, None)


def test_a_refused_api_key_tells_nothing_about_money(bank: Bank, caplog: pytest.LogCaptureFixture) -> None:
    provider = provider_on(StripeTransport(bank), api_key="sk_test_revoked")
    assert isinstance(provider.authorize(HOLD), Unknown)
    assert isinstance(provider.get(LOOKUP), Unknown)
    with pytest.raises(ProviderUnavailableError):
        list(provider.list_since(0))
    assert "refuses our key" in caplog.text
    assert "sk_test_revoked" not in caplog.text


def test_when_stripe_cannot_be_read_a_list_says_so(bank: Bank) -> None:
    with pytest.raises(ProviderUnavailableError, match="Stripe"):
        list(failing(bank, read=Fault.DOWN).list_since(0))


class Fixed(StripeTransport):
    """Answers every write with one object."""

    def __init__(self, bank: Bank, body: dict[str, Any]) -> None:
        super().__init__(bank)
        self.body = body

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_: object) -> Any:
        return json.dumps(self.body), 200, {}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("processing", Unknown),
        ("requires_action", Declined),
        ("requires_confirmation", Declined),
        ("a_status_of_the_future", Unknown),
    ],
)
def test_a_status_that_holds_nothing_is_no_hold(bank: Bank, status: str, expected: type[object]) -> None:
    body = {"id": "pi_1", "object": "payment_intent", "amount": 2500, "currency": "eur", "created": 1, "status": status}
    provider = provider_on(Fixed(bank, body))
    assert isinstance(provider.authorize(HOLD), expected)
    assert isinstance(provider.capture("pi_1", euro(640), key="c"), Unknown)
    assert isinstance(provider.void("pi_1", key="v"), Unknown)


@pytest.mark.parametrize(("status", "expected"), [("pending", Refunded), ("succeeded", Refunded), ("failed", Refused)])
def test_a_refund_that_failed_is_none(bank: Bank, status: str, expected: type[object]) -> None:
    body = {"id": "re_1", "object": "refund", "amount": 40, "currency": "eur", "status": status, "metadata": None}
    assert isinstance(provider_on(Fixed(bank, body)).refund("pi_1", euro(40), key="r"), expected)


def test_another_amount_than_asked_is_reported_as_it_is(bank: Bank) -> None:
    body = {"id": "pi_1", "object": "payment_intent", "amount": 2500, "currency": "eur", "created": 1}
    taken = {**body, "status": "succeeded", "amount_received": 600}
    assert provider_on(Fixed(bank, taken)).capture("pi_1", euro(640), key="c") == Captured("pi_1", euro(600))


def test_a_hold_without_an_end_says_none(bank: Bank) -> None:
    body = {"id": "pi_1", "object": "payment_intent", "amount": 2500, "currency": "eur", "created": 1}
    answer = provider_on(Fixed(bank, {**body, "status": "requires_capture", "latest_charge": "ch_1"})).authorize(HOLD)
    assert answer == Authorized("pi_1", euro(2500), None)


def test_voiding_what_is_declined_is_refused(bank: Bank) -> None:
    provider = failing(bank)
    provider.authorize(replace(HOLD, method_id="cus_1/pm_card_chargeDeclined"))
    (intent,) = bank.intents()
    assert provider.void(intent.ref, key="v") == Refused("hold_missing")
    assert provider.void(held(provider, replace(HOLD, key="s1:auth:2")), key="v2") == Voided()


def test_connecting_sends_nothing() -> None:
    assert connect("sk_test_x").name == "stripe"
