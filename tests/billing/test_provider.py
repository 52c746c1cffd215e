"""Outcomes survive as JSON, for steps that are kept."""

import json

import pytest

from fleetsight.billing.provider import (
    Authorized,
    Captured,
    Declined,
    Intent,
    IntentRefund,
    IntentState,
    Mismatch,
    Outcome,
    OutcomeFormatError,
    Refunded,
    Refused,
    Unknown,
    Voided,
    outcome_from_json,
    outcome_to_json,
)
from fleetsight.money import Money

OUTCOMES: list[Outcome] = [
    Authorized("pi_1", Money(2500, "EUR"), 1_800_000_000_000_000_000),
    Authorized("pi_1", Money(2500, "JPY")),
    Declined("insufficient_funds"),
    Captured("pi_1", Money(1, "KWD")),
    Voided(),
    Refunded("re_1", Money(640, "EUR")),
    Refused("above_hold"),
    Mismatch("640", "600"),
    Unknown("silence"),
]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_is_read_back_from_json(outcome: Outcome) -> None:
    assert outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome)))) == outcome


@pytest.mark.parametrize(
    "value", [{}, {"kind": "paid"}, {"kind": "voided", "ref": "x"}, {"kind": "captured", "ref": "x"}]
)
def test_what_nobody_wrote_is_refused(value: dict[str, str]) -> None:
    with pytest.raises(OutcomeFormatError, match="no stored outcome"):
        outcome_from_json(value)


def test_refunds_that_failed_do_not_count() -> None:
    euro = Money(100, "EUR")
    refunds = (IntentRefund("r1", "", euro), IntentRefund("r2", "", euro, failed=True), IntentRefund("r3", "", euro))
    intent = Intent("pi", "k", "t", "s", IntentState.CAPTURED, euro * 5, euro * 5, refunds, None, 0)
    assert intent.refunded == euro * 2
