"""Percentiles by nearest rank."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.accel.measure.latency import Latency, MeasureError, percentile


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.floats(0, 1))
def test_a_percentile_is_a_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < max(1, share * len(values) + 1e-6)


def test_a_hundred_times_have_their_99th_at_99() -> None:
    latency = Latency.of([index / 1000 for index in range(100, 0, -1)])
    assert latency == Latency(n=100, p50_ms=50.0, p90_ms=90.0, p99_ms=99.0, worst_ms=100.0)


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(MeasureError):
        Latency.of([])
    with pytest.raises(MeasureError):
        percentile([1.0], 1.5)
