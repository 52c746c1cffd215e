from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.fleet.planning.demand import DayShape, Demand, DemandError, made_up_day, read_demand, steady


def test_steady_cameras_send_all_day() -> None:
    demand = steady(1000, 2.0)
    assert (demand.peak_hz, demand.hours, demand.frames) == (2000.0, 24.0, 2000.0 * 86_400)
    assert demand.by_hour().tolist() == [2000.0] * 24


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5000), st.floats(0.1, 30), st.floats(0.05, 1.0), st.integers(0, 99))
def test_a_day_without_bursts_never_needs_more_than_all_cameras_and_is_busy_for_its_duty(
    cameras: int, fps: float, duty: float, seed: int
) -> None:
    demand = made_up_day(cameras, fps, shape=DayShape(duty=duty, bursts=0.0), seed=seed)
    assert demand.peak_hz <= cameras * fps * (1 + 1e-9)
    busy = demand.rate_hz.mean() / (cameras * fps)
    assert busy <= duty * (1 + 1e-6)
    if duty <= 0.25:  # above, noon is cut off where every camera sends
        assert busy == pytest.approx(duty, rel=1e-6)


def test_a_day_repeats_with_its_seed_and_is_quieter_at_night() -> None:
    shape = DayShape(duty=0.2, bursts=0.0)
    day = made_up_day(1000, 1.0, shape=shape, seed=3)
    assert (day.rate_hz == made_up_day(1000, 1.0, shape=shape, seed=3).rate_hz).all()
    assert day.by_hour()[3] < 0.3 * day.by_hour()[12]


def test_a_million_cameras_are_added_up_without_a_loop() -> None:
    day = made_up_day(1_000_000, 1.0, shape=DayShape(duty=0.2, bursts=0.0), seed=1)
    assert day.frames == pytest.approx(0.2 * 1e6 * 86_400, rel=1e-6)


def test_bursts_raise_the_peak() -> None:
    calm = made_up_day(100, 1.0, shape=DayShape(bursts=0.0), seed=5)
    stormy = made_up_day(100, 1.0, shape=DayShape(bursts=20.0, burst_factor=4.0), seed=5)
    ratio = stormy.rate_hz / calm.rate_hz
    assert ratio.min() >= 1.0
    assert 1.5 <= ratio.max() <= 4.0


def test_the_highest_step_of_an_hour_counts_also_in_a_last_part_of_one() -> None:
    demand = Demand(1800.0, np.array([1.0, 5.0, 2.0]))
    assert demand.by_hour().tolist() == [5.0, 2.0]


def test_a_trace_is_read(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("seconds,rate_hz\n0,10\n60,20\n120,0\n")
    demand = read_demand(path)
    assert demand.step_s == 60.0
    assert demand.rate_hz.tolist() == [10.0, 20.0, 0.0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "begins with nothing"),
        ("time,rate\n0,1\n", "begins with"),
        ("seconds,rate_hz\n0,1\n", "1 steps"),
        ("seconds,rate_hz\n0,1\n60,x\n", "line 3"),
        ("seconds,rate_hz\n0,1\n60,1,2\n", "line 3"),
        ("seconds,rate_hz\n0,1\n60,1\n90,1\n", "not equal"),
        ("seconds,rate_hz\n60,1\n0,1\n", "not equal"),
        ("seconds,rate_hz\n0,1\n60,-1\n", "outside of"),
        ("seconds,rate_hz\n0,1\n60,nan\n", "outside of"),
        ("seconds,rate_hz\n0,0\n60,0\n", "nothing"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "day.csv"
    path.write_text(text)
    with pytest.raises(DemandError, match=wanted):
        read_demand(path)


@pytest.mark.parametrize(("cameras", "fps"), [(0, 1.0), (1, 0.0), (1, float("nan")), (10**9, 1.0)])
def test_numbers_outside_their_range_are_refused(cameras: int, fps: float) -> None:
    with pytest.raises(DemandError):
        steady(cameras, fps)


def test_a_shape_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(DemandError, match="duty"):
        DayShape(duty=1.5)
    with pytest.raises(DemandError, match="bursts"):
        DayShape(burst_factor=1.0)
    with pytest.raises(DemandError, match="divide a day"):
        made_up_day(1, 1.0, shape=DayShape(), seed=0, step_s=7000.0)
