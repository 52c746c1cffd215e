"""The made-up bank: one truth for all processes, disputes, and webhooks that come twice and in no order."""

import multiprocessing
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fleetsight.billing.provider import DisputeState, Intent, IntentState
from fleetsight.billing.providers.bank import Bank, BankError, No
from fleetsight.clock import SECOND_NS, SystemClock, VirtualClock
from fleetsight.money import Money

WHO = {"tenant_id": "t1", "session_id": "s1", "method_id": "card"}


@pytest.fixture
def bank(clock: VirtualClock) -> Iterator[Bank]:
    with closing(Bank(":memory:", clock, hold_s=100)) as bank:
        yield bank


def made(bank: Bank, *, capture: bool = False, session: str = "s1") -> str:
    answer = bank.authorize("k", who={**WHO, "session_id": session}, amount=Money(2500, "EUR"), capture=capture)
    assert isinstance(answer, Intent)
    return answer.ref


def take_many(path: Path, number: int) -> None:
    with closing(Bank(path, SystemClock())) as bank:
        for _ in range(20):
            made(bank, capture=True, session=f"s{number}")


def test_several_processes_meet_one_bank(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with closing(Bank(path, SystemClock())) as bank:
        spawn = multiprocessing.get_context("spawn")
        children = [spawn.Process(target=take_many, args=(path, number)) for number in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0, 0]
        assert {truth.captures for truth in bank.truth().values()} == {20}
        assert len({intent.ref for intent in bank.intents()}) == 60


def test_a_dispute_freezes_refunds_until_it_is_won(bank: Bank) -> None:
    ref = made(bank, capture=True)
    bank.dispute(ref, DisputeState.OPEN, minor=700)
    assert bank.refund(ref, Money(1, "EUR"), key="r") == No("disputed")
    intent = bank.intent(ref)
    assert intent is not None
    assert (intent.dispute, intent.disputed) == (DisputeState.OPEN, Money(700, "EUR"))
    bank.dispute(ref, DisputeState.WON)
    assert not isinstance(bank.refund(ref, Money(1, "EUR"), key="r"), No)


def test_only_a_payment_is_disputed(bank: Bank) -> None:
    with pytest.raises(BankError, match="dispute"):
        bank.dispute(made(bank), DisputeState.OPEN)


def test_webhooks_come_twice_and_in_no_order(bank: Bank) -> None:
    ref = made(bank)
    bank.capture(ref, Money(640, "EUR"))
    bank.refund(ref, Money(40, "EUR"), key="r")
    hints = bank.hints(provider="faulty")
    assert {(hint.kind, hint.ref) for hint in hints} == {("held", ref), ("captured", ref), ("refunded", ref)}
    assert [hint.kind for hint in hints][:2] == ["captured", "held"]
    assert len(hints) > len({hint.event_id for hint in hints}) == 3


def test_a_hold_that_is_over_ends_and_tells(bank: Bank, clock: VirtualClock) -> None:
    ref = made(bank)
    clock.advance(100 * SECOND_NS)
    intent = bank.intent(ref)
    assert intent is not None
    assert intent.state is IntentState.EXPIRED
    assert [hint.kind for hint in bank.hints(provider="faulty")][:2] == ["expired", "held"]


def fail_half_way(bank: Bank) -> None:
    with bank.transaction():
        made(bank)
        raise BankError("the power went")


def test_a_transaction_that_fails_leaves_nothing(bank: Bank) -> None:
    with pytest.raises(BankError, match="power"):
        fail_half_way(bank)
    assert bank.intents() == []
