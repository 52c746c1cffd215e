import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.serve.load.shots import LoadError, Outcome, Shots, joined, percentile


def shots(scheduled_s: list[float], latency_ms: list[float] | None = None, outcome: list[int] | None = None) -> Shots:
    count = len(scheduled_s)
    return Shots(
        scheduled_s=np.array(scheduled_s, dtype=np.float64),
        latency_ms=np.array(latency_ms if latency_ms is not None else [1.0] * count, dtype=np.float64),
        outcome=np.array(outcome if outcome is not None else [0] * count, dtype=np.uint8),
        lag_ms=np.zeros(count),
        batch=np.zeros(count, dtype=np.int32),
        service_ms=np.full(count, np.nan),
        cpu_s=0.5,
        wall_s=2.0,
    )


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (75, 3.0), (76, 4.0), (99, 4.0), (100, 4.0), (0.1, 1.0)])
def test_a_percentile_is_the_nearest_rank(percent: float, value: float) -> None:
    assert percentile(np.array([4.0, 1.0, 3.0, 2.0]), percent) == value


def test_a_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile(np.array([]), 50))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.floats(0.5, 100))
def test_a_percentile_occurred_and_enough_lie_at_or_below_it(values: list[float], percent: float) -> None:
    found = percentile(np.array(values), percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-6


def test_runs_that_went_on_together_are_joined_by_scheduled_send() -> None:
    whole = joined([shots([0.0, 2.0], [5.0, 6.0]), shots([1.0], [7.0], [Outcome.FAILED])])
    assert whole.scheduled_s.tolist() == [0.0, 1.0, 2.0]
    assert whole.latency_ms.tolist() == [5.0, 7.0, 6.0]
    assert whole.outcome.tolist() == [0, 2, 0]
    assert (whole.cpu_s, whole.wall_s, len(whole)) == (1.0, 2.0, 3)
    with pytest.raises(LoadError, match="no generator"):
        joined([])


def test_the_warm_up_is_left_out_by_the_scheduled_send() -> None:
    assert shots([0.5, 1.0, 1.5]).after(1.0).scheduled_s.tolist() == [1.0, 1.5]
