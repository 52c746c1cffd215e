"""Runs of the analysis: counted, limited, and believed only when nothing speaks against it."""

import pytest

from fleetsight.apps.cooler.session.machine import commands as c
from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.states import (
    Action,
    Answer,
    EvidenceState,
    Flag,
    ReviewReason,
    State,
    Verdict,
)
from tests.apps.cooler.session.machine import steps
from tests.apps.cooler.session.machine.steps import COLA


def test_a_run_is_named_after_all_that_it_follows_from() -> None:
    first, same = steps.analyzing().session, steps.analyzing().session
    assert first.run_id == same.run_id
    assert len(first.run_id) == 32
    other = steps.closed().do(e.ManifestReceived("other", steps.FILM))
    other.do(*(e.SegmentStored(piece) for piece in steps.FILM))
    assert other.session.run_id != first.run_id


def test_a_run_that_began_has_five_minutes_and_a_grace() -> None:
    walk = steps.analyzing()
    walk.do(e.AnalysisStarted(walk.session.run_id))
    assert walk.age_s == 330
    walk.after(330)
    assert (walk.state, len(walk.wanted(c.Analyse)), walk.age_s) == (State.ANALYZING, 1, 3600)


def test_three_runs_that_bring_nothing_are_a_review() -> None:
    walk = steps.analyzing()
    asked = {*walk.wanted(c.Analyse)}
    for _ in range(2):
        walk.do(e.AnalysisStarted(walk.session.run_id), failed(walk))
        asked |= {*walk.wanted(c.Analyse)}
        assert walk.state is State.ANALYZING
    assert len(asked) == 3
    walk.do(e.AnalysisStarted(walk.session.run_id), failed(walk))
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.PIPELINE)
    assert walk.wanted(c.Analyse) == []


def test_workers_that_die_at_work_are_counted_by_their_beginning() -> None:
    walk = steps.analyzing()
    for number in range(1, 4):
        walk.do(e.AnalysisStarted(walk.session.run_id))
        assert walk.session.analysis_runs == number
    walk.do(e.AnalysisStarted(walk.session.run_id))
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.PIPELINE)
    assert walk.session.analysis_runs == 3
    assert walk.do(e.AnalysisStarted(walk.session.run_id)).refused is not None


def test_three_runs_out_of_time_are_a_review() -> None:
    walk = steps.analyzing()
    for _ in range(3):
        walk.do(e.AnalysisStarted(walk.session.run_id)).after(330)
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.PIPELINE)


def test_a_queue_that_is_long_is_no_failure() -> None:
    walk = steps.analyzing()
    for _ in range(5):
        walk.after(3600)
    assert (walk.state, walk.session.analysis_runs) == (State.ANALYZING, 0)


def test_a_clip_at_fault_is_not_tried_again() -> None:
    walk = steps.analyzing()
    walk.do(e.AnalysisStarted(walk.session.run_id), failed(walk, unusable=True))
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.UNUSABLE)
    assert walk.session.evidence.state is EvidenceState.UNUSABLE


def test_a_failed_proposal_for_a_reviewer_is_tried_again_and_stays_a_review() -> None:
    walk = steps.waiting().after(900).do(*(e.SegmentStored(piece) for piece in steps.FILM))
    for number in range(3):
        walk.do(e.AnalysisStarted(walk.session.run_id), failed(walk))
        assert (walk.state, len(walk.wanted(c.Analyse))) == (State.REVIEW, int(number < 2))
    assert walk.do(e.AnalysisStarted(walk.session.run_id)).refused is not None


@pytest.mark.parametrize("event", [e.AnalysisStarted("other"), e.AnalysisFailed("other", unusable=True, reason="x")])
def test_another_run_than_the_wanted_one_changes_nothing(event: e.Event) -> None:
    walk = steps.analyzing()
    before = walk.session
    assert walk.do(event).refused is not None
    assert walk.session == before


def test_a_result_counts_once() -> None:
    walk = steps.reviewed()
    done = e.Analysed(walk.session.run_id, Verdict.CHARGE, (), 0, (), 0, 1.0, "again")
    assert walk.do(done).refused is not None
    assert walk.do(failed(walk)).refused is not None
    assert walk.session.proposal is not None
    assert walk.session.proposal.basket == COLA


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (e.DoorOpened("boot"), ReviewReason.SENSORS),
        (e.DoorForced("boot"), ReviewReason.SENSORS),
        (e.DoorClosed("another"), ReviewReason.SENSORS),
        (e.IntrusionSeen("boot"), ReviewReason.SENSORS),
    ],
    ids=["opened again", "forced", "rebooted", "intrusion"],
)
def test_a_door_that_cannot_be_believed_is_looked_at(before: e.Event, reason: ReviewReason) -> None:
    walk = steps.seen(steps.analyzing().do(before))
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, reason)


def test_a_camera_that_fell_silent_is_looked_at() -> None:
    walk = steps.opened().do(e.CameraChanged("boot", alive=False), e.DoorClosed("boot"), e.DoorLocked("boot"))
    walk.do(e.ManifestReceived("m", steps.FILM), *(e.SegmentStored(piece) for piece in steps.FILM))
    assert steps.seen(walk).session.review_reason is ReviewReason.UNUSABLE


def test_doubt_price_and_cap_are_looked_at() -> None:
    assert steps.reviewed().session.review_reason is ReviewReason.DOUBT
    assert steps.seen(steps.analyzing(), total=None).session.review_reason is ReviewReason.NO_PRICE
    assert steps.seen(steps.analyzing(), total=3001).session.review_reason is ReviewReason.OVER_CAP
    assert steps.seen(steps.analyzing(), total=3000).state is State.DECIDED


def test_a_little_that_is_missing_is_noted_and_much_is_looked_at() -> None:
    salvaged = steps.seen(steps.analyzing(), share=0.95)
    assert (salvaged.state, salvaged.session.flags) == (State.DECIDED, (Flag.SALVAGED,))
    assert steps.seen(steps.analyzing(), share=0.949).session.review_reason is ReviewReason.UNUSABLE
    assert steps.seen(steps.analyzing()).session.flags == ()


@pytest.mark.parametrize("confidence", [float("nan"), float("inf"), -0.1, 1.1])
def test_a_confidence_is_a_probability(confidence: float) -> None:
    walk = steps.analyzing()
    done = e.Analysed(walk.session.run_id, Verdict.CHARGE, COLA, 500, COLA, 500, confidence, "seen")
    assert walk.do(done).refused is not None
    assert walk.state is State.ANALYZING


@pytest.mark.parametrize("basket", [(("cola", -1),), (("b", 1), ("a", 1)), (("cola", 100),)])
def test_a_basket_that_cannot_be_is_refused(basket: tuple[tuple[str, int], ...]) -> None:
    walk = steps.analyzing()
    for all_lines, sure in ((basket, ()), (COLA, basket)):
        done = e.Analysed(walk.session.run_id, Verdict.CHARGE, all_lines, 500, sure, 0, 0.9, "seen")
        assert walk.do(done).refused is not None


def test_nothing_is_learned_of_video_that_was_deleted() -> None:
    walk = steps.waiting().after(900).do(steps.decision(Action.RELEASE, (), 0), e.SettlementStarted(1))
    walk.answer(Answer.VOIDED).do(*(e.SegmentStored(piece) for piece in steps.FILM))
    run_id = walk.session.run_id
    walk.after(walk.age_s)
    assert walk.session.evidence.state is EvidenceState.EXPIRED_DELETED
    assert walk.do(e.AnalysisStarted(run_id)).refused is not None


def failed(walk: steps.Walk, *, unusable: bool = False) -> e.AnalysisFailed:
    return e.AnalysisFailed(walk.session.run_id, unusable=unusable, reason="x")
