"""What a batch will take, and how far that is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.serve.queueing.budget import RetryBudget
from fleetsight.serve.queueing.forecast import Forecast, curve_of


def test_a_curve_passes_through_its_points() -> None:
    curve = curve_of({1: 10.0, 4: 16.0, 8: 32.0})
    assert [curve(batch) for batch in (1, 2, 4, 6, 8, 12)] == [10.0, 12.0, 16.0, 24.0, 32.0, 48.0]
    assert curve_of({2: 10.0})(6) == 30.0


@given(points=st.dictionaries(st.integers(1, 64), st.floats(0.1, 1e4), min_size=1), batch=st.integers(1, 200))
def test_no_batch_takes_no_time(points: dict[int, float], batch: int) -> None:
    assert curve_of(points)(batch) > 0


def test_a_slower_chip_is_learned_and_promises_stay_careful() -> None:
    forecast = Forecast(curve_of({1: 10.0}))
    assert forecast.safe_ms(1) == forecast.service_ms(1) == 10.0
    forecast.observe(1, 20.0)
    assert 10.0 < forecast.service_ms(1) < forecast.safe_ms(1)
    for _ in range(100):
        forecast.observe(1, 20.0)
    assert forecast.service_ms(1) == pytest.approx(20.0, rel=0.01)
    assert forecast.safe_ms(1) == pytest.approx(20.0, rel=0.02)


def test_one_absurd_observation_is_bounded() -> None:
    forecast = Forecast(curve_of({1: 10.0}))
    forecast.observe(1, 1e12)
    assert forecast.service_ms(1) <= 10.0 * (1 + 9 / 8)


@given(steps=st.lists(st.booleans(), max_size=300))
def test_retries_stay_a_tenth_of_what_was_asked(steps: list[bool]) -> None:
    budget, asked, spent = RetryBudget(saved=0.0), 0, 0
    for is_retry in steps:
        if is_retry:
            spent += budget.spend()
        else:
            budget.asked()
            asked += 1
    assert spent <= 0.1 * asked + 1e-6
