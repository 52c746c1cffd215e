"""The comparison by itself: pairs are found by key, else by the provider's name."""

import json
from dataclasses import replace

import pytest

from fleetsight.billing.exactly_once.judge import QUIET_NS
from fleetsight.billing.ledger import Kind, Ledger
from fleetsight.billing.operations import Hold, Operation, OperationState, asked
from fleetsight.billing.provider import Authorized, Declined, Intent, IntentState
from fleetsight.billing.reconciliation.compare import (
    AskPerson,
    Difference,
    DifferenceKind,
    Observe,
    Ours,
    Perform,
    Proposal,
    Release,
    reconcile,
)
from fleetsight.billing.sales import Fact, entry_of
from fleetsight.money import Money

NOW_NS = 10**18
FIVE = Money(500, "EUR")
ASKED = asked(Hold("h", "t1", "s1", "anna", "p", "m", FIVE), now_ns=NOW_NS - QUIET_NS)
DONE = replace(ASKED, state=OperationState.DONE, provider_ref="pi", outcome=Authorized("pi", FIVE))
BOOKED = Ledger.replay([entry_of(Fact("h", Kind.HOLD, "s1", "anna", "p", FIVE, 0))])
SHOWN = Intent("pi", "h", "t1", "s1", IntentState.HELD, FIVE, Money(0, "EUR"), (), None, 0)


def ours(root: Operation = DONE, ledger: Ledger = BOOKED) -> Ours:
    return Ours(root, (), ledger)


def test_a_pair_is_found_by_key_or_by_name() -> None:
    for intent in (SHOWN, replace(SHOWN, key="")):
        assert reconcile([ours()], [intent], now_ns=NOW_NS).matched == 1
    renamed = replace(SHOWN, key="", ref="pi_2")
    kinds = {difference.kind for difference in reconcile([ours()], [renamed], now_ns=NOW_NS).differences}
    assert kinds == {DifferenceKind.MISSING_HERE, DifferenceKind.MISSING_THERE}


def test_a_pair_that_changed_a_moment_ago_is_not_judged() -> None:
    report = reconcile([ours()], [replace(SHOWN, state=IntentState.VOIDED)], now_ns=NOW_NS - 1)
    assert (report.moving, report.differences) == (1, ())


def test_a_hold_that_never_came_to_be_and_is_nowhere_agrees() -> None:
    failed = replace(ASKED, state=OperationState.FAILED, outcome=Declined("no"))
    assert reconcile([ours(failed, Ledger())], [], now_ns=NOW_NS).matched == 1


@pytest.mark.parametrize("state", [IntentState.DECLINED, IntentState.VOIDED, IntentState.EXPIRED, IntentState.PENDING])
def test_a_foreign_intent_without_money_is_no_difference(state: IntentState) -> None:
    assert reconcile([], [replace(SHOWN, state=state)], now_ns=NOW_NS).differences == ()


@pytest.mark.parametrize(
    ("proposal", "told"),
    [
        (Perform("k"), {"kind": "perform", "key": "k"}),
        (Observe("pi"), {"kind": "observe", "key": "pi"}),
        (Release("release:pi", "pi"), {"kind": "release", "key": "release:pi"}),
        (AskPerson("k", "which?"), {"kind": "askperson", "key": "k", "question": "which?"}),
    ],
)
def test_a_difference_is_told_as_json(proposal: Proposal, told: dict[str, str]) -> None:
    difference = Difference(DifferenceKind.FROZEN, "t1", "s1", "this", "that", "why", proposal)
    assert json.loads(json.dumps(difference.as_json())) == {
        "kind": "frozen",
        "tenant_id": "t1",
        "session_id": "s1",
        "ours": "this",
        "theirs": "that",
        "explanation": "why",
        "proposal": told,
    }
