"""Shares, comparisons and what they lead to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.serve.queueing.agreement import agreement
from fleetsight.serve.queueing.deployment import Deployment, VariantError
from fleetsight.serve.queueing.request import Answer, Priority, Reason, Refusal, Times
from fleetsight.serve.queueing.split import Split, SplitError
from fleetsight.serve.queueing.trial import Gate, Mode, Trial, TrialError, Verdict
from tests.serve.queueing.drawn import START_NS, a_lane, a_request

BOX = {"label": "cola", "score": 0.9, "box_xyxy_px": [0.0, 0.0, 10.0, 10.0]}
MOVED = BOX | {"box_xyxy_px": [1.0, 0.0, 11.0, 10.0]}
FAR = BOX | {"box_xyxy_px": [50.0, 50.0, 60.0, 60.0]}


@given(share=st.integers(0, 100), start=st.integers(0, 300))
def test_of_any_hundred_in_a_row_each_variant_gets_its_share(share: int, start: int) -> None:
    split = Split({"a": share, "b": 100 - share})
    dealt = [split.deal() for _ in range(start + 100)][start:]
    assert dealt.count("a") == share


@pytest.mark.parametrize("shares", [{}, {"a": 50}, {"a": 150, "b": -50}])
def test_shares_make_a_whole(shares: dict[str, int]) -> None:
    with pytest.raises(SplitError):
        Split(shares)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ({"detections": []}, {"detections": []}, 1.0),
        ({"detections": [BOX]}, {"detections": [MOVED]}, 1.0),
        ({"detections": [BOX]}, {"detections": [FAR]}, 0.0),
        ({"detections": [BOX]}, {"detections": [BOX | {"label": "milk"}]}, 0.0),
        ({"detections": [BOX, FAR]}, {"detections": [MOVED]}, 2 / 3),
        ({"answer": "yes", "p": 0.5}, {"answer": "yes", "p": 0.5001}, 1.0),
        ({"answer": "yes"}, {"answer": "no"}, 0.0),
        ([1, True], [1, 1], 0.0),
        ([1, [2]], [1, [2.0]], 1.0),
    ],
)
def test_answers_agree_as_far_as_their_boxes_meet(one: object, other: object, share: float) -> None:
    assert agreement(one, other) == pytest.approx(share)
    assert agreement(other, one) == pytest.approx(share)


def test_a_candidate_that_disagrees_is_rolled_back_and_gets_nothing_more() -> None:
    trial = Trial("a", "b", mode=Mode.CANARY, gate=Gate(percent=50, agreement_min=0.9, pairs_min=10))
    verdicts = [trial.compared(0.5) for _ in range(10)]
    assert verdicts == [Verdict.RUNNING] * 9 + [Verdict.ROLLED_BACK]
    assert not any(trial.takes_part() for _ in range(10))
    assert trial.compared(1.0) is Verdict.ROLLED_BACK


def test_a_candidate_that_agrees_passes_and_is_watched_on() -> None:
    trial = Trial("a", "b", mode=Mode.SHADOW, gate=Gate(percent=50, agreement_min=0.9, pairs_min=10))
    assert [trial.compared(1.0) for _ in range(10)][-1] is Verdict.PASSED
    assert [trial.compared(0.0) for _ in range(20)][-1] is Verdict.ROLLED_BACK


def test_a_candidate_that_fails_is_rolled_back_without_a_comparison() -> None:
    trial = Trial("a", "b", mode=Mode.CANARY, gate=Gate())
    assert [trial.answered(failed=True) for _ in range(3)][-1] is Verdict.ROLLED_BACK
    assert "3 of 3" in trial.why


@pytest.mark.parametrize("gate", [Gate(percent=0), Gate(agreement_min=0.0), Gate(pairs_min=0), Gate(pairs_min=10**6)])
def test_a_gate_can_be_reached_and_missed(gate: Gate) -> None:
    with pytest.raises(TrialError):
        Trial("a", "b", mode=Mode.CANARY, gate=gate)


def lanes() -> Deployment:
    return Deployment("m", [a_lane("a"), a_lane("b", usd_per_hour=9.0)])


def where(deployment: Deployment, count: int = 10) -> list[tuple[str, str]]:
    """Variant and copy of requests that come and go one by one."""
    found = []
    for _ in range(count):
        request = a_request()
        gone, mirror = deployment.arrive(request, START_NS)
        assert gone == []
        [(seat, moved)], _ = deployment.pull(START_NS)
        assert moved is request
        deployment.ended(seat, request, outcome=Answer(b"1", times=Times(service=20.0)), now_ns=START_NS)
        found.append((request.lane, mirror))
    return found


def test_cost_decides_until_somebody_switches() -> None:
    deployment = lanes()
    assert set(where(deployment)) == {("a", "")}
    deployment.switch("b")
    assert set(where(deployment)) == {("b", "")}
    deployment.set_split({"a": 30, "b": 70})
    assert where(deployment, 100).count(("a", "")) == 30
    deployment.set_split(None)
    assert set(where(deployment)) == {("a", "")}


def test_a_switch_to_nothing_changes_nothing() -> None:
    deployment = lanes()
    with pytest.raises(VariantError):
        deployment.switch("c")
    assert set(where(deployment)) == {("a", "")}


def test_a_canary_answers_its_share_and_is_compared_with_the_old_one() -> None:
    deployment = lanes()
    deployment.try_out(Trial("a", "b", mode=Mode.CANARY, gate=Gate(percent=20)))
    found = where(deployment, 100)
    assert found.count(("b", "a")) == 20
    assert found.count(("a", "")) == 80


def test_a_shadow_answers_nobody() -> None:
    deployment = lanes()
    deployment.try_out(Trial("a", "b", mode=Mode.SHADOW, gate=Gate(percent=20)))
    found = where(deployment, 100)
    assert found.count(("a", "b")) == 20
    assert found.count(("a", "")) == 80


def test_a_copy_is_taken_only_where_it_would_be_in_time() -> None:
    deployment = lanes()
    assert deployment.copy(a_request(priority=Priority.MIRROR), "b", now_ns=START_NS)
    assert not deployment.copy(a_request(priority=Priority.MIRROR, deadline_ms=10), "b", now_ns=START_NS)
    assert not deployment.copy(a_request(priority=Priority.MIRROR), "c", now_ns=START_NS)


def test_a_failed_engine_costs_one_try_elsewhere_and_then_the_answer() -> None:
    deployment = lanes()
    request = a_request()
    deployment.arrive(request, START_NS)
    failure = Refusal(Reason.ENGINE_FAILED, "boom")
    [(seat, _)], _ = deployment.pull(START_NS)
    assert deployment.ended(seat, request, outcome=failure, now_ns=START_NS) is None
    [(other, _)], _ = deployment.pull(START_NS)
    assert (seat.name, other.name) == ("a-0", "b-0")
    assert deployment.ended(other, request, outcome=failure, now_ns=START_NS) is failure
    assert deployment.ended(other, request, outcome=failure, now_ns=START_NS) is None


@pytest.mark.parametrize("is_frame_at_fault", [True, False])
def test_a_backend_is_blamed_when_another_answers_the_same_frame(*, is_frame_at_fault: bool) -> None:
    deployment = lanes()
    failure, answer = Refusal(Reason.ENGINE_FAILED, "boom"), Answer(b"1", times=Times(service=20.0))
    for _ in range(3):
        request = a_request()
        deployment.arrive(request, START_NS)
        [(seat, _)], _ = deployment.pull(START_NS)
        deployment.ended(seat, request, outcome=failure, now_ns=START_NS)
        [(other, _)], _ = deployment.pull(START_NS)
        deployment.ended(other, request, outcome=failure if is_frame_at_fault else answer, now_ns=START_NS)
    assert deployment.lanes["a"].seats["a-0"].is_usable(START_NS) == is_frame_at_fault
    assert deployment.lanes["b"].seats["b-0"].is_usable(START_NS)


def test_a_frame_at_fault_is_not_tried_again() -> None:
    deployment = lanes()
    request = a_request()
    deployment.arrive(request, START_NS)
    [(seat, _)], _ = deployment.pull(START_NS)
    refusal = Refusal(Reason.NOT_AN_IMAGE, "no JPEG")
    assert deployment.ended(seat, request, outcome=refusal, now_ns=START_NS) is refusal


def test_a_caller_that_left_frees_its_place() -> None:
    deployment = lanes()
    waiting, running = a_request(), a_request()
    deployment.arrive(running, START_NS)
    [(seat, _)], _ = deployment.pull(START_NS)
    deployment.arrive(waiting, START_NS)
    assert deployment.forget(waiting) is None
    assert deployment.waiting() == 0
    assert deployment.forget(running) is seat


def test_what_waits_where_nobody_works_moves_on() -> None:
    deployment = lanes()
    for lane in deployment.lanes.values():
        for seat in lane.seats.values():
            seat.running = {number: a_request() for number in range(-2, 0)}
    request = a_request()
    deployment.arrive(request, START_NS)
    assert list(deployment.lanes["a"].line) == [request]
    assert deployment.died(deployment.lanes["a"].seats["a-0"], now_ns=START_NS) == []
    assert deployment.sweep(START_NS) == []
    assert request in list(deployment.lanes["b"].line)
    assert len(deployment.lanes["a"].line) == 0
