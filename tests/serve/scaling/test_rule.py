from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.serve.scaling.rule import ScalingError, ScalingRule, ScalingState, decide

RULE = ScalingRule()


def lived(rates: Iterable[float], *, start_hz: float = 100.0, rule: ScalingRule = RULE) -> list[float]:
    """The capacity that is wanted after each second."""
    state, wanted = ScalingState(start_hz), []
    for second, rate in enumerate(rates):
        state = decide(state, rule, now_s=float(second), rate_hz=rate)
        wanted.append(state.wanted_hz)
    return wanted


def test_a_step_to_three_times_the_rate_is_answered_within_three_seconds() -> None:
    wanted = lived([70.0] * 60 + [210.0] * 60)
    assert wanted[59] == 100.0
    assert wanted[62] == pytest.approx(300.0)
    assert set(wanted[62:]) == {wanted[62]}


def test_a_single_spike_moves_nothing() -> None:
    assert set(lived([70.0] * 30 + [500.0] + [70.0] * 30)) == {100.0}


def test_capacity_is_given_back_when_the_peak_is_forgotten_and_not_before() -> None:
    wanted = lived([70.0] * 10 + [210.0] * 20 + [70.0] * 1200)
    assert wanted[29 + 500] == pytest.approx(300.0)
    assert wanted[-1] == pytest.approx(100.0)
    assert len(set(wanted)) == 2 + (wanted[0] != 100.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(20.0, 5000.0))
def test_a_steady_poisson_rate_never_oscillates(seed: int, rate_hz: float) -> None:
    rates = np.random.default_rng(seed).poisson(rate_hz, 1500)
    wanted = np.array(lived(rates.tolist(), start_hz=rate_hz / 0.7))
    turns = np.diff(wanted)[np.diff(wanted) != 0]
    assert not (np.diff(np.sign(turns)) != 0).any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1e6), min_size=3, max_size=60))
def test_two_of_three_samples_are_always_carried(rates: list[float]) -> None:
    wanted = lived(rates)
    for at in range(2, len(rates)):
        assert sorted(rates[at - 2 : at + 1])[1] <= wanted[at] * (1 + 1e-9)


def test_capacity_stays_between_its_limits() -> None:
    rule = ScalingRule(min_hz=50.0, max_hz=400.0)
    assert max(lived([1000.0] * 10, rule=rule)) == 400.0
    assert min(lived([0.0] * 2000, rule=rule)) == 50.0


@pytest.mark.parametrize(
    "values", [{"target_share": 0.9}, {"up_samples": 0}, {"bucket_s": 0.0}, {"min_hz": 2.0, "max_hz": 1.0}]
)
def test_a_rule_that_contradicts_itself_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ScalingError, match="a scaling rule needs"):
        ScalingRule(**values)  # type: ignore[arg-type]
