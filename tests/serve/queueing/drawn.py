"""Requests and lanes as the tests of the queue draw them, and a small world in virtual time that serves them."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from fleetsight.serve.queueing.batching import take_batch
from fleetsight.serve.queueing.deployment import Deployment
from fleetsight.serve.queueing.forecast import Forecast, curve_of
from fleetsight.serve.queueing.lane import Lane, Seat
from fleetsight.serve.queueing.line import Line
from fleetsight.serve.queueing.request import MS_NS, Answer, Outcome, Priority, Reason, Refusal, Request, Times

NUMBERS = itertools.count(1)
START_NS = 10**12


def a_request(
    *, deadline_ms: float = 1000.0, now_ns: int = START_NS, priority: Priority = Priority.QUESTION
) -> Request:
    deadline_ns = now_ns + int(deadline_ms * MS_NS)
    return Request("m", b"jpeg", deadline_ns, priority=priority, arrived_ns=now_ns, number=next(NUMBERS))


def a_lane(
    variant: str = "cpu",
    *,
    ms: float = 20.0,
    batch: int = 1,
    seats: int = 1,
    usd_per_hour: float = 0.0,
    each: float = 1.0,
) -> Lane:
    """A variant whose batch of n takes ms * (1 + (n - 1) * each)."""
    curve = curve_of({1: ms, 2: ms * (1 + each)})
    lane = Lane(variant, Forecast(curve), usd_per_hour=usd_per_hour)
    for number in range(seats):
        lane.seats[f"{variant}-{number}"] = Seat(f"{variant}-{number}", batch=batch)
    return lane


@dataclass
class Engine:
    """What stands behind a seat in the simulated world: the replica's own line, and one batch at a time."""

    seat: Seat
    curve: Callable[[int], float]
    line: Line = field(default_factory=lambda: Line(10**6))
    batch: list[Request] = field(default_factory=list)
    life: int = 0
    is_alive: bool = True


class World:
    """Runs a deployment under a virtual clock: arrivals, batches, deaths and revivals are events on one heap."""

    def __init__(self, deployment: Deployment, *, seed: int, jitter: float = 0.0) -> None:
        self.deployment = deployment
        self.random = random.Random(seed)
        self.jitter = jitter
        self.now_ns = START_NS
        self.asked: list[Request] = []
        self.outcomes: dict[int, tuple[Outcome, int]] = {}
        self.started: list[tuple[Request, int]] = []
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.engines = {
            seat.name: Engine(seat, lane.forecast.service_ms)
            for lane in deployment.lanes.values()
            for seat in lane.seats.values()
        }
        for lane in deployment.lanes.values():  # the truth does not follow what the forecast learns
            truth = Forecast(lane.forecast._curve)
            for name in lane.seats:
                self.engines[name].curve = truth.service_ms

    def at(self, when_ns: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when_ns, next(self._numbers), act))

    def poisson(
        self,
        rate_hz: float,
        *,
        seconds: float,
        deadline_ms: float,
        priority: Priority = Priority.QUESTION,
        start_s: float = 0.0,
    ) -> None:
        now_s = start_s
        while (now_s := now_s + self.random.expovariate(rate_hz)) < start_s + seconds:
            self.at(START_NS + int(now_s * 1e9), lambda: self.ask(deadline_ms, priority))

    def ask(self, deadline_ms: float, priority: Priority) -> None:
        request = a_request(deadline_ms=deadline_ms, now_ns=self.now_ns, priority=priority)
        self.asked.append(request)
        gone, _ = self.deployment.arrive(request, self.now_ns)
        self._over(gone)
        self._move()

    def kill(self, name: str) -> None:
        engine = self.engines[name]
        engine.is_alive, engine.life = False, engine.life + 1
        engine.line, engine.batch = Line(10**6), []
        self._over(self.deployment.died(engine.seat, now_ns=self.now_ns))
        self._move()

    def revive(self, name: str) -> None:
        self.engines[name].is_alive = True
        self.deployment.revived(self.engines[name].seat)
        self._move()

    def run(self) -> None:
        while self._events:
            self.now_ns, _, act = heapq.heappop(self._events)
            act()
        self._over(self.deployment.sweep(self.now_ns + 10**12))

    def good(self, *, of: Priority | None = None) -> int:
        """Answers in time."""
        return sum(
            isinstance(self.outcomes[r.number][0], Answer) and self.outcomes[r.number][1] <= r.deadline_ns
            for r in self.asked
            if of is None or r.priority is of
        )

    def late(self, *, of: Priority | None = None) -> int:
        """Requests that were taken in and got no answer in time."""
        broken = {Reason.EXPIRED, Reason.DISPLACED, Reason.BACKEND_LOST}
        count = 0
        for request in self.asked:
            outcome, when_ns = self.outcomes[request.number]
            is_late = outcome.reason in broken if isinstance(outcome, Refusal) else when_ns > request.deadline_ns
            count += is_late and (of is None or request.priority is of)
        return count

    def _over(self, gone: list[tuple[Request, Refusal]]) -> None:
        for request, refusal in gone:
            self._tell(request, refusal)

    def _tell(self, request: Request, outcome: Outcome) -> None:
        assert request.number not in self.outcomes, "a request ended twice"
        self.outcomes[request.number] = (outcome, self.now_ns)

    def _move(self) -> None:
        moves, late = self.deployment.pull(self.now_ns)
        self._over(late)
        for seat, request in moves:
            self.engines[seat.name].line.push(request)
        for engine in self.engines.values():
            self._begin(engine)

    def _begin(self, engine: Engine) -> None:
        if not engine.is_alive or engine.batch:
            return
        engine.batch, late = take_batch(engine.line, engine.seat.batch, now_ns=self.now_ns)
        for request in late:
            said = self.deployment.ended(engine.seat, request, outcome=Refusal(Reason.EXPIRED), now_ns=self.now_ns)
            if said is not None:
                self._tell(request, said)
        if not engine.batch:
            return
        self.started += [(request, self.now_ns) for request in engine.batch]
        took_ms = engine.curve(len(engine.batch)) * (1 + self.jitter * self.random.random())
        life = engine.life
        self.at(self.now_ns + int(took_ms * MS_NS), lambda: self._end(engine, life, took_ms))

    def _end(self, engine: Engine, life: int, took_ms: float) -> None:
        if engine.life != life:
            return
        batch, engine.batch = engine.batch, []
        for request in batch:
            answer = Answer(b"{}", backend=engine.seat.name, times=Times(service=took_ms, batch=len(batch)))
            said = self.deployment.ended(engine.seat, request, outcome=answer, now_ns=self.now_ns)
            if said is not None:
                self._tell(request, said)
        self._move()
