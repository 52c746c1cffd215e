"""The provider that fails: it obeys the contract while nothing fails, and its truth stays exact while everything does."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fleetsight.billing.provider import (
    Authorize,
    Authorized,
    Captured,
    Declined,
    Intent,
    IntentState,
    Lookup,
    ProviderUnavailableError,
    Refunded,
    Refused,
    Unknown,
)
from fleetsight.billing.providers.bank import Bank, SessionTruth
from fleetsight.billing.providers.desk import KEY_KEPT_S, SLOW_S, Fault, Scripted
from fleetsight.billing.providers.faulty import FaultyProvider
from fleetsight.clock import SECOND_NS, VirtualClock
from tests.contracts.payment_provider_contract import NOON_NS, CurrencyContract, euro

HOLD = Authorize("s1:auth:1", "t1", "s1", "card", euro(2500))
LOOKUP = Lookup("", "s1:auth:1", "t1", "card", NOON_NS)


class TestContract(CurrencyContract):
    good_method = "card"
    poor_method = "card_insufficient"

    @pytest.fixture
    def provider(self, clock: VirtualClock, bank: Bank) -> FaultyProvider:
        return FaultyProvider(bank)


@pytest.fixture
def bank(clock: VirtualClock, tmp_path: Path) -> Iterator[Bank]:
    with closing(Bank(tmp_path / "bank.db", clock)) as bank:
        yield bank


def faulty(bank: Bank, **script: Fault | None) -> FaultyProvider:
    """Fails once at the first visit of each kind of request."""
    return FaultyProvider(
        bank, faults=Scripted({kind: (fault,) for kind, fault in script.items()}), wait=lambda _: None
    )


@pytest.mark.parametrize(
    ("fault", "intents"),
    [
        (Fault.LOST_BEFORE, 0),
        (Fault.LOST_AFTER, 1),
        (Fault.ERROR_BEFORE, 0),
        (Fault.ERROR_AFTER, 1),
        (Fault.CONFLICT, 0),
        (Fault.DOWN, 0),
    ],
)
def test_a_fault_tells_nothing_and_does_what_its_name_says(bank: Bank, fault: Fault, intents: int) -> None:
    assert isinstance(faulty(bank, authorize=fault).authorize(HOLD), Unknown)
    assert len(bank.intents()) == intents


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.CONFLICT])
def test_the_same_key_again_ends_what_was_lost(bank: Bank, fault: Fault) -> None:
    provider = faulty(bank, authorize=fault)
    provider.authorize(HOLD)
    assert isinstance(provider.authorize(HOLD), Authorized)
    assert len(bank.intents()) == 1


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.ERROR_AFTER])
def test_a_saved_error_comes_back_until_its_key_is_pruned(bank: Bank, clock: VirtualClock, fault: Fault) -> None:
    provider = faulty(bank, authorize=fault)
    assert {type(provider.authorize(HOLD)) for _ in range(3)} == {Unknown}
    clock.advance(KEY_KEPT_S * SECOND_NS)
    assert isinstance(provider.authorize(HOLD), Authorized)
    assert len(bank.intents()) == (2 if fault is Fault.ERROR_AFTER else 1)  # why an old key is never sent unread


def test_a_pruned_key_runs_again(bank: Bank, clock: VirtualClock) -> None:
    provider = FaultyProvider(bank)
    provider.authorize(HOLD)
    clock.advance((KEY_KEPT_S - 1) * SECOND_NS)
    provider.authorize(HOLD)
    assert len(bank.intents()) == 1
    clock.advance(SECOND_NS)
    provider.authorize(HOLD)
    assert len(bank.intents()) == 2
    assert bank.truth()["s1"].held_minor == 5000


def test_a_slow_answer_is_an_answer(bank: Bank) -> None:
    waited: list[float] = []
    script = Scripted({"authorize": (Fault.SLOW,), "read": (Fault.SLOW,)})
    provider = FaultyProvider(bank, faults=script, wait=waited.append)
    assert isinstance(provider.authorize(HOLD), Authorized)
    assert isinstance(provider.get(LOOKUP), Intent)
    assert waited == [SLOW_S, SLOW_S]


def test_reading_can_fail_too(bank: Bank) -> None:
    provider = faulty(bank, read=Fault.DOWN)
    provider.authorize(HOLD)
    assert isinstance(provider.get(LOOKUP), Unknown)
    assert isinstance(provider.get(LOOKUP), Intent)
    with pytest.raises(ProviderUnavailableError):
        list(provider.list_since(0))
    assert len(list(provider.list_since(0))) == 1


@pytest.mark.parametrize("kind", ["capture", "void", "refund"])
def test_every_kind_of_request_can_be_lost_and_ended(bank: Bank, kind: str) -> None:
    provider = faulty(bank, **{kind: Fault.LOST_AFTER})
    held = provider.authorize(HOLD)
    assert isinstance(held, Authorized)

    def ask() -> object:
        if kind == "void":
            return provider.void(held.ref, key="v")
        captured = provider.capture(held.ref, euro(640), key="c")
        return captured if kind == "capture" else provider.refund(held.ref, euro(40), key="r")

    assert isinstance(ask(), Unknown)
    assert not isinstance(ask(), Unknown | Refused)
    truth = bank.truth()["s1"]
    assert (truth.captures, truth.refunded_minor) == (int(kind != "void"), 40 * (kind == "refund"))


def test_declines_are_kept_under_their_key(bank: Bank) -> None:
    provider = FaultyProvider(bank)
    for method, reason in (("card_declined", "generic_decline"), ("card_expired", "expired_card")):
        request = Authorize(f"s1:{method}", "t1", "s1", method, euro(2500))
        assert provider.authorize(request) == provider.authorize(request) == Declined(reason)
    assert [intent.state for intent in bank.intents()] == [IntentState.DECLINED] * 2
    assert bank.truth() == {}


def test_the_truth_adds_up_a_session(bank: Bank) -> None:
    provider = FaultyProvider(bank)
    held = provider.authorize(HOLD)
    assert isinstance(held, Authorized)
    assert bank.truth()["s1"] == SessionTruth("EUR", 2500, 0, 0, 0, 1)
    provider.capture(held.ref, euro(2500), key="c")
    extra = provider.authorize(Authorize("s1:extra", "t1", "s1", "card", euro(150), capture=True))
    assert isinstance(extra, Captured)
    assert isinstance(provider.refund(extra.ref, euro(50), key="r"), Refunded)
    assert bank.truth()["s1"] == SessionTruth("EUR", 0, 2650, 50, 2, 2)
