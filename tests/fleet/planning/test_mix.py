from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.fleet.planning.mix import cheapest_mix, only_mix
from fleetsight.fleet.planning.offers import Offer, PlanError
from tests.fleet.planning.offered import CPU, GPU, SPOT, offer

OFFERS = st.lists(
    st.builds(
        offer,
        st.sampled_from(["c7i.xlarge", "g5.xlarge", "inf2.xlarge"]),
        st.floats(0.05, 5.0).map(lambda usd: round(usd, 4)),
        st.floats(5.0, 200.0).map(lambda hz: round(hz, 2)),
    ),
    min_size=1,
    max_size=3,
)


def cheapest_by_trying(offers: list[Offer], rate_hz: float) -> float:
    """The cheapest price, by trying every mix."""
    ranges = [range(int(rate_hz / (one.knee_hz * 0.7)) + 2) for one in offers]
    prices = []
    for counts in product(*ranges):
        carried = sum(count * one.knee_hz * 0.7 for count, one in zip(counts, offers, strict=True))
        if carried >= rate_hz * (1 - 1e-9):
            prices.append(sum(count * one.usd_per_hour for count, one in zip(counts, offers, strict=True)))
    return min(prices)


@settings(max_examples=40, deadline=None)
@given(OFFERS, st.floats(1.0, 120.0))
def test_the_mix_is_the_cheapest_of_all_that_carry_the_rate(offers: list[Offer], rate_hz: float) -> None:
    mix = cheapest_mix(offers, rate_hz)
    assert mix.knee_hz * 0.7 >= rate_hz * (1 - 1e-6)
    assert mix.usd_per_hour == pytest.approx(cheapest_by_trying(offers, rate_hz), rel=1e-5)


def test_a_small_rest_is_carried_by_a_small_instance() -> None:
    mix = cheapest_mix([CPU, GPU], 850.0, headroom=0.0)
    assert [(part.offer.instance, part.count) for part in mix.parts] == [("g5.xlarge", 1), ("c7i.xlarge", 1)]
    assert mix.usd_per_hour == pytest.approx(1.2)
    assert mix.knee_hz == 900.0
    assert mix.predicted_hz == pytest.approx(918.0)
    assert mix.prediction_error == pytest.approx(0.02)


def test_headroom_rents_more() -> None:
    assert cheapest_mix([SPOT], 800.0, headroom=0.0).parts[0].count == 2
    assert cheapest_mix([SPOT], 800.0, headroom=0.3).parts[0].count == 3
    assert only_mix(SPOT, 800.0, headroom=0.3) == cheapest_mix([SPOT], 800.0, headroom=0.3)


def test_a_fleet_of_a_million_cameras_is_solved_too() -> None:
    mix = cheapest_mix([CPU, GPU, SPOT], 1e7)
    assert mix.knee_hz * 0.7 >= 1e7 * (1 - 1e-6)
    assert mix.usd_per_hour == pytest.approx(1e7 / 0.7 / 400 * 0.1, rel=1e-3)


def test_nothing_carries_nothing_and_nothing_offered_is_an_error() -> None:
    assert cheapest_mix([CPU], 0.0).parts == ()
    with pytest.raises(PlanError, match="nothing that can be rented"):
        cheapest_mix([], 10.0)
    with pytest.raises(PlanError, match="headroom of 1"):
        cheapest_mix([CPU], 10.0, headroom=1.0)
    with pytest.raises(PlanError, match="more than"):
        cheapest_mix([CPU], 1e12)
