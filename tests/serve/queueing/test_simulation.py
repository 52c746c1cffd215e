"""The whole queue under a virtual clock: what it promises holds for every seed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.serve.queueing.deployment import Deployment
from fleetsight.serve.queueing.request import MS_NS, Answer, Priority, Refusal
from tests.serve.queueing.drawn import START_NS, World, a_lane

SEEDS = st.integers(0, 2**32)


def sound(world: World) -> None:
    """What holds whatever happens: one outcome each, and nothing is executed that nobody waits for."""
    assert set(world.outcomes) == {request.number for request in world.asked}
    assert all(started_ns < request.deadline_ns for request, started_ns in world.started)
    assert all(request.tries <= 2 for request in world.asked)


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, load=st.floats(0.2, 5.0), batch=st.sampled_from([1, 4, 8]), seats=st.integers(1, 3))
def test_what_is_admitted_is_in_time_when_batches_take_what_was_predicted(
    seed: int, load: float, batch: int, seats: int
) -> None:
    lane = a_lane(ms=20, batch=batch, seats=seats, each=0.25)
    capacity_hz = seats * batch * 1000 / lane.forecast.service_ms(batch)
    world = World(Deployment("m", [lane]), seed=seed)
    world.poisson(load * capacity_hz, seconds=2, deadline_ms=300)
    world.run()
    sound(world)
    assert world.late() == 0


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS, overload=st.sampled_from([2.0, 5.0]))
def test_overload_costs_no_goodput(seed: int, overload: float) -> None:
    world = World(Deployment("m", [a_lane(ms=20)]), seed=seed, jitter=0.1)
    world.poisson(50 * overload, seconds=6, deadline_ms=200)
    world.run()
    sound(world)
    assert world.good() >= 0.95 * 6 * 1000 / 21


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_a_charge_never_loses_to_a_question(seed: int) -> None:
    world = World(Deployment("m", [a_lane(ms=20, seats=2)]), seed=seed)
    world.poisson(30, seconds=5, deadline_ms=200, priority=Priority.CHARGE)
    world.poisson(400, seconds=5, deadline_ms=200, priority=Priority.QUESTION)
    world.run()
    sound(world)
    charges = [request for request in world.asked if request.priority is Priority.CHARGE]
    assert world.good(of=Priority.CHARGE) == len(charges)
    assert world.good(of=Priority.QUESTION) > 0


@settings(max_examples=12, deadline=None)
@given(
    seed=SEEDS,
    deaths=st.lists(st.tuples(st.sampled_from(["cpu-0", "cpu-1", "gpu-0"]), st.integers(0, 3000)), max_size=6),
)
def test_one_outcome_each_whoever_dies_when(seed: int, deaths: list[tuple[str, int]]) -> None:
    lanes = [a_lane("cpu", ms=20, seats=2, usd_per_hour=0.1), a_lane("gpu", ms=5, batch=4, each=0.2, usd_per_hour=1.0)]
    world = World(Deployment("m", lanes), seed=seed, jitter=0.3)
    world.poisson(150, seconds=3, deadline_ms=150)
    for name, when_ms in deaths:
        world.at(START_NS + when_ms * MS_NS, lambda name=name: world.kill(name))  # type: ignore[misc]
        world.at(START_NS + (when_ms + 500) * MS_NS, lambda name=name: world.revive(name))  # type: ignore[misc]
    world.run()
    sound(world)


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_a_death_at_seventy_per_cent_loads_no_request_off(seed: int) -> None:
    world = World(Deployment("m", [a_lane(ms=20, seats=2)]), seed=seed)
    world.poisson(35, seconds=4, deadline_ms=2000)
    world.at(START_NS + 2000 * MS_NS, lambda: world.kill("cpu-1"))
    world.run()
    sound(world)
    assert world.good() == len(world.asked)


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_cheap_hardware_is_used_first_and_dear_hardware_takes_the_rest(seed: int) -> None:
    lanes = [a_lane("cpu", ms=20, usd_per_hour=0.1), a_lane("gpu", ms=4, usd_per_hour=1.0)]
    quiet = World(Deployment("m", lanes), seed=seed)
    quiet.poisson(5, seconds=5, deadline_ms=400)
    quiet.run()
    assert {o.backend for o, _ in quiet.outcomes.values() if isinstance(o, Answer)} == {"cpu-0"}
    lanes = [a_lane("cpu", ms=20, usd_per_hour=0.1), a_lane("gpu", ms=4, usd_per_hour=1.0)]
    busy = World(Deployment("m", lanes), seed=seed)
    busy.poisson(200, seconds=5, deadline_ms=200)
    busy.run()
    sound(busy)
    answers = [o.backend for o, _ in busy.outcomes.values() if isinstance(o, Answer)]
    assert answers.count("cpu-0") >= 0.9 * 5 * 50
    assert not any(isinstance(o, Refusal) for o, _ in busy.outcomes.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_chip_that_slows_down_is_noticed_and_admission_tightens(seed: int) -> None:
    lane = a_lane(ms=20)
    world = World(Deployment("m", [lane]), seed=seed)
    world.engines["cpu-0"].curve = lambda batch: 40.0 * batch  # half the machine went to a neighbour
    world.poisson(100, seconds=10, deadline_ms=200)
    world.run()
    sound(world)
    assert 1.8 <= lane.forecast.factor <= 2.2
    assert world.good() >= 0.9 * 10 * 25
    assert world.late() <= 0.03 * world.good()
