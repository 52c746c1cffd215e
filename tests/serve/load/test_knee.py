import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.serve.load.curve import CurvePoint, summarise
from fleetsight.serve.load.knee import STEPS_MAX, find_knee
from tests.serve.load.test_shots import shots

EMPTY = summarise(shots([]), slo_ms=1.0, window_s=1.0)


def cliff(knee_hz: float, asked: list[float]) -> "object":
    """A server that carries every rate up to its knee, and half of each above."""

    def measure(rate_hz: float) -> CurvePoint:
        asked.append(rate_hz)
        return replace(EMPTY, offered_hz=rate_hz, good_hz=rate_hz if rate_hz <= knee_hz else rate_hz / 2)

    return measure


@given(st.floats(1.0, 1e5), st.floats(1.0, 1e5))
def test_the_search_ends_within_its_tolerance_below_the_knee(knee_hz: float, start_hz: float) -> None:
    asked: list[float] = []
    found = find_knee(cliff(knee_hz, asked), start_hz, tolerance=0.03)  # type: ignore[arg-type]
    assert len(asked) <= STEPS_MAX
    if len(asked) < STEPS_MAX and start_hz / 1000 < knee_hz:
        assert knee_hz / 1.03 <= found.knee_hz * (1 + 1e-9)
        assert found.knee_hz <= knee_hz


def test_a_good_first_guess_is_cheap() -> None:
    asked: list[float] = []
    find_knee(cliff(100.0, asked), 90.0)  # type: ignore[arg-type]
    assert len(asked) <= 7


def test_a_server_that_carries_nothing_has_no_knee() -> None:
    found = find_knee(lambda rate_hz: replace(EMPTY, offered_hz=rate_hz), 100.0)
    assert found.knee_hz == 0.0
    assert all(point.good_share == 0 for point in found.points)


def test_points_are_kept_by_offered_rate_and_the_knee_is_one_that_was_offered() -> None:
    asked: list[float] = []
    found = find_knee(cliff(70.0, asked), 10.0)  # type: ignore[arg-type]
    rates = [point.offered_hz for point in found.points]
    assert rates == sorted(asked)
    assert found.knee_hz in rates


@pytest.mark.parametrize(("share", "is_carried"), [(0.99, True), (0.9899, False)])
def test_99_percent_is_the_line(share: float, is_carried: bool) -> None:
    found = find_knee(lambda rate_hz: replace(EMPTY, offered_hz=rate_hz, good_hz=rate_hz * share), 10.0)
    assert (found.knee_hz > 0) == is_carried
    assert not math.isinf(found.knee_hz)
