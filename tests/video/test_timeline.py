"""Time stamps become nanoseconds, exactly."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.video.timeline import NS, Timeline, standard_rate

RATES = [
    Fraction(24_000, 1001),
    Fraction(30_000, 1001),
    Fraction(25),
    Fraction(15),
    Fraction(30),
    Fraction(60_000, 1001),
    Fraction(179, 6),
]
BASES = [Fraction(1, 600), Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 12_800)]


@given(
    st.sampled_from(RATES),
    st.sampled_from(BASES),
    st.integers(-(10**9), 10**9),
    st.integers(1, 400),
    st.integers(1, 800),
)
def test_a_constant_rate_stays_exact_whatever_the_tick(
    rate_hz: Fraction, time_base: Fraction, offset: int, count: int, skipped: int
) -> None:
    timeline = Timeline(time_base, rate_hz)
    start = offset * time_base
    first = round(start / time_base)
    assert timeline.place(first) == 0
    for index in range(skipped, skipped * count, skipped):
        stamp = round((start + index / rate_hz) / time_base)
        assert timeline.place(stamp) == round(index * NS / rate_hz)
    assert timeline.repaired == 0


def test_a_tick_too_fine_to_matter_is_left_alone() -> None:
    timeline = Timeline(Fraction(1, 1_000_000), Fraction(24_000, 1001))
    assert [timeline.place(stamp) for stamp in (0, 41_708, 83_417)] == [0, 41_708_000, 83_417_000]


@given(
    st.sampled_from([Fraction(1, 30_000), Fraction(1, 24_000), Fraction(1, 90_000)]),
    st.lists(st.integers(1, 10_000), max_size=50),
)
def test_uneven_stamps_are_kept_as_they_are(time_base: Fraction, steps: list[int]) -> None:
    timeline = Timeline(time_base, None)
    stamp = 77
    assert timeline.place(stamp) == 0
    for step in steps:
        stamp += step
        assert timeline.place(stamp) == round((stamp - 77) * time_base * NS)


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), min_size=1, max_size=60),
    st.sampled_from([None, *RATES]),
)
def test_any_stamps_give_strictly_rising_times_from_zero(stamps: list[int | None], rate_hz: Fraction | None) -> None:
    timeline = Timeline(Fraction(1, 90_000), rate_hz)
    times = [timeline.place(stamp) for stamp in stamps]
    assert times[0] == 0
    assert all(later > earlier for earlier, later in pairwise(times))


def test_a_restarted_clock_goes_on_after_the_last_frame() -> None:
    timeline = Timeline(Fraction(1, 25), Fraction(25))
    times = [timeline.place(stamp) for stamp in (100, 101, 102, 0, 1, 2)]
    assert times == [index * NS // 25 for index in range(6)]
    assert timeline.repaired == 1


def test_one_wrong_stamp_shifts_nothing_after_it() -> None:
    timeline = Timeline(Fraction(1, 25), Fraction(25))
    times = [timeline.place(stamp) for stamp in (0, 1, 2, -50, 4, 5)]
    assert times == [index * NS // 25 for index in range(6)]


def test_a_leap_of_a_damaged_stamp_shifts_nothing_after_it() -> None:
    timeline = Timeline(Fraction(1, 25), Fraction(25))
    times = [timeline.place(stamp) for stamp in (0, 1, 2**40, 3, 4)]
    assert times == [index * NS // 25 for index in range(5)]
    assert timeline.repaired == 1


def test_missing_stamps_are_paced_by_the_rate() -> None:
    timeline = Timeline(Fraction(1, 1000), Fraction(10))
    assert [timeline.place(None) for _ in range(3)] == [0, NS // 10, NS // 5]
    assert timeline.repaired == 3


@pytest.mark.parametrize(
    ("stated", "exact"),
    [
        (Fraction(19_001, 634), Fraction(30_000, 1001)),
        (Fraction(2997, 100), Fraction(30_000, 1001)),
        (Fraction(23_976, 1000), Fraction(24_000, 1001)),
        (Fraction(25), Fraction(25)),
        (Fraction(179, 6), Fraction(179, 6)),
        (Fraction(0), None),
        (None, None),
    ],
)
def test_a_rounded_rate_is_made_exact(stated: Fraction | None, exact: Fraction | None) -> None:
    assert standard_rate(stated) == exact


def test_one_dropped_picture_is_no_variable_rate_but_many_are() -> None:
    steady, uneven = Timeline(Fraction(1, 30), Fraction(30)), Timeline(Fraction(1, 30), Fraction(30))
    for index in range(100):
        steady.place(index + (index > 50))
        uneven.place(index * 2 + index % 3)
    assert not steady.is_variable
    assert uneven.is_variable
