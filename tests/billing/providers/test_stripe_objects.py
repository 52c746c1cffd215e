"""Amounts as Stripe writes them, and its objects in our words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.billing.provider import DisputeState, IntentState
from fleetsight.billing.providers.stripe_objects import amount_of, intent_of, money_of, state_of
from fleetsight.money import Money

INTENT = {"id": "pi_1", "amount": 2500, "currency": "eur", "created": 1_800_000_000, "status": "succeeded"}


@pytest.mark.parametrize(
    ("money", "amount"),
    [
        (Money(1000, "USD"), 1000),
        (Money(500, "JPY"), 500),
        (Money(5, "ISK"), 500),
        (Money(5, "UGX"), 500),
        (Money(5120, "KWD"), 5120),
        (Money(5124, "KWD"), None),
        (Money(200, "MGA"), 2),
        (Money(250, "MGA"), None),
        (Money(1000, "LYD"), None),
    ],
)
def test_amounts_follow_stripes_special_cases(money: Money, amount: int | None) -> None:
    assert amount_of(money) == amount
    if amount is not None:
        assert money_of(amount, money.currency.lower()) == money


@given(st.integers(0, 10**9), st.sampled_from(["EUR", "JPY", "KWD", "ISK", "UGX", "MGA", "OMR", "CLP"]))
def test_what_can_be_written_is_read_back(minor: int, currency: str) -> None:
    amount = amount_of(Money(minor, currency))
    assert amount is None or money_of(amount, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        ("requires_capture", None, IntentState.HELD),
        ("succeeded", None, IntentState.CAPTURED),
        ("canceled", "requested_by_customer", IntentState.VOIDED),
        ("canceled", None, IntentState.VOIDED),
        ("canceled", "automatic", IntentState.EXPIRED),
        ("canceled", "expired", IntentState.EXPIRED),
        ("processing", None, IntentState.PENDING),
        ("requires_payment_method", None, IntentState.DECLINED),
        ("requires_action", None, IntentState.DECLINED),
        ("something new", None, IntentState.PENDING),
    ],
)
def test_states(status: str, reason: str | None, state: IntentState) -> None:
    assert state_of({"status": status, "cancellation_reason": reason}) is state


def test_the_end_of_a_hold_is_read_from_its_charge() -> None:
    for kind in ("card", "card_present"):
        charge = {"id": "ch_1", "payment_method_details": {kind: {"capture_before": 1_800_600_000}}}
        made = intent_of({**INTENT, "status": "requires_capture", "latest_charge": charge})
        assert made.capture_before_ns == 1_800_600_000_000_000_000
    assert intent_of({**INTENT, "status": "requires_capture", "latest_charge": "ch_1"}).capture_before_ns is None
    assert intent_of({**INTENT, "status": "requires_capture", "latest_charge": None}).capture_before_ns is None


def test_an_intent_that_somebody_else_made_has_no_key() -> None:
    made = intent_of({**INTENT, "amount_received": 2500, "metadata": {}})
    assert (made.key, made.tenant_id, made.session_id) == ("", "", "")
    assert made.captured == Money(2500, "EUR")


def test_the_newest_dispute_that_takes_money_counts() -> None:
    disputes = [
        {"id": "du_1", "status": "lost", "amount": 600, "currency": "eur", "created": 5},
        {"id": "du_2", "status": "needs_response", "amount": 700, "currency": "eur", "created": 9},
        {"id": "du_3", "status": "warning_closed", "amount": 800, "currency": "eur", "created": 12},
    ]
    made = intent_of(INTENT, disputes=disputes)
    assert (made.dispute, made.disputed) == (DisputeState.OPEN, Money(700, "EUR"))


def test_failed_refunds_are_told_and_not_counted() -> None:
    refunds = [
        {"id": "re_1", "amount": 100, "currency": "eur", "status": "succeeded", "metadata": {"fleetsight_key": "r1"}},
        {"id": "re_2", "amount": 200, "currency": "eur", "status": "failed", "metadata": {"fleetsight_key": "r2"}},
        {"id": "re_3", "amount": 50, "currency": "eur", "status": "pending", "metadata": None},
    ]
    made = intent_of(INTENT, refunds=refunds)
    assert made.refunded == Money(150, "EUR")
    assert [(refund.key, refund.failed) for refund in made.refunds] == [("r1", False), ("r2", True), ("", False)]
