"""What the provider's object says about an operation of ours, case by case."""

from dataclasses import replace

import pytest

from fleetsight.billing.exactly_once.judge import KEY_SAFE_NS, QUIET_NS, judge
from fleetsight.billing.operations import Capture, Charge, Hold, Operation, Refund, Void, asked, following
from fleetsight.billing.provider import (
    Authorized,
    Captured,
    Declined,
    DisputeState,
    Intent,
    IntentRefund,
    IntentState,
    Mismatch,
    Outcome,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from fleetsight.money import Money

NOW_NS = 10**18


def euro(minor: int) -> Money:
    return Money(minor, "EUR")


HOLD = asked(Hold("h", "t1", "s1", "anna", "p", "m", euro(2500)), now_ns=NOW_NS)
CHARGE = asked(Charge("x", "t1", "s1", "anna", "p", "m", euro(2500)), now_ns=NOW_NS)
CAPTURE = following(Capture("c", "h", euro(640)), HOLD, now_ns=NOW_NS)
VOID = following(Void("v", "h"), HOLD, now_ns=NOW_NS)
REFUND = following(Refund("r", "c", euro(100), "why"), CAPTURE, now_ns=NOW_NS)
SHOWN = Intent("pi", "h", "t1", "s1", IntentState.HELD, euro(2500), euro(0), (), 7, NOW_NS)
TAKEN = replace(SHOWN, state=IntentState.CAPTURED, captured=euro(640))


def verdict(operation: Operation, intent: Intent | None, root: Operation = HOLD, at_ns: int = NOW_NS) -> Outcome | None:
    root = operation if operation.root_key == operation.key else root
    return judge(operation, root, intent=intent, now_ns=at_ns)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (IntentState.HELD, Authorized("pi", euro(2500), 7)),
        (IntentState.CAPTURED, Authorized("pi", euro(2500), 7)),
        (IntentState.PENDING, Unknown("the provider is at work")),
        (IntentState.DECLINED, Declined("poor")),
        (IntentState.EXPIRED, Declined("poor")),
        (IntentState.VOIDED, Declined("poor")),
    ],
)
def test_a_hold(state: IntentState, expected: Outcome) -> None:
    assert verdict(HOLD, replace(SHOWN, state=state, reason="poor")) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (IntentState.HELD, None),
        (IntentState.PENDING, Unknown("the provider is at work")),
        (IntentState.EXPIRED, Refused("hold_expired")),
        (IntentState.VOIDED, Refused("hold_voided")),
        (IntentState.DECLINED, Refused("hold_voided")),
    ],
)
def test_a_capture(state: IntentState, expected: Outcome | None) -> None:
    assert verdict(CAPTURE, replace(SHOWN, state=state)) == expected


def test_a_capture_that_happened() -> None:
    assert verdict(CAPTURE, TAKEN) == Captured("pi", euro(640))
    assert isinstance(verdict(CAPTURE, replace(TAKEN, captured=euro(641))), Mismatch)


@pytest.mark.parametrize(
    ("intent", "expected"),
    [
        (replace(SHOWN, state=IntentState.CAPTURED, captured=euro(2500)), Captured("pi", euro(2500))),
        (replace(SHOWN, state=IntentState.DECLINED), Declined("declined")),
        (replace(SHOWN, state=IntentState.PENDING), Unknown("the provider is at work")),
    ],
)
def test_a_charge(intent: Intent, expected: Outcome) -> None:
    assert verdict(CHARGE, intent) == expected


@pytest.mark.parametrize("intent", [SHOWN, replace(TAKEN, captured=euro(2400))])
def test_a_charge_that_took_something_else(intent: Intent) -> None:
    assert isinstance(verdict(CHARGE, intent), Mismatch)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (IntentState.HELD, None),
        (IntentState.PENDING, None),
        (IntentState.VOIDED, Voided()),
        (IntentState.EXPIRED, Voided()),
        (IntentState.DECLINED, Voided()),
        (IntentState.CAPTURED, Refused("already_captured")),
    ],
)
def test_a_void(state: IntentState, expected: Outcome | None) -> None:
    assert verdict(VOID, replace(SHOWN, state=state)) == expected


@pytest.mark.parametrize(
    ("intent", "expected"),
    [
        (TAKEN, None),
        (replace(TAKEN, refunds=(IntentRefund("re", "r", euro(100)),)), Refunded("re", euro(100))),
        (replace(TAKEN, refunds=(IntentRefund("re", "r", euro(100), failed=True),)), Refused("refund_failed")),
        (replace(TAKEN, refunds=(IntentRefund("re", "other", euro(600)),)), Refused("above_captured")),
        (replace(TAKEN, refunds=(IntentRefund("re", "other", euro(540)),)), None),
        (replace(TAKEN, dispute=DisputeState.OPEN), Refused("disputed")),
        (replace(TAKEN, dispute=DisputeState.LOST), Refused("disputed")),
        (replace(TAKEN, dispute=DisputeState.WON), None),
    ],
)
def test_a_refund(intent: Intent, expected: Outcome | None) -> None:
    assert verdict(REFUND, intent) == expected


def test_a_refund_of_another_amount() -> None:
    assert isinstance(verdict(REFUND, replace(TAKEN, refunds=(IntentRefund("re", "r", euro(99)),))), Mismatch)


@pytest.mark.parametrize("operation", [HOLD, CAPTURE, REFUND])
def test_an_intent_of_another_amount_freezes_everything(operation: Operation) -> None:
    assert isinstance(verdict(operation, replace(SHOWN, authorized=euro(2400))), Mismatch)


def test_an_intent_of_another_amount_is_given_back_all_the_same() -> None:
    assert verdict(VOID, replace(SHOWN, authorized=euro(2400))) is None


@pytest.mark.parametrize("operation", [HOLD, CHARGE])
def test_what_is_not_there_is_asked_for_again_while_its_key_is_safe(operation: Operation) -> None:
    assert verdict(operation, None) is None
    assert verdict(operation, None, at_ns=NOW_NS + KEY_SAFE_NS) is None
    assert verdict(operation, None, at_ns=NOW_NS + KEY_SAFE_NS + 1) == Declined("too_late")


@pytest.mark.parametrize("operation", [CAPTURE, REFUND, VOID])
def test_what_was_there_and_is_not_any_more_needs_a_person(operation: Operation) -> None:
    assert isinstance(verdict(operation, None, replace(HOLD, provider_ref="pi")), Mismatch)


def test_a_void_of_what_is_not_there_waits_until_nothing_can_arrive() -> None:
    begun = replace(HOLD, attempts=1)
    assert isinstance(verdict(VOID, None, begun, NOW_NS + QUIET_NS - 1), Unknown)
    assert verdict(VOID, None, begun, NOW_NS + QUIET_NS) == Voided()
    assert verdict(VOID, None, HOLD, NOW_NS) == Voided()
