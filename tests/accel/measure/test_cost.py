"""Dollars per million frames, and whole machines for a fleet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.accel.measure.cost import (
    Load,
    Offer,
    cameras_to_break_even,
    fleet_cost,
    needed_ratio,
    saving,
)
from fleetsight.accel.measure.prices import PriceError

V100 = Offer("p3.2xlarge", 3.06, 24.0)
INF2 = Offer("inf2.xlarge", 0.7582, 120.0)
SMALL = Offer("c7i.xlarge", 0.1785, 60.6)

money = st.floats(0.05, 20.0)
rates = st.floats(5.0, 2000.0)


def test_the_published_saving_is_recomputed() -> None:
    assert V100.usd_per_million == pytest.approx(35.42, abs=0.005)
    assert INF2.usd_per_million == pytest.approx(1.755, abs=0.0005)
    assert saving(V100, INF2) == pytest.approx(0.9504, abs=5e-5)


@given(now=money, then=money, wanted=st.floats(-1.0, 0.99), rate=rates)
def test_at_the_needed_ratio_the_saving_is_the_wanted_one(now: float, then: float, wanted: float, rate: float) -> None:
    ratio = needed_ratio(now, then, wanted=wanted)
    assert saving(Offer("a", now, rate), Offer("b", then, rate * ratio)) == pytest.approx(wanted, abs=1e-9)


def test_no_speed_saves_everything() -> None:
    with pytest.raises(PriceError):
        needed_ratio(1.0, 1.0, wanted=1.0)


def test_break_even_of_a_small_processor_against_larger_chips() -> None:
    assert 60.6 * needed_ratio(0.1785, 0.7582, wanted=0.0) == pytest.approx(257, abs=0.5)
    assert 60.6 * needed_ratio(0.1785, 0.526, wanted=0.0) == pytest.approx(179, abs=0.5)


def test_a_few_cameras_are_cheapest_on_the_smallest_machine_hour() -> None:
    few = Load(cameras=10, rate_hz=5.0, duty=0.1)
    assert fleet_cost(SMALL, few).usd_per_million < fleet_cost(INF2, few).usd_per_million
    assert INF2.usd_per_million > SMALL.usd_per_million  # at 120 frames/s; with 600 it turns, but only for many cameras
    fast = Offer("inf2.xlarge", 0.7582, 600.0)
    assert fast.usd_per_million < SMALL.usd_per_million
    assert fleet_cost(SMALL, few).usd_per_hour < fleet_cost(fast, few).usd_per_hour


def test_machines_are_whole_and_sized_for_all_cameras_at_once() -> None:
    cost = fleet_cost(Offer("m", 1.0, 60.0), Load(cameras=13, rate_hz=5.0, duty=0.5))
    assert (cost.machines, cost.usd_per_hour) == (2, 2.0)
    assert cost.utilisation == pytest.approx(32.5 / 120)
    assert fleet_cost(Offer("m", 1.0, 60.0), Load(cameras=12, rate_hz=5.0)).machines == 1
    assert fleet_cost(Offer("m", 1.0, 60.0, 0.5), Load(cameras=12, rate_hz=5.0)).machines == 2


@given(
    small=st.builds(Offer, st.just("small"), money, rates),
    large=st.builds(Offer, st.just("large"), money, rates),
    rate_hz=st.floats(0.5, 30.0),
    more=st.integers(0, 300),
)
def test_from_break_even_on_the_larger_machine_stays_the_cheaper_one(
    small: Offer, large: Offer, rate_hz: float, more: int
) -> None:
    cameras = cameras_to_break_even(small, large, rate_hz=rate_hz)
    if cameras is None:
        gain = (small.usd_per_million - large.usd_per_million) * rate_hz * 3600
        assert gain <= 1.01 * large.usd_per_hour  # nothing to gain, or not before a million cameras
        return

    def dearer(count: int) -> bool:
        load = Load(count, rate_hz)
        return fleet_cost(large, load).usd_per_hour >= fleet_cost(small, load).usd_per_hour

    assert not dearer(cameras + more)
    assert cameras == 1 or dearer(cameras - 1)


@pytest.mark.parametrize(
    ("cameras", "rate_hz", "duty"), [(0, 5, 1), (10**7, 5, 1), (1, 0, 1), (1, float("inf"), 1), (1, 5, 0), (1, 5, 1.5)]
)
def test_loads_that_make_no_sense_are_refused(cameras: int, rate_hz: float, duty: float) -> None:
    with pytest.raises(PriceError):
        Load(cameras, rate_hz, duty)


def test_a_machine_that_costs_nothing_or_does_nothing_is_refused() -> None:
    for usd, rate in ((0.0, 1.0), (1.0, 0.0), (float("inf"), 1.0)):
        with pytest.raises(PriceError):
            Offer("x", usd, rate)
