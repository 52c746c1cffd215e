"""Every state that code can reach has words that people understand."""

import pytest

from fleetsight.apps.cooler.session.machine.states import (
    DoorState,
    EvidenceState,
    Flag,
    PaymentState,
    ReviewReason,
    State,
    Verdict,
)
from fleetsight.apps.cooler.session.queries import Filter
from fleetsight.apps.cooler.session.review import CONTEST_REASONS, REASON_CODES
from fleetsight.billing.operations import OperationKind, OperationState
from fleetsight.web.pages.contexts import Stage
from fleetsight.web.pages.desk_contexts import CORRECT_CODES, REFUND_CODES, SESSION_FILTERS, WAIVE_CODES
from fleetsight.web.pages.words import (
    CODES,
    DECISIONS,
    FILTERS,
    FLAGS,
    OPERATIONS,
    PURCHASES,
    REASONS,
    SESSION_STATES,
    STAGES,
    SUB_STATES,
    WHY,
    plain,
    text,
    word,
)

TONES = {"calm", "busy", "good", "wait", "bad"}


def test_every_state_of_a_session_has_words() -> None:
    assert set(State) <= set(SESSION_STATES)
    assert {said.tone for said in (*SESSION_STATES.values(), *SUB_STATES.values())} <= TONES


@pytest.mark.parametrize("states", [DoorState, EvidenceState, PaymentState])
def test_every_state_of_door_evidence_and_payment_has_words(
    states: type[DoorState | EvidenceState | PaymentState],
) -> None:
    assert set(states) <= set(SUB_STATES) | set(SESSION_STATES)


def test_every_stage_reason_and_decision_has_words() -> None:
    assert set(Stage) == set(STAGES) == set(PURCHASES)
    assert set(CONTEST_REASONS) == set(REASONS)
    assert set(REASON_CODES) == set(CODES)
    assert {*CORRECT_CODES, *WAIVE_CODES, *REFUND_CODES} <= set(REASON_CODES)
    assert set(SESSION_FILTERS) == set(FILTERS) == set(Filter)
    assert set(ReviewReason) < set(WHY)
    assert set(Flag) == set(FLAGS)
    assert set(OperationKind) <= set(OPERATIONS)
    assert set(OperationState) <= set(SUB_STATES)
    assert set(Verdict) <= set(DECISIONS)


def test_a_name_without_words_reads_as_it_is() -> None:
    assert word("session", "SOME_NEW_STATE").text == "some new state"
    assert text("code", "brand_new") == "brand new"
    assert plain("held_open") == "held open"
