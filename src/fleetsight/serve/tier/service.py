"""Puts the parts together: from a list of variants to a router whose backends run."""

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fleetsight.serve.engine.source import Source
from fleetsight.serve.queueing.batching import useful_batch
from fleetsight.serve.queueing.deployment import Deployment
from fleetsight.serve.queueing.forecast import Forecast, curve_of
from fleetsight.serve.queueing.lane import Lane
from fleetsight.serve.replica.address import Address, read_address
from fleetsight.serve.replica.child import Order
from fleetsight.serve.scaling.rule import ScalingRule
from fleetsight.serve.tier.backend import Backend, LocalBackend
from fleetsight.serve.tier.meter import Meter
from fleetsight.serve.tier.plan import Variant, check
from fleetsight.serve.tier.remote import RemoteBackend
from fleetsight.serve.tier.router import Router
from fleetsight.serve.tier.scaler import Scaler

UNKNOWN_MS = 50.0
"""Forecast of a frame before anything was measured; replaced when the first backend is warm."""


@dataclass(frozen=True)
class Shape:
    """How a service runs.

    Attributes:
        isolate: every replica in a process of its own, started again when it dies; else all in this one.
        models_dir: where imported models are.
        trusted: public keys whose compiled models are opened.
        counts: whether metrics are kept; without them nothing is scaled.
        rule: when replicas come and go.
    """

    isolate: bool = False
    models_dir: Path | None = None
    trusted: tuple[str, ...] = ()
    counts: bool = True
    rule: ScalingRule = field(default_factory=ScalingRule)


class Service:
    """A router and its backends.

    Args:
        variants: what is served.
        shape: how it runs.

    Raises:
        PlanError: two variants have the same name.
        ProfileError: a profile cannot be read.
    """

    def __init__(self, variants: Iterable[Variant], shape: Shape | None = None) -> None:
        self.variants = check(list(variants))
        self._shape = shape or Shape()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.meter = Meter(is_on=self._shape.counts)
        lanes: dict[str, list[Lane]] = {}
        fixed = set()
        for one in self.variants:
            profile = one.read_profile()
            if profile is not None:
                fixed.add((one.model, one.variant))
            curve = profile.service_ms if profile is not None else curve_of({1: UNKNOWN_MS})
            lanes.setdefault(one.model, []).append(Lane(one.variant, Forecast(curve), usd_per_hour=one.usd_per_hour))
        deployments = [Deployment(model, found) for model, found in lanes.items()]
        self.router = Router(deployments, self.meter, fixed=frozenset(fixed))
        self.meter.watch(self.router.deployments.values, time.monotonic_ns)
        self._numbers: Counter[tuple[str, str]] = Counter()
        for one in self.variants:
            for _ in range(one.replicas):
                self._attach(one)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start every backend and wait until all are warm.

        Raises:
            Error: one cannot start; the others are ended.
        """
        self._tasks.append(asyncio.create_task(self.router.run()))
        try:
            async with asyncio.TaskGroup() as group:
                for backend in self.router.backends().values():
                    group.create_task(backend.start(self.router))
        except BaseExceptionGroup as group_error:
            await self.stop()
            raise group_error.exceptions[0] from None
        if self._shape.counts and any(one.is_elastic for one in self.variants):
            scaler = Scaler(self.router, self, self.variants, rule=self._shape.rule)
            self._tasks.append(asyncio.create_task(scaler.run()))

    async def grow(self, variant: Variant) -> None:
        """Start one more replica and wait until it is warm.

        Args:
            variant: that it runs.

        Raises:
            Error: it cannot start; it is gone again.
        """
        backend = self._attach(variant)
        is_warm = False
        try:
            await backend.start(self.router)
            is_warm = True
        finally:
            if not is_warm:
                await self.shrink(backend.name)

    async def shrink(self, name: str) -> None:
        """End a replica.

        Args:
            name: of its backend, which holds nothing any more.
        """
        await self.router.backends()[name].stop()
        self.router.detach(name)

    async def stop(self) -> None:
        """End every backend."""
        for task in reversed(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(*(backend.stop() for backend in self.router.backends().values()))
        if self._folder is not None:
            self._folder.cleanup()

    def _attach(self, one: Variant) -> Backend:
        number = self._numbers[one.model, one.variant]
        self._numbers[one.model, one.variant] += 1
        backend = self._backend(one, number)
        self.router.attach(backend, self.router.deployments[one.model], variant=one.variant)
        return backend

    def _backend(self, one: Variant, number: int) -> Backend:
        name = f"{one.model}-{one.variant}-{number}"
        text, version = self.router.reloaded(one.model, one.variant) or (one.source, one.version)
        source = Source(text or one.source, one.target, one.threads, self._shape.models_dir, self._shape.trusted)
        profile = one.read_profile()
        batch_max = one.batch_max if profile is None else useful_batch(profile.service_ms, one.batch_max)
        if one.address:
            return RemoteBackend(name, read_address(one.address))
        if not self._shape.isolate:
            return LocalBackend(name, source, batch_max=batch_max, streams=one.streams, version=version)
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="fleetsight-serve-")
        address = Address(path=str(Path(self._folder.name) / f"{self._numbers.total()}.sock"))
        order = Order(source, address, version, batch_max, one.streams)
        return RemoteBackend(name, address, order=order)
