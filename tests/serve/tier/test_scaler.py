"""Replicas come with the load and leave without losing a frame; what cannot start is not tried each second."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from fleetsight.serve.engine.protocol import EngineError, Frame
from fleetsight.serve.queueing.request import MS_NS, Answer, Outcome, Request
from fleetsight.serve.scaling.rule import ScalingRule
from fleetsight.serve.tier import scaler as scaling
from fleetsight.serve.tier.plan import Variant
from fleetsight.serve.tier.service import Service, Shape

QUICK = ScalingRule(down_s=1.0, bucket_s=0.2)
STARTS: list[float] = []


class Once:
    """An engine of which only one can be opened."""

    def __init__(self) -> None:
        STARTS.append(time.monotonic())
        if len(STARTS) > 1:
            raise EngineError("there is no second chip")

    def __call__(self, frames: Sequence[Frame]) -> list[int]:
        time.sleep(0.02)
        return [1] * len(frames)


async def ask(service: Service) -> Outcome:
    return await service.router.answer(Request("m", b"frame", time.monotonic_ns() + 500 * MS_NS))


async def offer(service: Service, hz: float, *, until: asyncio.Event) -> list[Outcome]:
    """Ask at a steady rate until told."""
    tasks = []
    while not until.is_set():
        tasks.append(asyncio.create_task(ask(service)))
        await asyncio.sleep(1 / hz)
    return list(await asyncio.gather(*tasks))


async def until_true(said: object, *, seconds: float = 20.0) -> None:
    end_s = time.monotonic() + seconds
    while not said():  # type: ignore[operator]
        assert time.monotonic() < end_s, "it never came true"
        await asyncio.sleep(0.01)


def up(service: Service) -> int:
    lane = service.router.deployments["m"].lanes["cpu"]
    return sum(seat.is_up and not seat.is_draining for seat in lane.seats.values())


@pytest.mark.parametrize("isolate", [False, True])
def test_replicas_come_with_the_load_and_go_without_losing_a_frame(
    isolate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "SAMPLE_S", 0.2)

    async def live() -> list[Outcome]:
        one = Variant("m", "cpu", "sleep:40", replicas=1, replicas_max=3)
        service = Service([one], Shape(isolate=isolate, rule=QUICK))
        await service.start()
        enough, quiet = asyncio.Event(), asyncio.Event()
        try:
            loud = asyncio.create_task(offer(service, 50.0, until=enough))  # a replica does 25 a second
            await until_true(lambda: up(service) == 3)
            enough.set()
            calm = asyncio.create_task(offer(service, 10.0, until=quiet))
            await until_true(lambda: len(service.router.backends()) == 1)
            quiet.set()
            await loud
            assert [entry["change"] for entry in service.router.scalings.entries()][-1] == "shrink"
            assert service.router.goals["m", "cpu"].wanted == 1
            text = service.meter.exposition().decode()
            assert 'fleetsight_serve_replicas_wanted{model="m",variant="cpu"} 1.0' in text
            return await calm
        finally:
            await service.stop()

    outcomes = asyncio.run(live())
    assert outcomes
    assert [one for one in outcomes if not isinstance(one, Answer)] == []


def test_what_cannot_start_is_named_and_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SAMPLE_S", 0.05)
    STARTS.clear()

    async def live() -> None:
        one = Variant("m", "cpu", f"{__name__}:Once", replicas=1, replicas_max=2)
        service = Service([one], Shape(rule=QUICK))
        await service.start()
        enough = asyncio.Event()
        try:
            loud = asyncio.create_task(offer(service, 80.0, until=enough))
            entries = service.router.scalings.entries
            await until_true(lambda: any(entry["change"] == "failed to grow" for entry in entries()))
            await asyncio.sleep(0.3)
            enough.set()
            await loud
            assert "no second chip" in str(entries())
            assert len(STARTS) == 2
            assert list(service.router.backends()) == ["m-cpu-0"]
        finally:
            await service.stop()

    asyncio.run(live())


def test_what_an_operator_drained_is_not_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SAMPLE_S", 0.05)

    async def live() -> None:
        drained = Variant("m", "cpu", "sleep:20", replicas=1, replicas_max=3)
        other = Variant("m", "gpu", "sleep:20", usd_per_hour=1.0, replicas=1, replicas_max=3)
        service = Service([drained, other], Shape(rule=QUICK))
        await service.start()
        enough = asyncio.Event()
        lanes = service.router.deployments["m"].lanes
        try:
            for seat in lanes["cpu"].seats.values():
                seat.is_draining = True
            loud = asyncio.create_task(offer(service, 80.0, until=enough))
            await until_true(lambda: len(lanes["gpu"].seats) == 3)
            enough.set()
            await loud
            assert len(lanes["cpu"].seats) == 1
        finally:
            await service.stop()

    asyncio.run(live())


def test_a_replica_that_comes_later_runs_what_was_reloaded() -> None:
    async def live() -> None:
        one = Variant("m", "cpu", "sleep:20")
        service = Service([one])
        await service.start()
        try:
            await service.router.reload(service.router.deployments["m"], "cpu", source="sleep:10", version="2")
            await service.grow(one)
            await service.shrink("m-cpu-0")
            outcome = await ask(service)
            assert isinstance(outcome, Answer)
            assert (outcome.backend, outcome.version) == ("m-cpu-1", "2")
        finally:
            await service.stop()

    asyncio.run(live())
