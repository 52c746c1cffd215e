from dataclasses import replace

import numpy as np
import pytest

from fleetsight.serve.load.arrivals import poisson_times
from fleetsight.serve.load.shots import Outcome
from fleetsight.serve.load.virtual import VirtualServer, predicted_knee_hz
from fleetsight.serve.profile import BatchPoint
from tests.serve.test_profile import PROFILE

STEADY = replace(PROFILE, replicas=1, slo_ms=100.0, service=(BatchPoint(1, 10.0, 10.0),))


def test_one_request_takes_its_service_time_and_the_overhead() -> None:
    seen = VirtualServer(STEADY).run(np.array([1.0]), seed=0)
    assert seen.latency_ms.tolist() == pytest.approx([10.5])


def test_what_waits_is_batched_and_nothing_waits_for_a_batch() -> None:
    batching = replace(STEADY, service=(BatchPoint(1, 10.0, 10.0), BatchPoint(4, 16.0, 16.0)))
    seen = VirtualServer(batching, overhead_ms=0.0).run(np.array([0.0, 0.001, 0.002, 0.003]), seed=0)
    assert seen.batch.tolist() == [1, 3, 3, 3]
    assert seen.latency_ms.tolist() == pytest.approx([10.0, 23.0, 22.0, 21.0])


def test_replicas_share_the_work() -> None:
    seen = VirtualServer(replace(STEADY, replicas=2), overhead_ms=0.0).run(np.array([0.0, 0.0, 0.0]), seed=0)
    assert sorted(seen.latency_ms.tolist()) == pytest.approx([10.0, 10.0, 20.0])


def test_what_would_be_late_is_refused_and_the_rest_is_in_time() -> None:
    burst = np.zeros(100)
    seen = VirtualServer(STEADY).run(burst, seed=0)
    answered = seen.outcome == Outcome.ANSWERED
    assert 8 <= np.count_nonzero(answered) <= 10  # 100 ms of 10 ms each
    assert (seen.latency_ms[answered] <= STEADY.slo_ms + 1).all()
    assert np.count_nonzero(seen.outcome == Outcome.REJECTED) == 100 - np.count_nonzero(answered)


def test_a_server_that_refuses_nothing_answers_everything_late() -> None:
    seen = VirtualServer(STEADY, refuses=False).run(np.zeros(100), seed=0)
    assert (seen.outcome == Outcome.ANSWERED).all()
    assert seen.latency_ms.max() == pytest.approx(1000.5)


def test_waits_are_those_of_the_queue_with_steady_service() -> None:
    """M/D/1 at a load of 0.5: the mean wait is rho / (2 (1 - rho)) of a service time (Pollaczek and Khinchine)."""
    arrivals = poisson_times(50.0, 1000.0, seed=5)
    seen = VirtualServer(STEADY, refuses=False, overhead_ms=0.0).run(arrivals, seed=5)
    assert seen.latency_ms.mean() == pytest.approx(15.0, rel=0.03)


def test_the_predicted_knee_lies_below_what_the_replicas_can_do_and_rises_with_them() -> None:
    one = predicted_knee_hz(VirtualServer(STEADY), requests=2000)
    two = predicted_knee_hz(VirtualServer(replace(STEADY, replicas=2)), requests=2000)
    assert 70 < one < 100
    assert 1.9 * one < two < 200
    assert one == predicted_knee_hz(VirtualServer(STEADY), requests=2000)


def test_the_largest_batch_leaves_room_for_the_one_before_it() -> None:
    assert VirtualServer(PROFILE).batch_max == 8
    assert VirtualServer(replace(PROFILE, slo_ms=70.0)).batch_max == 4
    assert VirtualServer(replace(PROFILE, slo_ms=5.0)).batch_max == 1
