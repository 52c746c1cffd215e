"""Counts carry what is wanted, where the traffic goes, and do not tremble."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.serve.scaling.rule import ScalingRule
from fleetsight.serve.scaling.spread import Elastic, Steering, spread

CPU = Elastic("cpu", 50.0, 0.17, least=1, most=6)
GPU = Elastic("gpu", 400.0, 1.0, least=0, most=2)
HOLD_S = ScalingRule().down_s + 2 * ScalingRule().bucket_s


def lived(rates: list[float], *variants: Elastic, shares: dict[str, int] | None = None) -> list[dict[str, int]]:
    """Counts after each second."""
    steering = Steering(ScalingRule())
    return [steering.step(variants, now_s=float(at), rate_hz=rate, shares=shares) for at, rate in enumerate(rates)]


def turns(counts: list[int]) -> int:
    """Changes of direction."""
    moves = [after - before for before, after in itertools.pairwise(counts) if after != before]
    return sum(1 for one, other in itertools.pairwise(moves) if (one > 0) != (other > 0))


def test_the_cheapest_frames_are_bought_first() -> None:
    assert spread([CPU, GPU], 300.0, shares=None) == {"cpu": 1, "gpu": 1}  # 0.0025 and 0.0034 dollars for each Hz
    assert spread([CPU, GPU], 1000.0, shares=None) == {"cpu": 4, "gpu": 2}
    assert spread([CPU, GPU], 1e6, shares=None) == {"cpu": 6, "gpu": 2}
    assert spread([CPU, GPU], 0.0, shares=None) == {"cpu": 1, "gpu": 0}


def test_a_split_is_carried_by_those_it_names() -> None:
    assert spread([CPU, GPU], 300.0, shares={"cpu": 100}) == {"cpu": 6, "gpu": 0}
    assert spread([CPU, GPU], 300.0, shares={"cpu": 50, "gpu": 50}) == {"cpu": 3, "gpu": 1}
    assert spread([CPU, GPU], 500.0, shares={"cpu": 100}) == {"cpu": 6, "gpu": 1}  # what it cannot carry goes elsewhere


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 3000.0), st.integers(0, 100))
def test_what_is_wanted_is_carried_or_everything_runs(wanted_hz: float, percent: int) -> None:
    counts = spread([CPU, GPU], wanted_hz, shares={"cpu": percent, "gpu": 100 - percent})
    carried_hz = sum(one.hz * counts[one.variant] for one in (CPU, GPU))
    assert carried_hz >= wanted_hz * (1 - 1e-9) or counts == {"cpu": 6, "gpu": 2}
    assert all(one.least <= counts[one.variant] <= one.most for one in (CPU, GPU))


def test_a_step_is_answered_within_three_seconds() -> None:
    counts = [one["cpu"] for one in lived([30.0] * 60 + [90.0] * 60, CPU)]
    assert counts[59] == 1
    assert counts[62] == counts[-1] == 3  # 90 Hz at seven tenths of the knee


def test_replicas_go_when_the_peak_is_forgotten_and_not_before() -> None:
    after_s = int(HOLD_S) + 5
    counts = [one["cpu"] for one in lived([30.0] * 60 + [90.0] * 30 + [30.0] * after_s, CPU)]
    assert counts[89 + int(ScalingRule().down_s) - 5] == 3
    assert counts[-1] == 1
    assert turns(counts) == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(10.0, 200.0), st.floats(1.0, 4.0))
def test_a_step_of_a_poisson_rate_never_oscillates(seed: int, rate_hz: float, factor: float) -> None:
    rng = np.random.default_rng(seed)
    rates = [*rng.poisson(rate_hz, 60), *rng.poisson(rate_hz * factor, int(HOLD_S))]
    counts = [one["cpu"] for one in lived([float(rate) for rate in rates], CPU)]
    assert turns(counts[:360]) == 0  # within five minutes of the step
    assert turns(counts) <= 1


def test_traffic_that_is_moved_away_and_back_finds_what_it_left() -> None:
    steering = Steering(ScalingRule())
    found = []
    for second in range(200):
        shares = {"cpu": 100} if second < 60 or 80 <= second < 90 else {"gpu": 100}
        found.append(steering.step([CPU, GPU], now_s=float(second), rate_hz=150.0, shares=shares)["cpu"])
    assert found[59] == found[85] == found[140] == 5
    assert found[199] == 1


@pytest.mark.parametrize("rate_hz", [0.0, 1e9])
def test_counts_stay_between_their_limits(rate_hz: float) -> None:
    assert lived([rate_hz] * 10, CPU)[-1] == {"cpu": 6 if rate_hz else 1}
