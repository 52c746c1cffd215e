"""The router: gives every request to a backend of its model and takes the outcome back. The same code in one process and in two tiers.

What to do is decided in `fleetsight.serve.queueing`; here is the clock, the futures that callers wait on, and the backends. All of it runs in
one event loop.
"""

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleetsight.serve.queueing.agreement import agreement
from fleetsight.serve.queueing.deployment import EXPIRED, Deployment
from fleetsight.serve.queueing.forecast import Forecast, curve_of
from fleetsight.serve.queueing.lane import Seat
from fleetsight.serve.queueing.request import MS_NS, Answer, Outcome, Priority, Reason, Refusal, Request
from fleetsight.serve.replica.replica import Facts
from fleetsight.serve.tier.backend import Backend
from fleetsight.serve.tier.history import History
from fleetsight.serve.tier.meter import Meter
from fleetsight.serve.tier.once import Once

TICK_S = 0.02
"""How often late requests and hanging backends are looked for: the most a caller waits beyond its deadline."""
HANG_FACTOR = 5.0
"""A batch that takes five times its prediction hangs (reference N5)."""
HANG_MIN_NS = 500 * MS_NS
"""But not within half a second: a busy machine may stand still that long, and a restart costs more."""
COPIES_MAX = 64
"""Most comparisons of a trial under way: copies are the first thing to go."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Goal:
    """How many replicas of a variant there should be.

    Attributes:
        wanted: now.
        least: always.
        most: at most.
    """

    wanted: int
    least: int
    most: int


class Router:
    """Routes requests of every model.

    Args:
        deployments: by model.
        meter: counts what happens.
        fixed: models and variants whose forecast comes from a profile; others take what their first backend measured.

    Attributes:
        history: what operators changed.
        scalings: what was decided about replicas.
        goals: replicas that are wanted, by model and variant, where they are scaled.
    """

    def __init__(
        self, deployments: Iterable[Deployment], meter: Meter, *, fixed: frozenset[tuple[str, str]] = frozenset()
    ) -> None:
        self.deployments = {deployment.model: deployment for deployment in deployments}
        self.meter = meter
        self.history = History()
        self.scalings = History()
        self.goals: dict[tuple[str, str], Goal] = {}
        self._fixed = set(fixed)
        self._places: dict[str, tuple[Deployment, str, Seat]] = {}
        self._backends: dict[str, Backend] = {}
        self._waiting: dict[int, tuple[Request, asyncio.Future[Outcome]]] = {}
        self._number = 0
        self._once = Once()
        self._reloaded: dict[tuple[str, str], tuple[str, str]] = {}
        self._copies: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None

    def attach(self, backend: Backend, deployment: Deployment, *, variant: str) -> None:
        """Add a backend to a variant; nothing is sent before it is up."""
        seat = Seat(backend.name, is_up=False)
        self._places[backend.name] = (deployment, variant, seat)
        self._backends[backend.name] = backend
        deployment.lanes[variant].seats[backend.name] = seat

    def detach(self, name: str) -> None:
        """Forget a backend that was stopped.

        Args:
            name: of the backend; it holds nothing any more.
        """
        deployment, variant, _ = self._places.pop(name)
        del self._backends[name]
        del deployment.lanes[variant].seats[name]

    async def reload(self, deployment: Deployment, variant: str, *, source: str, version: str) -> None:
        """Load another model into every backend of a variant, one after the other, so that all but one always work at full speed.

        Args:
            deployment: the model.
            variant: its name.
            source: of the engine; empty: the same again.
            version: of the new model.

        Raises:
            VariantError: there is no such variant.
            ReplicaError: a backend could not load it; it works on, and those before it are reloaded.
        """
        lane, done = deployment.lane(variant), set[str]()
        while left := [name for name in lane.seats if name not in done]:
            await self._backends[left[0]].reload(source, version)
            done.add(left[0])
        before, _ = self._reloaded.get((deployment.model, variant), ("", ""))
        self._reloaded[deployment.model, variant] = (source or before, version)

    def reloaded(self, model: str, variant: str) -> tuple[str, str] | None:
        """Source and version that a variant was reloaded with, the source empty when it is the first; None when it never was."""
        return self._reloaded.get((model, variant))

    def backends(self) -> Mapping[str, Backend]:
        """Every backend by name."""
        return self._backends

    async def run(self) -> None:
        """Look after late requests and hanging backends until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self._tick(time.monotonic_ns())

    def foresee(self, model: str, *, deadline_ns: int, priority: Priority) -> Refusal | None:
        """Say whether a request would be taken, before its body is read.

        Args:
            model: that was asked for.
            deadline_ns: monotonic.
            priority: its class.
        Returns:
            None, or why not.
        """
        deployment = self.deployments.get(model)
        if deployment is None:
            known = ", ".join(self.deployments)
            return Refusal(Reason.UNKNOWN_MODEL, f"there is no model {model[:80]!r}; there are: {known}")
        return deployment.foresee(time.monotonic_ns(), deadline_ns=deadline_ns, priority=priority)

    def refused(self, model: str, reason: Reason) -> None:
        """Count a refusal of a request that never became whole; strangers' names of models make no series."""
        self.meter.refused(model if model in self.deployments else "", reason)

    async def answer(self, request: Request) -> Outcome:
        """Get a request answered; cancel to leave, and it is not executed any more.

        Args:
            request: whole; its number and arrival are set here.
        Returns:
            what became of it, at the latest a moment after its deadline.
        """
        begin_ns = time.monotonic_ns()
        if not request.key:
            outcome = await self._answer(request, begin_ns)
        else:
            found = self._once.find(request, begin_ns)
            if found is True:
                outcome = Refusal(Reason.KEY_REUSED, f"key {request.key[:64]!r} was used for another frame")
            elif found is False:
                told: Outcome | None = None
                try:
                    outcome = told = await self._answer(request, begin_ns)
                finally:
                    self._once.settle(request, told)
            else:
                outcome = await self._joined(found, request)
        self.meter.outcome(request, outcome, seconds=(time.monotonic_ns() - begin_ns) / 1e9)
        return outcome

    def up(self, backend: Backend, facts: Facts) -> None:
        """A backend is warm."""
        deployment, variant, seat = self._places[backend.name]
        lane = deployment.lanes[variant]
        seat.batch, seat.streams = facts.batch, facts.streams
        if (deployment.model, variant) not in self._fixed and facts.points:
            self._fixed.add((deployment.model, variant))
            lane.forecast = Forecast(curve_of(facts.points))
        deployment.revived(seat)
        LOG.info("backend up name=%s version=%s batch=%d", backend.name, facts.version, facts.batch)
        self._move(deployment)

    def ended(self, backend: Backend, number: int, *, outcome: Outcome) -> None:
        """A backend is through with a request."""
        deployment, variant, seat = self._places[backend.name]
        request = seat.running.get(number)
        if request is None:
            return
        now_ns = time.monotonic_ns()
        if isinstance(outcome, Answer):
            predicted_ms = deployment.lanes[variant].forecast.service_ms(outcome.times.batch)
            self.meter.served(deployment.model, variant, times=outcome.times, predicted_ms=predicted_ms)
            outcome = Answer(outcome.result, variant, backend.name, outcome.version, outcome.times)
        final = deployment.ended(seat, request, outcome=outcome, now_ns=now_ns)
        if final is None:
            self.meter.redispatched(deployment.model)
        else:
            self._resolve(request, final)
        self._move(deployment)

    def down(self, backend: Backend, why: str) -> None:
        """A backend died."""
        deployment, variant, seat = self._places[backend.name]
        LOG.warning("backend down name=%s held=%d reason=%s", backend.name, len(seat.running), why)
        self.meter.died(deployment.model, variant)
        before = len(seat.running)
        lost = deployment.died(seat, now_ns=time.monotonic_ns())
        self.meter.redispatched(deployment.model, before - len(lost))
        for request, refusal in lost:
            self._resolve(request, refusal)
        self._move(deployment)

    async def _answer(self, request: Request, now_ns: int) -> Outcome:
        deployment = self.deployments.get(request.model)
        if deployment is None:
            return Refusal(Reason.UNKNOWN_MODEL, f"there is no model {request.model[:80]!r}")
        future = self._expect(request, now_ns)
        try:
            gone, mirror = deployment.arrive(request, now_ns)
            for one, refusal in gone:
                self._resolve(one, refusal)
            self._move(deployment)
            outcome = await future
        except asyncio.CancelledError:
            self._forget(deployment, request)
            self.meter.outcome(request, Refusal(Reason.ABANDONED), seconds=0.0)
            raise
        finally:
            self._waiting.pop(request.number, None)
        if mirror and isinstance(outcome, Answer) and len(self._copies) < COPIES_MAX:
            task = asyncio.get_running_loop().create_task(self._compare(deployment, request, mirror, outcome))
            self._copies.add(task)
            task.add_done_callback(self._copies.discard)
        return outcome

    async def _joined(self, first: "asyncio.Future[Outcome]", request: Request) -> Outcome:
        left_s = (request.deadline_ns - time.monotonic_ns()) / 1e9
        try:
            return await asyncio.wait_for(asyncio.shield(first), max(0.0, left_s))
        except TimeoutError:
            return EXPIRED
        except asyncio.CancelledError:
            if first.cancelled():
                return Refusal(Reason.ABANDONED, "the first caller with this key left", retry_after_ms=0.0)
            raise

    async def _compare(self, deployment: Deployment, request: Request, variant: str, outcome: Answer) -> None:
        """Ask the other variant of a trial the same, and tell the trial how far they agree."""
        now_ns = time.monotonic_ns()
        trial = deployment.trial
        left_ns = request.deadline_ns - request.arrived_ns
        copy = Request(request.model, request.body, now_ns + left_ns, Priority.MIRROR, score_min=request.score_min)
        future = self._expect(copy, now_ns)
        try:
            if trial is None or not deployment.copy(copy, variant, now_ns=now_ns):
                return
            self._move(deployment)
            other = await future
            if isinstance(other, Answer):
                verdict = trial.compared(agreement(json.loads(outcome.result), json.loads(other.result)))
                self.meter.compared(deployment.model, trial.candidate, mean=trial.mean_agreement)
                LOG.debug("trial model=%s verdict=%s", deployment.model, verdict.value)
        finally:
            self._waiting.pop(copy.number, None)

    def _expect(self, request: Request, now_ns: int) -> "asyncio.Future[Outcome]":
        self._number += 1
        request.number, request.arrived_ns = self._number, now_ns
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[request.number] = (request, future)
        return future

    def _resolve(self, request: Request, outcome: Outcome) -> None:
        found = self._waiting.get(request.number)
        if found is not None and not found[1].done():
            found[1].set_result(outcome)

    def _forget(self, deployment: Deployment, request: Request) -> None:
        seat = deployment.forget(request)
        if seat is not None:
            self._backends[seat.name].cancel(request.number)

    def _move(self, deployment: Deployment) -> None:
        moves, late = deployment.pull(time.monotonic_ns())
        for request, refusal in late:
            self._resolve(request, refusal)
        for seat, request in moves:
            self._backends[seat.name].send(request)

    def _tick(self, now_ns: int) -> None:
        for request, future in list(self._waiting.values()):
            if request.deadline_ns <= now_ns and not future.done():
                future.set_result(EXPIRED)
                self._forget(self.deployments[request.model], request)
        for deployment in self.deployments.values():
            for request, refusal in deployment.sweep(now_ns):
                self._resolve(request, refusal)
            self._move(deployment)
            for lane in deployment.lanes.values():
                for seat in lane.seats.values():
                    limit_ns = max(HANG_FACTOR * lane.forecast.service_ms(seat.batch) * MS_NS, HANG_MIN_NS)
                    if seat.running and seat.is_up and now_ns - seat.since_ns > limit_ns:
                        waited_ms = (now_ns - seat.since_ns) / MS_NS
                        seat.since_ns = now_ns
                        self._backends[seat.name].restart(f"no answer for {waited_ms:.0f} ms")
