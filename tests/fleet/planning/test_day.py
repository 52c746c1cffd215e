from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fleetsight.fleet.planning.day import DayResult, World, policies, simulate
from fleetsight.fleet.planning.demand import DayShape, Demand, made_up_day
from fleetsight.fleet.planning.offers import Offer
from tests.fleet.planning.offered import CPU, GPU, SPOT

CALM = World(spot_losses_per_hour=0.0, sample_s=10.0)
DAY = made_up_day(3000, 1.0, shape=DayShape(duty=0.2, bursts=2.0), seed=4)


EVENING = Demand(60.0, DAY.rate_hz[16 * 60 : 19 * 60])


def results(
    offers: Sequence[Offer], demand: Demand = DAY, *, world: World = CALM, only: str = ""
) -> dict[str, DayResult]:
    return {
        policy.name: simulate(policy, offers, demand=demand, world=world)
        for policy in policies(offers, demand)
        if only in ("", policy.name)
    }


def test_following_the_rate_serves_the_day_and_costs_less_than_the_peak() -> None:
    found = results([CPU, GPU])
    static = found["static"]
    assert static.decisions == static.oscillations == 0
    assert static.served_share == 1.0
    for name in ("request count", "cost-aware"):
        assert found[name].usd < 0.8 * static.usd
        assert found[name].served_share > 0.99
        assert found[name].frames == static.frames
    assert found["cost-aware"].usd <= found["request count"].usd


def test_a_steady_fleet_costs_its_price_list() -> None:
    steady = Demand(3600.0, np.full(3, 70.0))
    found = results([CPU], steady, world=World(spot_losses_per_hour=0.0), only="static")
    assert found["static"].usd == pytest.approx(3 * 0.2)
    assert found["static"].usd_per_million == pytest.approx(0.2 / 3600 / 70 * 1e6, rel=0.02)
    assert found["static"].instances_max == 1


def test_spot_instances_are_lost_replaced_and_missed_while_the_next_one_boots() -> None:
    stormy = World(spot_losses_per_hour=20.0, boot_s=300.0, sample_s=10.0)
    calm, lossy = (results([SPOT], EVENING, world=world, only="static")["static"] for world in (CALM, stormy))
    assert calm.losses == 0
    assert lossy.losses > 5
    assert lossy.served_share < calm.served_share
    assert lossy.served_share > 0.2


def test_a_day_repeats_with_its_seed() -> None:
    world = replace(CALM, spot_losses_per_hour=1.0, seed=9)
    first, again = (results([SPOT, CPU], EVENING, world=world, only="cost-aware") for _ in range(2))
    assert first == again
    other = results([SPOT, CPU], EVENING, world=replace(world, seed=10), only="cost-aware")
    assert other["cost-aware"].frames != first["cost-aware"].frames


def test_a_million_cameras_take_no_longer_than_one_because_nothing_is_counted_apart() -> None:
    demand = made_up_day(1_000_000, 1.0, shape=DayShape(duty=0.2), seed=1, step_s=600.0)
    found = results([CPU, GPU, SPOT], demand, world=World(sample_s=60.0))
    assert found["static"].instances_max > 1000
    assert all(result.frames > 1e10 for result in found.values())
