import numpy as np
import pytest

from fleetsight.fleet.planning.demand import Demand, steady
from fleetsight.fleet.planning.plan import make_plan
from tests.fleet.planning.offered import CPU, GPU, SPOT, offer


def test_cost_and_saving_of_a_steady_day_are_the_arithmetic_of_the_price_list() -> None:
    plan = make_plan([CPU, SPOT], steady(56, 10.0), gpu_offers=[GPU])
    assert [(part.offer.instance, part.count) for part in plan.mix.parts] == [("inf2.xlarge", 2)]
    assert plan.usd_per_million == pytest.approx(0.2 / 3600 / 560 * 1e6)
    assert plan.baseline_usd_per_million == pytest.approx(1.0 / 3600 / 560 * 1e6)
    assert plan.saving == pytest.approx(0.8)
    assert plan.usd_per_million_hourly == pytest.approx(plan.usd_per_million)


def test_following_the_day_costs_less_than_renting_its_peak() -> None:
    demand = Demand(3600.0, np.array([70.0] * 12 + [700.0] * 12))
    plan = make_plan([CPU], demand)
    assert plan.mix.parts[0].count == 10
    assert plan.usd_per_million_hourly == pytest.approx(plan.usd_per_million * 11 / 20)


def test_the_interval_holds_the_cost_and_widens_with_the_error_of_the_prediction() -> None:
    demand = steady(1000, 10.0)
    sure, unsure = (make_plan([offer(error=error)], demand) for error in (0.0, 0.3))
    for plan in (sure, unsure):
        assert plan.usd_per_million_low <= plan.usd_per_million <= plan.usd_per_million_high
    assert unsure.usd_per_million_high > sure.usd_per_million_high
    assert sure.usd_per_million_high / sure.usd_per_million == pytest.approx(1 / 0.97, rel=0.01)


def test_without_a_gpu_there_is_no_baseline() -> None:
    row = make_plan([CPU], steady(7, 10.0)).as_row()
    assert (row["baseline"], row["saving"], row["saving_hourly"]) == (None, None, None)
    assert row["mix"] == [
        {
            "instance": "c7i.xlarge",
            "count": 1,
            "usd_per_hour": 0.2,
            "variant": "c7i",
            "purchase": "on_demand",
            "knee_hz": 100.0,
        }
    ]
    assert (row["predicted_hz"], row["measured_hz"], row["prediction_error"]) == (102.0, 100.0, 0.02)
