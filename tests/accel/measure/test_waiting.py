"""Waiting in one lane: the loop, its simulation, arrivals and the search for the largest load."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.accel.measure.latency import MeasureError
from fleetsight.accel.measure.waiting import (
    SteadyTicker,
    camera_arrivals,
    largest,
    poisson_arrivals,
    serve_in_turn,
    simulated,
)


def test_a_request_waits_for_those_before_it() -> None:
    assert simulated([0.0, 0.0, 0.0, 10.0], [1.0], batch=1) == [1.0, 2.0, 3.0, 1.0]


def test_a_batch_takes_what_waits_and_never_waits_to_be_full() -> None:
    assert simulated([0.0, 0.5, 0.6, 0.7], [1.0], batch=2) == pytest.approx([1.0, 1.5, 1.4, 2.3])
    assert simulated([0.0, 0.5, 0.6, 0.7], [1.0], batch=8) == pytest.approx([1.0, 1.5, 1.4, 1.3])


def test_service_times_are_taken_in_turn() -> None:
    assert simulated([0.0, 10.0, 20.0], [1.0, 2.0], batch=1) == [1.0, 2.0, 1.0]


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_mean_waiting_is_that_of_queueing_theory(load: float) -> None:
    """M/D/1 (Pollaczek-Khinchine): load / (2 * (1 - load)) service times of waiting on average."""
    arrivals = poisson_arrivals(load, 200_000, seed=3)
    waited = statistics.fmean(simulated(arrivals, [1.0], batch=1)) - 1.0
    assert waited == pytest.approx(load / (2 * (1 - load)), rel=0.05)


def test_poisson_arrivals_come_at_their_rate_and_depend_on_the_seed_alone() -> None:
    arrivals = poisson_arrivals(50.0, 20_000, seed=1)
    assert arrivals == sorted(arrivals)
    assert len(arrivals) / arrivals[-1] == pytest.approx(50.0, rel=0.03)
    assert arrivals == poisson_arrivals(50.0, 20_000, seed=1) != poisson_arrivals(50.0, 20_000, seed=2)


@given(cameras=st.integers(1, 40), rate=st.floats(0.5, 30), seconds=st.floats(0.1, 5))
def test_cameras_keep_their_beat(cameras: int, rate: float, seconds: float) -> None:
    arrivals = camera_arrivals(cameras, rate, seconds=seconds, seed=0)
    assert len(arrivals) == cameras * max(1, round(seconds * rate))
    assert arrivals == sorted(arrivals)
    assert arrivals[0] < 1.0 / rate


@given(limit=st.integers(0, 50), most=st.integers(0, 50))
def test_the_search_finds_the_largest_that_fits(limit: int, most: int) -> None:
    tried = []

    def fits(number: int) -> bool:
        tried.append(number)
        return number <= limit

    assert largest(fits, most=most) == min(limit, most)
    assert all(1 <= number <= most for number in tried)


def test_the_real_ticker_waits_and_measures() -> None:
    ticker = SteadyTicker()
    began = ticker.now_s()
    waited = serve_in_turn([0.0, 0.01], lambda: None, batch=1, ticker=ticker)
    assert ticker.now_s() - began >= 0.01
    assert all(second >= 0.0 for second in waited)


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(MeasureError):
        simulated([0.0], [], batch=1)
    with pytest.raises(MeasureError):
        simulated([0.0], [1.0], batch=0)
