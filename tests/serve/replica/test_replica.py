"""One engine at work: batches while busy, late work not at all, a newer engine between two batches."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from fleetsight.errors import Error
from fleetsight.serve.engine.protocol import EngineError, Frame
from fleetsight.serve.engine.stand_in import CallableEngine, SleepEngine
from fleetsight.serve.queueing.request import MS_NS, Answer, Outcome, Priority, Reason, Refusal, Request
from fleetsight.serve.replica.replica import PLACES_BATCHES, Replica, measure


class Gated(SleepEngine):
    """Waits at a gate for every batch that is not a sample."""

    def __init__(self) -> None:
        super().__init__(1.0, next_ms=0.0)
        self.gate = threading.Event()
        self.batches: list[list[bytes]] = []
        self.closed = 0

    def infer_batch(self, frames: Sequence[Frame]) -> Sequence[Any]:
        if frames[0].jpeg != self.sample().jpeg:
            self.batches.append([bytes(frame.jpeg) for frame in frames])
            self.gate.wait(10)
            return [len(frame.jpeg) for frame in frames]
        return super().infer_batch(frames)

    def close(self) -> None:
        self.closed += 1


class World:
    def __init__(self, engine: Any, *, batch_max: int) -> None:
        self.outcomes: dict[bytes, Outcome] = {}
        self.replica = Replica(self._told, batch_max=batch_max)
        self.replica.start(lambda: engine, "1")
        self._number = 0

    def _told(self, ended: Sequence[tuple[Request, Outcome]]) -> None:
        for request, outcome in ended:
            self.outcomes[bytes(request.body)] = outcome

    def ask(self, body: bytes, *, ms: float = 10_000, priority: Priority = Priority.QUESTION) -> Request:
        now_ns = time.monotonic_ns()
        self._number += 1
        request = Request("m", body, now_ns + int(ms * MS_NS), priority, arrived_ns=now_ns, number=self._number)
        refusal = self.replica.submit(request)
        if refusal is not None:
            self.outcomes[body] = refusal
        return request

    def wait(self, *bodies: bytes) -> list[Outcome]:
        until_s = time.monotonic() + 10
        while not all(body in self.outcomes for body in bodies):
            assert time.monotonic() < until_s
            time.sleep(0.002)
        return [self.outcomes[body] for body in bodies]


@contextmanager
def world(engine: Any, *, batch_max: int = 1) -> Iterator[World]:
    found = World(engine, batch_max=batch_max)
    try:
        yield found
    finally:
        if isinstance(engine, Gated):
            engine.gate.set()
        found.replica.close()


def started(engine: Gated) -> None:
    until_s = time.monotonic() + 10
    while not engine.batches:
        assert time.monotonic() < until_s
        time.sleep(0.001)


def test_the_first_frame_starts_alone_and_what_gathered_meanwhile_is_one_batch() -> None:
    engine = Gated()
    with world(engine, batch_max=4) as at_work:
        at_work.ask(b"a")
        started(engine)
        for body in (b"b", b"cc", b"ddd"):
            at_work.ask(body)
        engine.gate.set()
        answers = at_work.wait(b"a", b"b", b"cc", b"ddd")
    assert engine.batches == [[b"a"], [b"b", b"cc", b"ddd"]]
    assert [answer.result for answer in answers if isinstance(answer, Answer)] == [b"1", b"1", b"2", b"3"]


def test_late_and_abandoned_frames_are_never_executed() -> None:
    engine = Gated()
    with world(engine) as at_work:
        at_work.ask(b"busy")
        started(engine)
        at_work.ask(b"late", ms=1)
        left = at_work.ask(b"left")
        assert at_work.replica.cancel(left)
        time.sleep(0.01)
        engine.gate.set()
        [late] = at_work.wait(b"late")
    assert isinstance(late, Refusal)
    assert late.reason is Reason.EXPIRED
    assert engine.batches == [[b"busy"]]


def test_a_full_replica_refuses_and_a_charge_takes_the_place_of_a_question() -> None:
    engine = Gated()
    with world(engine) as at_work:
        at_work.ask(b"busy")
        started(engine)
        for number in range(PLACES_BATCHES):
            at_work.ask(b"q%d" % number)
        at_work.ask(b"more")
        at_work.ask(b"charge", priority=Priority.CHARGE)
        more, displaced = at_work.wait(b"more", b"q%d" % (PLACES_BATCHES - 1))
        engine.gate.set()
        at_work.wait(b"charge", b"q0")
    assert isinstance(more, Refusal)
    assert isinstance(displaced, Refusal)
    assert more.reason is displaced.reason is Reason.QUEUE_FULL
    assert engine.batches[1] == [b"charge"]


def test_one_bad_frame_costs_only_itself() -> None:
    def picky(frames: Sequence[Frame]) -> list[int]:
        if any(frame.jpeg == b"bad" for frame in frames):
            raise ValueError("no")
        time.sleep(0.02)
        return [1] * len(frames)

    with world(CallableEngine(picky), batch_max=4) as at_work:
        for body in (b"first", b"good", b"bad", b"fine"):
            at_work.ask(body)
        outcomes = at_work.wait(b"first", b"good", b"bad", b"fine")
    assert [isinstance(outcome, Answer) for outcome in outcomes] == [True, True, False, True]


def test_a_newer_engine_takes_over_and_the_old_one_is_closed_once() -> None:
    old, new = Gated(), Gated()
    new.gate.set()
    with world(old) as at_work:
        at_work.ask(b"old")
        started(old)
        assert at_work.replica.reload(lambda: new, "2").version == "2"
        assert old.closed == 0
        at_work.ask(b"new")
        old.gate.set()
        first, second = at_work.wait(b"old", b"new")
        at_work.wait(b"new")
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.version, second.version) == ("1", "2")
    assert (old.closed, new.closed) == (1, 1)


def test_an_engine_that_cannot_load_leaves_the_old_one_at_work() -> None:
    def broken() -> SleepEngine:
        raise EngineError("no weights")

    with world(SleepEngine(1)) as at_work:
        with pytest.raises(Error, match="no weights"):
            at_work.replica.reload(broken, "2")
        at_work.ask(b"a")
        [answer] = at_work.wait(b"a")
    assert isinstance(answer, Answer)
    assert answer.version == "1"


def test_what_waits_when_a_replica_closes_is_refused() -> None:
    engine = Gated()
    with world(engine) as at_work:
        at_work.ask(b"busy")
        started(engine)
        at_work.ask(b"waits")
        threading.Timer(0.05, engine.gate.set).start()
        at_work.replica.close()
        busy, waits = at_work.wait(b"busy", b"waits")
        at_work.ask(b"after")
    assert isinstance(busy, Answer)
    assert isinstance(waits, Refusal)
    assert isinstance(at_work.outcomes[b"after"], Refusal)


def test_batches_are_timed_at_start() -> None:
    points = measure(SleepEngine(4, next_ms=1), 6)
    assert list(points) == [1, 2, 4, 6]
    assert points[1] >= 4
    assert points[6] >= 9
