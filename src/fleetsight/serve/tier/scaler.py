"""Starts and stops replicas while the service runs, by the rate that is measured and what a replica carries.

Lives in the process of the router: when whatever placed the replicas is gone, those that run go on. Growing begins at once and in parallel;
shrinking drains first, and a replica that still drains is taken back before another one is started.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from fleetsight.serve.queueing.lane import Lane, Seat
from fleetsight.serve.scaling.rule import ScalingRule
from fleetsight.serve.scaling.spread import Elastic, Steering
from fleetsight.serve.tier.plan import Variant
from fleetsight.serve.tier.router import Goal, Router

SAMPLE_S = 1.0
"""With samples of a second a step is answered after two or three (reference N7: within 5 s)."""
DRAIN_LOOK_S = 0.02
DRAIN_S_MAX = 65.0
"""Longer than any deadline: what a replica holds after that nobody waits for."""
AGAIN_S = 30.0
"""Rest after a replica that could not start: what is broken is not repaired by trying each second."""
LOG = logging.getLogger(__name__)


class Placer(Protocol):
    """Who starts and ends replicas."""

    async def grow(self, variant: Variant) -> None:
        """Start one more replica and wait until it is warm; `Error` when it cannot start."""
        ...

    async def shrink(self, name: str) -> None:
        """End a replica that holds nothing any more."""
        ...


class Scaler:
    """Scales the variants of a service.

    Args:
        router: whose backends they are; all of the first replicas are warm.
        placer: starts and ends them.
        variants: of every model.
        rule: when.
    """

    def __init__(self, router: Router, placer: Placer, variants: Iterable[Variant], *, rule: ScalingRule) -> None:
        self._router = router
        self._placer = placer
        self._models: dict[str, list[Variant]] = {}
        for one in variants:
            self._models.setdefault(one.model, []).append(one)
        self._models = {model: found for model, found in self._models.items() if any(one.is_elastic for one in found)}
        self._steering = {model: Steering(rule) for model in self._models}
        self._hz = {(one.model, one.variant): self._carries(one) for found in self._models.values() for one in found}
        self._seen = {model: (time.monotonic(), router.meter.recent.asked(model)) for model in self._models}
        self._starting: dict[asyncio.Task[None], tuple[str, str]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._ending: set[str] = set()
        self._resting: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Look at the rate each second until cancelled."""
        try:
            while True:
                await asyncio.sleep(SAMPLE_S)
                for model in self._models:
                    try:
                        self._look(model, time.monotonic())
                    except Exception:
                        LOG.exception("scaling failed model=%s", model)
        finally:
            for task in [*self._starting, *self._leaving.values()]:
                task.cancel()
            await asyncio.gather(*self._starting, *self._leaving.values(), return_exceptions=True)

    def _look(self, model: str, now_s: float) -> None:
        before_s, before = self._seen[model]
        asked = self._router.meter.recent.asked(model)
        self._seen[model] = (now_s, asked)
        rate_hz = (asked - before) / max(now_s - before_s, 1e-3)
        deployment = self._router.deployments[model]
        usable = [one for one in self._models[model] if not self._is_drained(deployment.lanes[one.variant])]
        elastic = [
            Elastic(
                one.variant,
                self._hz[model, one.variant],
                one.usd_per_hour,
                one.replicas,
                max(one.replicas, one.replicas_max),
            )
            for one in usable
        ]
        if not elastic:
            return
        shares = None if deployment.split is None else deployment.split.shares
        counts = self._steering[model].step(elastic, now_s=now_s, rate_hz=rate_hz, shares=shares)
        for one in usable:
            if one.is_elastic:
                self._aim(one, counts[one.variant], rate_hz=rate_hz)
                self._follow(one, counts[one.variant], now_s=now_s)

    def _aim(self, one: Variant, wanted: int, *, rate_hz: float) -> None:
        """Note what is wanted, and that it changed."""
        key = (one.model, one.variant)
        before = self._router.goals[key].wanted if key in self._router.goals else one.replicas
        self._router.goals[key] = Goal(wanted, one.replicas, one.replicas_max)
        self._router.meter.scaled(*key, wanted=wanted, before=before)
        if wanted != before:
            asked = {"variant": one.variant, "replicas": f"{before} to {wanted}", "rate": f"{rate_hz:.1f} Hz"}
            self._router.scalings.note(one.model, "grow" if wanted > before else "shrink", asked=asked)
            LOG.info("scaling model=%s variant=%s from=%d to=%d rate_hz=%.1f", *key, before, wanted, rate_hz)

    def _follow(self, one: Variant, wanted: int, *, now_s: float) -> None:
        key = (one.model, one.variant)
        lane = self._router.deployments[one.model].lanes[one.variant]
        staying = [seat for seat in lane.seats.values() if seat.name not in self._leaving]
        for _ in range(wanted - len(staying)):
            if not self._taken_back(lane) and now_s >= self._resting.get(key, 0.0):
                task = asyncio.get_running_loop().create_task(self._grow(one))
                self._starting[task] = key
                task.add_done_callback(self._starting.pop)
        settled = key not in self._starting.values()  # one that still starts is not ended halfway
        for seat in _least_missed(staying)[: len(staying) - wanted] if settled and len(staying) > wanted else ():
            self._leaving[seat.name] = asyncio.get_running_loop().create_task(self._shrink(seat))

    def _taken_back(self, lane: Lane) -> bool:
        for name, task in self._leaving.items():
            if name in lane.seats and name not in self._ending:
                task.cancel()
                del self._leaving[name]
                lane.seats[name].is_draining = False
                return True
        return False

    async def _grow(self, one: Variant) -> None:
        try:
            await self._placer.grow(one)
        except Exception as error:  # whatever an engine raises when it is loaded
            LOG.exception("a replica could not start model=%s variant=%s", one.model, one.variant)
            self._resting[one.model, one.variant] = time.monotonic() + AGAIN_S
            asked = {"variant": one.variant, "because": str(error)}
            self._router.scalings.note(one.model, "failed to grow", asked=asked)

    async def _shrink(self, seat: Seat) -> None:
        until_s = time.monotonic() + DRAIN_S_MAX
        seat.is_draining = True
        while seat.running and time.monotonic() < until_s:
            await asyncio.sleep(DRAIN_LOOK_S)
            seat.is_draining = True  # also when an operator lets the variant work again
        self._ending.add(seat.name)
        try:
            await self._placer.shrink(seat.name)
        finally:
            self._ending.discard(seat.name)
            self._leaving.pop(seat.name, None)

    def _is_drained(self, lane: Lane) -> bool:
        """Whether an operator took the variant out of work."""
        staying = [seat for seat in lane.seats.values() if seat.name not in self._leaving]
        return bool(staying) and all(seat.is_draining for seat in staying)

    def _carries(self, one: Variant) -> float:
        """What one replica carries: its share of the measured knee; without a profile all that it can do, which is a little more."""
        profile = one.read_profile()
        if profile is not None and profile.knee_hz > 0:
            return profile.knee_hz / profile.replicas
        lane = self._router.deployments[one.model].lanes[one.variant]
        seat = next(iter(lane.seats.values()))
        return seat.streams * seat.batch * 1000.0 / max(lane.forecast.service_ms(seat.batch), 1e-3)


def _least_missed(seats: Sequence[Seat]) -> list[Seat]:
    """Those that are down first, then the youngest."""
    order = sorted(enumerate(seats), key=lambda pair: (pair[1].is_up, -pair[0]))
    return [seat for _, seat in order]
