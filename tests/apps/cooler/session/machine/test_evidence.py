"""Video comes late, twice, in disorder, or not at all."""

from dataclasses import replace

import pytest

from fleetsight.apps.cooler.session.machine import commands as c
from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.limits import Limits
from fleetsight.apps.cooler.session.machine.session import Segment
from fleetsight.apps.cooler.session.machine.states import Action, Answer, EvidenceState, Flag, ReviewReason, State
from fleetsight.apps.cooler.session.machine.transition import Refusal
from tests.apps.cooler.session.machine import steps
from tests.apps.cooler.session.machine.steps import DAY_S, FILM, HOUR_S


def test_a_manifest_and_its_segments_start_the_analysis_in_any_order() -> None:
    manifest, first, second = e.ManifestReceived("m", FILM), e.SegmentStored(FILM[0]), e.SegmentStored(FILM[1])
    for order in ((manifest, first, second), (second, manifest, first), (first, second, manifest)):
        walk = steps.closed().do(*order)
        assert (walk.state, walk.session.evidence.state) == (State.ANALYZING, EvidenceState.COMPLETE)
        assert len(walk.wanted(c.Analyse)) == 1
        assert all(segment.stored and segment.declared for segment in walk.session.evidence.segments)


def test_video_that_is_complete_before_the_lock_is_analysed_at_the_lock() -> None:
    walk = steps.opened().do(e.ManifestReceived("m", FILM), *(e.SegmentStored(piece) for piece in FILM))
    before = walk.state
    walk.do(e.DoorClosed("boot"), e.DoorLocked("boot"))
    assert (before, walk.state) == (State.OPEN, State.ANALYZING)


@pytest.mark.bad_input(30)
def test_a_missing_camera_keeps_the_session_waiting() -> None:
    other = Segment("side", 0, "f" * 64, 1)
    walk = steps.closed().do(e.ManifestReceived("m", (*FILM, other)), *(e.SegmentStored(piece) for piece in FILM))
    assert (walk.state, walk.session.evidence.state) == (State.WAITING_EVIDENCE, EvidenceState.PARTIAL)
    assert walk.session.evidence.missing == (replace(other, declared=True),)


def test_a_segment_twice_is_one_and_other_bytes_are_a_conflict() -> None:
    walk = steps.waiting().do(e.SegmentStored(FILM[0]))
    assert code(walk.do(e.SegmentStored(FILM[0]))) is Refusal.DUPLICATE
    assert code(walk.do(e.SegmentStored(replace(FILM[0], sha256="f" * 64)))) is Refusal.CONFLICT
    assert walk.state is State.WAITING_EVIDENCE


def test_forged_bytes_send_the_session_to_a_person() -> None:
    for walk in (steps.closed(), steps.waiting(), steps.analyzing()):
        walk.do(e.SegmentConflicted(FILM[0]))
        assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.TAMPER)
    walk = steps.opened().do(e.SegmentConflicted(FILM[0]))
    assert (walk.state, walk.session.flags) == (State.OPEN, (Flag.TAMPER,))
    assert walk.do(e.DoorClosed("boot"), e.DoorLocked("boot")).session.review_reason is ReviewReason.TAMPER


def test_another_manifest_is_forged_and_the_same_one_is_a_repetition() -> None:
    walk = steps.waiting()
    assert code(walk.do(e.ManifestReceived("m", FILM))) is Refusal.DUPLICATE
    walk.do(e.ManifestReceived("other", FILM))
    assert (walk.session.review_reason, walk.session.evidence.manifest) == (ReviewReason.TAMPER, "m")


def test_a_manifest_that_contradicts_a_segment_is_forged() -> None:
    walk = steps.closed().do(e.SegmentStored(FILM[0]))
    walk.do(e.ManifestReceived("m", (replace(FILM[0], sha256="f" * 64),)))
    assert walk.session.review_reason is ReviewReason.TAMPER


def test_a_device_that_recorded_nothing_is_looked_at_by_a_person() -> None:
    walk = steps.closed().do(e.ManifestReceived("m", ()))
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.NO_EVIDENCE)


def test_each_piece_gives_a_device_that_is_online_another_quarter_of_an_hour() -> None:
    walk = steps.waiting().wait(800).do(e.SegmentStored(FILM[0]))
    assert walk.age_s == 900
    walk.after(900)
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.NO_EVIDENCE)
    assert Flag.STOCK_TAKE not in walk.session.flags


def test_a_device_that_brings_nothing_at_all_asks_for_a_stock_take() -> None:
    walk = steps.waiting().after(900)
    assert walk.session.flags == (Flag.STOCK_TAKE,)
    assert walk.told() == {"stock_take", "review"}


def test_a_device_that_is_offline_is_awaited_for_three_days() -> None:
    walk = steps.waiting(ends_s=None)
    begun_ns = walk.now_ns
    while walk.state is State.WAITING_EVIDENCE:
        walk.after(walk.age_s, online=False)
    assert walk.session.review_reason is ReviewReason.NO_EVIDENCE
    assert walk.now_ns - begun_ns == 72 * HOUR_S * steps.SECOND_NS


def test_no_device_is_awaited_into_the_last_day_of_the_hold() -> None:
    walk = steps.waiting(ends_s=3 * DAY_S)
    assert walk.session.payment.capture_before_ns is not None
    while walk.state is State.WAITING_EVIDENCE:
        walk.after(walk.age_s, online=False)
    assert walk.session.payment.capture_before_ns - walk.now_ns == DAY_S * steps.SECOND_NS


def test_a_device_that_comes_back_gets_its_time() -> None:
    walk = steps.waiting().after(900, online=False)
    assert (walk.state, walk.age_s) == (State.WAITING_EVIDENCE, 300)
    walk.after(300, online=True)
    assert (walk.state, walk.age_s) == (State.WAITING_EVIDENCE, 600)
    walk.after(600, online=True)
    assert walk.state is State.REVIEW


def test_video_that_comes_during_the_review_is_analysed_for_the_reviewer_once() -> None:
    walk = steps.waiting().after(900).do(*(e.SegmentStored(piece) for piece in FILM))
    assert (walk.state, len(walk.wanted(c.Analyse))) == (State.REVIEW, 1)
    steps.seen(walk)
    assert (walk.state, walk.session.proposal is not None) == (State.REVIEW, True)
    extra = Segment("top", 9, "9" * 64, 1)
    assert walk.do(e.SegmentStored(extra)).wanted(c.Analyse) == []


@pytest.mark.bad_input(29)
def test_video_after_the_decision_is_kept_and_shown_and_changes_nothing_alone() -> None:
    walk = steps.waiting().after(900).do(steps.decision(Action.RELEASE, (), 0), e.SettlementStarted(1))
    walk.answer(Answer.VOIDED)
    assert walk.state is State.RELEASED
    walk.do(e.SegmentStored(FILM[0]))
    assert (walk.state, walk.told()) == (State.RELEASED, {"late_evidence"})
    assert walk.age_s == 72 * HOUR_S
    walk.do(e.SegmentStored(FILM[1]))
    assert len(walk.wanted(c.Analyse)) == 1
    steps.seen(walk)
    assert (walk.state, walk.session.evidence.state) == (State.RELEASED, EvidenceState.VERIFIED)
    walk.do(e.ContestClosed("op", "seen"))
    assert walk.session.flags == (Flag.STOCK_TAKE,)


@pytest.mark.bad_input(29)
def test_video_of_an_aborted_session_brings_it_back() -> None:
    walk = steps.aborted().do(e.ManifestReceived("m", FILM))
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.LATE)
    assert steps.aborted().do(e.ManifestReceived("m", ())).refused is not None
    assert steps.aborted().do(e.SegmentStored(FILM[0])).state is State.REVIEW


@pytest.mark.parametrize(
    "event", [e.ManifestReceived("m", FILM), e.SegmentStored(FILM[0]), e.SegmentConflicted(FILM[0])]
)
def test_no_video_is_taken_of_a_door_that_was_never_released(event: e.Event) -> None:
    denied = steps.authorizing().answer(Answer.DECLINED)
    for walk in (steps.created(), steps.authorizing(), steps.authorized(), steps.unlocking(), denied):
        assert code(walk.do(event)) is Refusal.NOT_NOW


def test_sizes_are_limited() -> None:
    limits = Limits()
    many = tuple(Segment("top", n, "a" * 64, 1) for n in range(limits.segments + 1))
    assert code(steps.closed().do(e.ManifestReceived("m", many))) is Refusal.LIMIT
    assert steps.closed().do(e.ManifestReceived("m", many[:-1])).state is State.WAITING_EVIDENCE
    large = replace(FILM[0], length=limits.segment_bytes + 1)
    assert code(steps.closed().do(e.SegmentStored(large))) is Refusal.LIMIT
    assert code(steps.closed().do(e.SegmentStored(replace(FILM[0], index=-1)))) is Refusal.LIMIT
    assert steps.closed().do(e.SegmentStored(replace(large, length=limits.segment_bytes))).refused is None
    full = steps.closed().do(e.ManifestReceived("m", many[:-1]))
    assert code(full.do(e.SegmentStored(replace(FILM[0], camera="other")))) is Refusal.LIMIT


def test_video_is_given_up_after_its_time_and_not_taken_again() -> None:
    walk = steps.settled().after(72 * HOUR_S)
    assert walk.wanted(c.DeleteVideo) == ["sid:delete"]
    assert (walk.session.evidence.state, walk.session.due_ns) == (EvidenceState.EXPIRED_DELETED, None)
    assert all(segment.sha256 for segment in walk.session.evidence.segments)
    assert code(walk.do(e.SegmentStored(replace(FILM[0], index=7)))) is Refusal.NOT_NOW


@pytest.mark.parametrize(
    "argument",
    [e.ContestOpened("c", ("cola",), "not_mine"), e.DisputeOpened("d", 500)],
    ids=["contest", "dispute"],
)
@pytest.mark.bad_input(64)
def test_video_is_kept_while_somebody_argues_about_it(argument: e.Event) -> None:
    walk = steps.settled().wait(HOUR_S).do(argument)
    walk.after(80 * HOUR_S)
    assert (walk.session.evidence.state, walk.age_s) == (EvidenceState.VERIFIED, DAY_S)
    walk.do(e.ContestClosed("op", "seen"), e.DisputeClosed("d", won=True)).after(80 * HOUR_S)
    assert walk.session.evidence.state is EvidenceState.EXPIRED_DELETED


def code(walk: steps.Walk) -> Refusal | None:
    return walk.refused.code if walk.refused else None
