"""An engine with its queue and its threads.

The threads take batches out of the line themselves: between two batches there is no event loop, and an idle engine starts on the first
frame at once. A newer engine is loaded beside the old one and takes over between two batches.
"""

import logging
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fleetsight.errors import Error
from fleetsight.serve.engine.protocol import Engine
from fleetsight.serve.queueing.batching import take_batch, useful_batch
from fleetsight.serve.queueing.forecast import curve_of
from fleetsight.serve.queueing.line import Line
from fleetsight.serve.queueing.request import MS_NS, Outcome, Reason, Refusal, Request, Times
from fleetsight.serve.replica.verdicts import infer, outcome

PLACES_BATCHES = 4
"""Batches that may wait in a replica: two of one router, and as many of a second one that does not know of the first."""
MEASURED_TIMES = 3
"""Batches of each size at start; their median is the first forecast."""
LOG = logging.getLogger(__name__)

Told = Callable[[Sequence[tuple[Request, Outcome]]], None]


class ReplicaError(Error):
    """A replica cannot do what it was asked."""

    code = "serve_replica"


@dataclass(frozen=True)
class Facts:
    """What a replica is once it is warm.

    Attributes:
        version: of the model.
        batch: most frames of one batch that pay.
        streams: batches at once.
        points: milliseconds by batch, measured at start.
    """

    version: str
    batch: int = 1
    streams: int = 1
    points: dict[int, float] = field(default_factory=dict)


@dataclass(eq=False)
class _Lease:
    """An engine and how many threads are inside it."""

    engine: Engine
    version: str
    users: int = 0
    is_retired: bool = False


class Replica:
    """Runs one engine.

    Args:
        told: called from the engine's threads with what became of requests; must not block.
        batch_max: most frames the engine takes at once, >= 1.
        streams: threads, >= 1.
    """

    def __init__(self, told: Told, *, batch_max: int = 1, streams: int = 1) -> None:
        self._told = told
        self._batch_max = batch_max
        self._streams = streams
        self._lock = threading.Condition()
        self._lease: _Lease | None = None
        self._line = Line(PLACES_BATCHES * batch_max * streams)
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.facts = Facts(version="")

    def start(self, open_engine: Callable[[], Engine], version: str) -> Facts:
        """Load, warm up, measure, and begin to work; blocks until then.

        Args:
            open_engine: makes the engine.
            version: of the model.
        Returns:
            what it is.

        Raises:
            Error: the engine cannot be loaded.
        """
        lease = _Lease(_ready(open_engine), version)
        points = measure(lease.engine, self._batch_max)
        batch = useful_batch(curve_of(points), self._batch_max)
        self.facts = Facts(version, batch, self._streams, points)
        self._lease = lease
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{number}", daemon=True) for number in range(self._streams)
        ]
        for thread in self._threads:
            thread.start()
        return self.facts

    def submit(self, request: Request) -> Refusal | None:
        """Let a request wait for the engine; safe from any thread.

        Args:
            request: its `arrived_ns` is the time on this side.
        Returns:
            None, or why it may not wait.
        """
        with self._lock:
            if self._closed:
                return Refusal(Reason.NO_BACKEND, "the replica is closed")
            gone = self._line.push(request)
            self._lock.notify()
        if gone is request:
            return Refusal(Reason.QUEUE_FULL, f"{self._line.places} frames wait at this replica already")
        if gone is not None:
            self._told([(gone, Refusal(Reason.QUEUE_FULL, "a frame of a higher class took the place"))])
        return None

    def cancel(self, request: Request) -> bool:
        """Take a request out when it has not started; its caller left.

        Args:
            request: any.
        Returns:
            whether it was waiting.
        """
        with self._lock:
            return self._line.remove(request)

    def reload(self, open_engine: Callable[[], Engine], version: str) -> Facts:
        """Load another engine beside this one and let it take over between two batches; blocks until then.

        Args:
            open_engine: makes the new engine.
            version: of the new model.
        Returns:
            what it is now.

        Raises:
            Error: the new engine cannot be loaded; the old one works on.
        """
        fresh = _Lease(_ready(open_engine), version)
        with self._lock:
            old, self._lease = self._lease, fresh
            self.facts = Facts(version, self.facts.batch, self.facts.streams, self.facts.points)
            if old is not None:
                old.is_retired = True
        if old is not None:
            self._close_unused(old)
        return self.facts

    def close(self, *, wait_s: float = 5.0) -> None:
        """Stop taking work, finish the batch that runs, give memory back; what waits is refused.

        Args:
            wait_s: how long the batch that runs may take; a thread that hangs is left behind.
        """
        with self._lock:
            self._closed = True
            left = list(self._line)
            for request in left:
                self._line.remove(request)
            lease, self._lease = self._lease, None
            self._lock.notify_all()
        self._told([(request, Refusal(Reason.NO_BACKEND, "the replica closed")) for request in left])
        until_s = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        if lease is not None:
            lease.is_retired = True
            self._close_unused(lease)

    def is_working(self) -> bool:
        """Whether one of its threads has not come to its end."""
        return any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while True:
            with self._lock:
                while not len(self._line) and not self._closed:
                    self._lock.wait()
                lease = self._lease
                if self._closed or lease is None:
                    return
                begin_ns = time.monotonic_ns()
                batch, late = take_batch(self._line, self.facts.batch, now_ns=begin_ns)
                lease.users += 1
            if late:
                said = Refusal(Reason.EXPIRED, "the deadline passed before the engine was free")
                self._told([(request, said) for request in late])
            if batch:
                self._told(self._run(lease, batch, begin_ns))
            with self._lock:
                lease.users -= 1
            if lease.is_retired:
                self._close_unused(lease)

    def _run(self, lease: _Lease, batch: list[Request], begin_ns: int) -> list[tuple[Request, Outcome]]:
        results = infer(lease.engine, batch)
        service_ms = (time.monotonic_ns() - begin_ns) / MS_NS
        return [
            (
                request,
                outcome(
                    result,
                    Times(max(0, begin_ns - request.arrived_ns) / MS_NS, service_ms, len(batch)),
                    version=lease.version,
                ),
            )
            for request, result in zip(batch, results, strict=True)
        ]

    def _close_unused(self, lease: _Lease) -> None:
        with self._lock:
            is_last = lease.is_retired and lease.users == 0
            lease.users -= is_last  # -1: closed once
        if is_last:
            lease.engine.close()


def measure(engine: Engine, batch_max: int) -> dict[int, float]:
    """Time batches of 1, 2, 4 ... frames.

    Args:
        engine: warm.
        batch_max: most frames, >= 1.
    Returns:
        median milliseconds by batch.
    """
    sizes = [1]
    while sizes[-1] < batch_max:
        sizes.append(min(2 * sizes[-1], batch_max))
    sample = engine.sample()
    points: dict[int, float] = {}
    for size in sizes:
        times = []
        for _ in range(MEASURED_TIMES):
            begin_ns = time.monotonic_ns()
            engine.infer_batch([sample] * size)
            times.append((time.monotonic_ns() - begin_ns) / MS_NS)
        points[size] = max(statistics.median(times), 1e-3)
    return points


def _ready(open_engine: Callable[[], Engine]) -> Engine:
    engine = open_engine()
    engine.load()
    engine.warmup()
    return engine
