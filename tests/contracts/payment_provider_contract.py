"""What everyone who moves money must do; the test of each provider subclasses this."""

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar

import pytest

from fleetsight.billing.provider import (
    Authorize,
    Authorized,
    Captured,
    Declined,
    Intent,
    IntentState,
    Lookup,
    Provider,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.money import Money

NOON_NS = 1_800_000_000_000_000_000
HOUR_NS = 3600 * SECOND_NS


def euro(minor: int) -> Money:
    return Money(minor, "EUR")


class PaymentProviderContract(ABC):
    """One subclass per provider. Every good method has at least 1,000.00 of each currency."""

    good_method: ClassVar[str]
    poor_method: ClassVar[str]
    """Its holder cannot pay."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock(NOON_NS)

    @pytest.fixture
    @abstractmethod
    def provider(self, clock: VirtualClock) -> Provider:
        """The provider under test."""

    def request(self, key: str = "s1:auth:1", amount: Money | None = None, *, capture: bool = False) -> Authorize:
        return Authorize(key, "t1", "s1", self.good_method, amount or euro(2500), capture=capture)

    def lookup(self, key: str = "s1:auth:1", ref: str = "", tenant: str = "t1") -> Lookup:
        return Lookup(ref, key, tenant, self.good_method, NOON_NS)

    def held(self, provider: Provider, key: str = "s1:auth:1", amount: Money | None = None) -> str:
        answer = provider.authorize(self.request(key, amount))
        assert isinstance(answer, Authorized), answer
        return answer.ref

    def charged(self, provider: Provider, amount: Money, key: str = "s1:extra") -> str:
        answer = provider.authorize(self.request(key, amount, capture=True))
        assert isinstance(answer, Captured), answer
        return answer.ref

    def shown(self, provider: Provider, ref: str) -> Intent:
        intent = provider.get(self.lookup(ref=ref))
        assert isinstance(intent, Intent), intent
        return intent

    def test_a_hold_is_there_to_be_read(self, provider: Provider) -> None:
        answer = provider.authorize(self.request())
        assert isinstance(answer, Authorized)
        assert answer.amount == euro(2500)
        intent = self.shown(provider, answer.ref)
        assert intent.state is IntentState.HELD
        assert (intent.key, intent.tenant_id, intent.session_id) == ("s1:auth:1", "t1", "s1")
        assert (intent.authorized, intent.captured, intent.refunded) == (euro(2500), euro(0), euro(0))
        assert intent.capture_before_ns == answer.capture_before_ns
        assert abs(intent.created_ns - NOON_NS) <= SECOND_NS

    def test_a_hold_says_when_it_ends(self, provider: Provider) -> None:
        answer = provider.authorize(self.request())
        assert isinstance(answer, Authorized)
        assert answer.capture_before_ns == NOON_NS + provider.capabilities().hold_s * SECOND_NS

    def test_an_intent_is_found_by_the_key_that_made_it(self, provider: Provider) -> None:
        ref = self.held(provider)
        assert provider.get(self.lookup()) == self.shown(provider, ref)
        assert provider.get(self.lookup("s1:auth:2")) is None
        assert provider.get(self.lookup(tenant="t2")) is None

    def test_the_same_key_holds_once(self, provider: Provider) -> None:
        first = provider.authorize(self.request())
        assert provider.authorize(self.request()) == first
        assert len(list(provider.list_since(0))) == 1

    def test_a_key_with_another_amount_has_no_effect(self, provider: Provider) -> None:
        self.held(provider)
        assert provider.authorize(self.request(amount=euro(2600))) == Refused("key_reused")
        assert [intent.authorized for intent in provider.list_since(0)] == [euro(2500)]

    def test_who_cannot_pay_is_declined_and_nothing_is_held(self, provider: Provider) -> None:
        answer = provider.authorize(replace(self.request(), method_id=self.poor_method))
        assert answer == Declined("insufficient_funds")
        found = provider.get(replace(self.lookup(), method_id=self.poor_method))
        assert found is None or (isinstance(found, Intent) and found.state is IntentState.DECLINED)

    @pytest.mark.parametrize("minor", [0, -1])
    def test_nothing_and_less_cannot_be_held_captured_or_refunded(self, provider: Provider, minor: int) -> None:
        assert provider.authorize(self.request(amount=euro(minor))) == Refused("zero")
        ref = self.held(provider, "s1:auth:2")
        assert provider.capture(ref, euro(minor), key="c") == Refused("zero")
        assert provider.refund(self.charged(provider, euro(5)), euro(minor), key="r") == Refused("zero")
        assert self.shown(provider, ref).state is IntentState.HELD

    @pytest.mark.parametrize("minor", [1, 640, 2500])
    def test_a_capture_takes_what_is_asked(self, provider: Provider, minor: int) -> None:
        ref = self.held(provider)
        assert provider.capture(ref, euro(minor), key="s1:capture:1") == Captured(ref, euro(minor))
        intent = self.shown(provider, ref)
        assert (intent.state, intent.captured) == (IntentState.CAPTURED, euro(minor))

    def test_a_capture_above_the_hold_is_refused(self, provider: Provider) -> None:
        ref = self.held(provider)
        assert provider.capture(ref, euro(2501), key="s1:capture:1") == Refused("above_hold")
        assert self.shown(provider, ref).state is IntentState.HELD
        assert provider.capture(ref, euro(2500), key="s1:capture:2") == Captured(ref, euro(2500))

    def test_the_same_key_captures_once(self, provider: Provider) -> None:
        ref = self.held(provider)
        first = provider.capture(ref, euro(640), key="s1:capture:1")
        assert provider.capture(ref, euro(640), key="s1:capture:1") == first
        assert self.shown(provider, ref).captured == euro(640)

    def test_an_intent_is_captured_once_whatever_the_key(self, provider: Provider) -> None:
        ref = self.held(provider)
        provider.capture(ref, euro(640), key="s1:capture:1")
        assert provider.capture(ref, euro(640), key="s1:capture:2") == Refused("already_captured")
        assert self.shown(provider, ref).captured == euro(640)

    def test_a_void_gives_the_hold_back_for_good(self, provider: Provider) -> None:
        ref = self.held(provider)
        assert provider.void(ref, key="s1:void") == Voided()
        assert provider.void(ref, key="s1:void") == Voided()
        assert provider.void(ref, key="other") == Voided()
        assert provider.capture(ref, euro(640), key="s1:capture:1") == Refused("hold_voided")
        intent = self.shown(provider, ref)
        assert (intent.state, intent.captured) == (IntentState.VOIDED, euro(0))

    def test_a_captured_intent_cannot_be_voided(self, provider: Provider) -> None:
        ref = self.held(provider)
        provider.capture(ref, euro(640), key="s1:capture:1")
        assert provider.void(ref, key="s1:void") == Refused("already_captured")
        assert self.shown(provider, ref).captured == euro(640)

    def test_a_hold_that_ended_by_itself_cannot_be_captured(self, provider: Provider, clock: VirtualClock) -> None:
        ref = self.held(provider)
        clock.advance(provider.capabilities().hold_s * SECOND_NS)
        assert self.shown(provider, ref).state is IntentState.EXPIRED
        assert provider.capture(ref, euro(640), key="s1:capture:1") == Refused("hold_expired")
        assert provider.void(ref, key="s1:void") == Voided()
        assert self.shown(provider, ref).state is IntentState.EXPIRED

    def test_a_charge_takes_at_once(self, provider: Provider) -> None:
        ref = self.charged(provider, euro(150))
        assert self.charged(provider, euro(150)) == ref
        intent = self.shown(provider, ref)
        assert (intent.state, intent.captured, intent.capture_before_ns) == (IntentState.CAPTURED, euro(150), None)
        assert provider.capture(ref, euro(150), key="c") in (Refused("already_captured"), Refused("missing"))

    @pytest.mark.bad_input(55)
    def test_refunds_add_up_to_at_most_what_was_taken(self, provider: Provider) -> None:
        ref = self.held(provider)
        provider.capture(ref, euro(640), key="s1:capture:1")
        first = provider.refund(ref, euro(400), key="s1:refund:1")
        assert isinstance(first, Refunded)
        assert first.amount == euro(400)
        assert provider.refund(ref, euro(241), key="s1:refund:2") == Refused("above_captured")
        assert isinstance(provider.refund(ref, euro(240), key="s1:refund:3"), Refunded)
        assert isinstance(provider.refund(ref, euro(1), key="s1:refund:4"), Refused)
        intent = self.shown(provider, ref)
        assert [(refund.key, refund.amount) for refund in sorted(intent.refunds, key=lambda r: r.key)] == [
            ("s1:refund:1", euro(400)),
            ("s1:refund:3", euro(240)),
        ]

    @pytest.mark.bad_input(55)
    def test_the_same_key_refunds_once(self, provider: Provider) -> None:
        ref = self.charged(provider, euro(640))
        first = provider.refund(ref, euro(400), key="s1:refund:1")
        assert provider.refund(ref, euro(400), key="s1:refund:1") == first
        assert provider.refund(ref, euro(100), key="s1:refund:1") == Refused("key_reused")
        assert self.shown(provider, ref).refunded == euro(400)

    def test_only_what_was_taken_is_refunded(self, provider: Provider) -> None:
        ref = self.held(provider)
        assert isinstance(provider.refund(ref, euro(1), key="s1:refund:1"), Refused)
        provider.void(ref, key="s1:void")
        assert isinstance(provider.refund(ref, euro(1), key="s1:refund:2"), Refused)

    def test_what_nobody_knows_is_missing(self, provider: Provider) -> None:
        for answer in (
            provider.capture("pi_nobody", euro(5), key="c"),
            provider.void("pi_nobody", key="v"),
            provider.refund("pi_nobody", euro(5), key="r"),
        ):
            assert answer == Refused("missing")
        assert provider.get(self.lookup(ref="pi_nobody")) is None

    @pytest.mark.parametrize("amount", [Money(500, "JPY"), Money(1250, "KWD"), Money(199, "EUR")])
    @pytest.mark.bad_input(53)
    def test_minor_units_are_those_of_the_currency(self, provider: Provider, amount: Money) -> None:
        ref = self.held(provider, amount=amount)
        assert provider.capture(ref, amount, key="c") == Captured(ref, amount)
        part = Money(amount.minor // 20 * 10, amount.currency)
        assert isinstance(provider.refund(ref, part, key="r"), Refunded)
        intent = self.shown(provider, ref)
        assert (intent.authorized, intent.captured, intent.refunded) == (amount, amount, part)

    def test_the_list_holds_what_was_made_since(self, provider: Provider, clock: VirtualClock) -> None:
        self.held(provider, "s1:auth:1")
        clock.advance(HOUR_NS)
        refs = {self.held(provider, f"s1:auth:{n}") for n in range(2, 9)}
        captured = self.charged(provider, euro(150))
        provider.refund(captured, euro(50), key="s1:refund:1")
        listed = {intent.ref: intent for intent in provider.list_since(NOON_NS + HOUR_NS)}
        assert set(listed) == {*refs, captured}
        assert listed[captured] == self.shown(provider, captured)
        assert len(list(provider.list_since(NOON_NS))) == 9
        assert list(provider.list_since(NOON_NS + 2 * HOUR_NS)) == []

    def test_many_at_once_with_one_key_are_one(self, provider: Provider) -> None:
        with ThreadPoolExecutor(6) as pool:
            holds = set(pool.map(lambda _: provider.authorize(self.request()), range(6)))
            assert {type(answer) for answer in holds} <= {Authorized, Unknown}
            ref = next(answer.ref for answer in holds if isinstance(answer, Authorized))
            captures = set(pool.map(lambda _: provider.capture(ref, euro(640), key="s1:capture:1"), range(6)))
            refunds = set(pool.map(lambda _: provider.refund(ref, euro(40), key="s1:refund:1"), range(6)))
        assert Captured(ref, euro(640)) in captures
        assert {type(answer) for answer in refunds} <= {Refunded, Unknown}
        (intent,) = provider.list_since(0)
        assert (intent.captured, intent.refunded) == (euro(640), euro(40))

    def test_many_at_once_with_many_keys_take_once(self, provider: Provider) -> None:
        ref = self.held(provider)
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: provider.capture(ref, euro(640), key=f"s1:capture:{n}"), range(6)))
        assert len([answer for answer in answers if isinstance(answer, Captured)]) == 1
        assert self.shown(provider, ref).captured == euro(640)

    def test_keys_are_kept_for_a_day_at_least(self, provider: Provider) -> None:
        capabilities = provider.capabilities()
        assert capabilities.key_kept_s is None or capabilities.key_kept_s >= 24 * 3600
        assert capabilities.hold_s > 24 * 3600


class CurrencyContract(PaymentProviderContract):
    """For those to whom captures and refunds carry their currency; for the others `Payments` compares it before."""

    def test_another_currency_is_refused(self, provider: Provider) -> None:
        ref = self.held(provider)
        assert provider.capture(ref, Money(640, "USD"), key="c1") == Refused("currency")
        provider.capture(ref, euro(640), key="c2")
        assert provider.refund(ref, Money(640, "USD"), key="r") == Refused("currency")
