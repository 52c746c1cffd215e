import pytest

from fleetsight.serve.load.curve import summarise
from fleetsight.serve.load.shots import LoadError, Outcome
from tests.serve.load.test_shots import shots

A, R, F = int(Outcome.ANSWERED), int(Outcome.REJECTED), int(Outcome.FAILED)


def test_a_point_counts_what_was_offered_answered_in_time_refused_and_failed() -> None:
    seen = shots([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], [10.0, 50.0, 51.0, 2.0, 1000.0, 20.0], [A, A, A, R, F, A])
    point = summarise(seen, slo_ms=50.0, window_s=0.5)
    assert (point.offered_hz, point.answered_hz, point.good_hz) == (12.0, 8.0, 6.0)
    assert (point.p50_ms, point.p99_ms) == (20.0, 51.0)
    assert (point.rejected, point.rejected_p99_ms, point.failed, point.n) == (1, 2.0, 1, 6)
    assert point.good_share == 0.5
    assert point.generator_cpu == 0.25


def test_a_point_without_answers_has_no_latency() -> None:
    point = summarise(shots([0.0], [1.0], [F]), slo_ms=50.0, window_s=1.0)
    assert (point.p50_ms, point.p99_ms, point.rejected_p99_ms, point.good_share) == (None, None, None, 0.0)
    assert summarise(shots([]), slo_ms=50.0, window_s=1.0).good_share == 0.0


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(LoadError, match="window"):
        summarise(shots([0.0]), slo_ms=50.0, window_s=0.0)


def test_a_row_holds_rounded_numbers_for_scripts() -> None:
    row = summarise(shots([0.0, 0.1, 0.2]), slo_ms=50.0, window_s=0.7).as_row()
    assert row["offered_hz"] == 4.286
    assert {"offered_hz", "good_hz", "p50_ms", "p99_ms", "rejected", "failed"} <= set(row)
