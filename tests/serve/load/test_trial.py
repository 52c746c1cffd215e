from dataclasses import replace

import numpy as np
import pytest

from fleetsight.serve.load.shots import LoadError, Shots
from fleetsight.serve.load.trial import LoadPlan, run_trial, service_curve
from fleetsight.serve.load.virtual import VirtualServer
from fleetsight.serve.profile import BatchPoint
from tests.serve.load.stand_in import VirtualGun
from tests.serve.load.test_shots import shots
from tests.serve.load.test_virtual import STEADY

PLAN = LoadPlan(slo_ms=100.0, duration_s=60.0)


def test_a_trial_finds_the_knee_and_measures_the_whole_curve_around_it() -> None:
    gun = VirtualGun(VirtualServer(STEADY))
    lines: list[str] = []
    found = run_trial(gun, PLAN, told=lines.append)
    assert 70 < found.knee_hz < 100
    shares = [round(point.offered_hz / found.knee_hz, 1) for point in found.curve]
    assert shares == pytest.approx(PLAN.factors, abs=0.1 * 5)
    assert found.curve[0].good_share >= 0.99
    assert found.curve[-1].good_share < 0.5
    assert found.service == (BatchPoint(1, 10.0, 10.0),)
    assert [step.callers for step in found.closed] == [1, 2, 4]
    assert len(lines) == len(found.closed) + len(gun.rates)


def test_overload_brings_no_less_than_the_knee_when_the_server_refuses_what_would_be_late() -> None:
    found = run_trial(VirtualGun(VirtualServer(STEADY)), PLAN)
    assert found.curve[-1].good_hz >= 0.95 * found.knee_hz


def test_a_server_that_answers_nothing_is_an_error_that_says_what_came_back() -> None:
    class Dead(VirtualGun):
        def closed_loop(self, callers: int, duration_s: float) -> Shots:
            return shots([3.0, 4.0], [1.0, 1.0], [2, 1])

    with pytest.raises(LoadError, match="1 refused, 1 failed"):
        run_trial(Dead(VirtualServer(STEADY)), PLAN)


def test_batches_that_the_server_names_make_the_service_curve() -> None:
    seen = shots([0.0] * 60)
    sizes = np.array([1] * 25 + [4] * 30 + [7] * 5, dtype=np.int32)
    named = replace(seen, batch=sizes, service_ms=np.where(sizes == 4, 20.0, 10.0))
    assert service_curve([(1, named)], replicas=1) == (BatchPoint(1, 10.0, 10.0), BatchPoint(4, 20.0, 20.0))


def test_callers_stand_for_batches_when_the_server_says_nothing() -> None:
    runs = [(1, shots([0.0], [9.0])), (2, shots([0.0], [10.0])), (4, shots([0.0], [18.0]))]
    assert service_curve(runs, replicas=2) == (BatchPoint(1, 10.0, 10.0), BatchPoint(2, 18.0, 18.0))
    with pytest.raises(LoadError, match="too few answers"):
        service_curve(runs, replicas=8)
