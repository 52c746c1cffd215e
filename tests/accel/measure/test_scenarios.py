"""MLPerf's scenarios and ours, on sessions whose answers take virtual time."""

import pytest

from fleetsight.accel.measure.latency import MeasureError
from fleetsight.accel.measure.scenarios import (
    Beat,
    Subject,
    fleet,
    multi_stream,
    offline,
    server,
    service_times,
    single_stream,
    warm_up,
)
from tests.accel.measure.fake_sessions import subject


def test_single_stream_is_one_sample_after_the_other() -> None:
    one, ticker = subject(*[0.010] * 90, *[0.020] * 10)
    latency = single_stream(one, queries=100, ticker=ticker)
    assert (latency.n, latency.p50_ms, latency.p90_ms, latency.p99_ms) == pytest.approx((100, 10.0, 10.0, 20.0))


def test_single_stream_refuses_batches() -> None:
    many, ticker = subject(0.01, size=4)
    with pytest.raises(MeasureError, match="takes 4"):
        single_stream(many, ticker=ticker)


@pytest.mark.parametrize(("size", "wanted_ms"), [(1, 80.0), (4, 20.0), (8, 10.0), (3, 30.0)])
def test_multi_stream_asks_for_eight_samples_in_as_many_batches_as_they_need(size: int, wanted_ms: float) -> None:
    many, ticker = subject(0.010, size=size)
    assert multi_stream(many, queries=5, ticker=ticker).p99_ms == pytest.approx(wanted_ms)


def test_offline_counts_samples_and_not_batches() -> None:
    many, ticker = subject(0.1, size=8, streams=2)
    found = offline(many, samples=60, ticker=ticker)
    assert (found.samples, found.seconds, found.images_per_s) == pytest.approx((64, 0.4, 160.0))


def test_offline_without_samples_is_no_measurement() -> None:
    one, ticker = subject(0.1)
    with pytest.raises(MeasureError, match="no measurement"):
        offline(one, samples=0, ticker=ticker)


def test_server_holds_less_than_back_to_back_and_more_with_a_wider_bound() -> None:
    rates = []
    for bound_ms in (16.0, 30.0, 100.0):
        one, ticker = subject(0.010)
        found = server(one, bound_ms=bound_ms, ticker=ticker)
        assert found.latency is not None
        assert found.latency.p99_ms <= bound_ms
        rates.append(found.rate_hz)
    assert 0 < rates[0] < rates[1] < rates[2] <= 100.0


def test_server_with_a_bound_below_one_answer_holds_nothing() -> None:
    one, ticker = subject(0.010)
    found = server(one, bound_ms=5.0, ticker=ticker)
    assert (found.rate_hz, found.latency) == (0.0, None)


def test_server_in_batches_holds_more_than_one_by_one() -> None:
    one, ticker = subject(0.010)
    many, other = subject(0.020, size=8)
    alone = server(one, bound_ms=100.0, ticker=ticker).rate_hz
    assert server(many, bound_ms=100.0, ticker=other).rate_hz > 2 * alone


def test_a_rate_that_the_real_run_does_not_hold_is_taken_down() -> None:
    """The times of the search are better than those of the run that confirms: what counts is the run."""
    one, ticker = subject(*[0.010] * 200, *[0.013] * 100_000)
    found = server(one, bound_ms=30.0, queries=2000, ticker=ticker)
    same, other = subject(0.013)
    honest = server(same, bound_ms=30.0, queries=2000, ticker=other)
    assert found.latency is not None
    assert found.latency.p99_ms <= 30.0
    assert 0 < found.rate_hz <= honest.rate_hz * 1.06


def test_fleet_counts_cameras_whose_frames_keep_their_deadline() -> None:
    one, ticker = subject(0.010)
    found = fleet(one, Beat(rate_hz=5.0, deadline_ms=200.0), ticker=ticker)
    assert 15 <= found.cameras <= 20  # 100 frames/s are 20 cameras of five
    assert found.latency is not None
    assert found.latency.p99_ms <= 200.0


def test_fleet_of_a_session_that_is_too_slow_is_nobody() -> None:
    one, ticker = subject(0.3)
    assert fleet(one, Beat(rate_hz=5.0, deadline_ms=200.0), ticker=ticker).cameras == 0


def test_a_tighter_deadline_holds_fewer_cameras() -> None:
    one, ticker = subject(0.010)
    two, other = subject(0.010)
    wide = fleet(one, Beat(rate_hz=5.0, deadline_ms=200.0), ticker=ticker).cameras
    assert fleet(two, Beat(rate_hz=5.0, deadline_ms=11.0), ticker=other).cameras < wide


def test_warm_up_lasts_as_long_as_it_should_and_takes_both_ways_in() -> None:
    one, ticker = subject(0.3)
    assert warm_up(one, seconds=1.0, ticker=ticker) == 4
    assert ticker.now_s() == pytest.approx(1.2)  # one by `map`, three by `run`


def test_service_times_are_one_for_each_batch() -> None:
    one, ticker = subject(0.1, 0.2)
    assert service_times(one, queries=3, ticker=ticker) == pytest.approx([0.1, 0.2, 0.1])


def test_nothing_to_measure_with_is_refused() -> None:
    one, _ = subject(0.1)
    with pytest.raises(MeasureError):
        Subject(one.session, (), 1)
    with pytest.raises(MeasureError):
        Subject(one.session, one.batches, 0)
