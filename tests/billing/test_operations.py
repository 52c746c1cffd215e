"""A wish to move money is told apart by everything that was asked, and by nothing else."""

from dataclasses import replace

import pytest

from fleetsight.billing.operations import (
    Capture,
    Charge,
    Hold,
    OperationKind,
    OperationState,
    Refund,
    Void,
    asked,
    following,
)
from fleetsight.billing.provider import Authorized, Unknown
from fleetsight.money import Money

FIVE = Money(500, "EUR")
HOLD = asked(Hold("h", "t1", "s1", "anna", "wallet", "anna", FIVE), now_ns=7)


def test_what_follows_takes_over_whose_money_it_is() -> None:
    capture = following(Capture("c", "h", Money(300, "EUR")), HOLD, now_ns=8)
    refund = following(Refund("r", "c", Money(100, "EUR"), "why"), capture, now_ns=9)
    void = following(Void("v", "h"), HOLD, now_ns=8)
    assert [each.kind for each in (capture, refund, void)] == [
        OperationKind.CAPTURE,
        OperationKind.REFUND,
        OperationKind.VOID,
    ]
    assert {each.root_key for each in (HOLD, capture, refund, void)} == {"h"}
    assert (refund.of_key, refund.note, void.amount) == ("c", "why", FIVE)
    assert {each.tenant_id + each.session_id + each.shopper_id for each in (capture, refund, void)} == {"t1s1anna"}


def test_how_far_it_got_is_no_part_of_what_was_asked() -> None:
    later = replace(HOLD, state=OperationState.DONE, attempts=3, touched_ns=99, created_ns=98, provider_ref="pi")
    assert HOLD.asks_the_same(later)


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": Money(501, "EUR")},
        {"amount": Money(500, "USD")},
        {"tenant_id": "t2"},
        {"session_id": "s2"},
        {"shopper_id": "ben"},
        {"provider": "stripe"},
        {"method_id": "ben"},
        {"kind": OperationKind.CHARGE},
        {"debt_key": "o"},
        {"of_key": "x"},
    ],
)
def test_every_part_of_the_request_counts(changed: dict[str, object]) -> None:
    assert not HOLD.asks_the_same(replace(HOLD, **changed))  # type: ignore[arg-type]


def test_an_operation_ends_with_its_final_outcome_alone() -> None:
    done = Authorized("pi", FIVE)
    assert HOLD.end is None
    assert replace(HOLD, state=OperationState.UNKNOWN, outcome=Unknown("?")).end is None
    assert replace(HOLD, state=OperationState.DONE, outcome=done).end == done


def test_a_charge_may_pay_a_debt() -> None:
    charge = asked(Charge("x", "t1", "s1", "anna", "wallet", "anna", FIVE, "o"), now_ns=7)
    assert (charge.kind, charge.debt_key, charge.root_key) == (OperationKind.CHARGE, "o", "x")
