import numpy as np

from fleetsight.serve.load.arrivals import poisson_times


def test_arrivals_rise_lie_in_the_run_and_repeat_with_their_seed() -> None:
    times = poisson_times(200.0, 50.0, seed=3)
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] < 50.0
    assert (times == poisson_times(200.0, 50.0, seed=3)).all()
    assert len(times) != len(poisson_times(200.0, 50.0, seed=4)) or (times != poisson_times(200.0, 50.0, seed=4)).any()


def test_gaps_between_arrivals_are_exponential() -> None:
    gaps = np.diff(poisson_times(100.0, 1000.0, seed=1))
    assert abs(gaps.mean() * 100 - 1) < 0.02
    assert abs(gaps.std() / gaps.mean() - 1) < 0.02  # of a regular process it would be 0
