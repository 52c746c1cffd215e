"""Buckets fill with time, are bounded in number, and say how long to wait."""

import pytest

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.web.gate import rates
from fleetsight.web.gate.rates import Limiter, Rate, Rates, whole_seconds

RATE = Rate("test", per_s=2.0, burst=4.0)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(10**18)


def test_a_burst_passes_and_then_the_rate_rules(clock: VirtualClock) -> None:
    limiter = Limiter(clock)
    assert [limiter.take(RATE, "a") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert limiter.take(RATE, "b") == 0
    clock.advance(SECOND_NS // 2)
    assert limiter.take(RATE, "a") == 0
    assert limiter.take(RATE, "a") > 0


def test_a_clock_that_goes_backwards_neither_fills_nor_empties(clock: VirtualClock) -> None:
    limiter = Limiter(clock)
    for _ in range(4):
        limiter.take(RATE, "a")
    clock.advance(-3600 * SECOND_NS)
    assert limiter.take(RATE, "a") == 0.5


def test_a_cost_beyond_the_bucket_passes_when_it_is_full(clock: VirtualClock) -> None:
    limiter = Limiter(clock)
    assert limiter.take(RATE, "a", cost=1000) == 0
    assert limiter.take(RATE, "a", cost=1000) == 2.0


def test_the_number_of_buckets_is_bounded(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "BUCKETS_MAX", 10)
    limiter = Limiter(clock)
    for number in range(100):
        limiter.take(RATE, str(number))
    assert len(limiter) == 10


@pytest.mark.parametrize(("wait_s", "header"), [(0.001, 1), (1.0, 1), (1.2, 2), (60, 60)])
def test_waiting_times_are_whole_seconds(wait_s: float, header: int) -> None:
    assert whole_seconds(wait_s) == header


def test_every_limit_has_its_own_name() -> None:
    names = [rate.name for rate in vars(Rates()).values()]
    assert len(set(names)) == len(names)
