"""The load generator: an open loop that keeps to its schedule whatever the server does, and a closed loop of patient callers.

Both run in a process that does nothing else (`processes.py`). Nothing of a request's time is left out: a request that finds no free
connection waits, and its waiting counts.
"""

import asyncio
import gc
import json
import math
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetsight.serve.load.line import BROKEN, Line, Payload, Target
from fleetsight.serve.load.shots import Outcome, Shots

CONNECTIONS_MAX = 512
"""Connections of one generator; beyond that requests wait for one, and their waiting counts."""

CONNECT_S = 5.0
"""How long making a connection may take."""

TIMEOUT_S = 10.0
"""A request without an answer for so long has failed."""

SWEEP_S = 0.1
"""How often requests without an answer are looked for."""

REJECTIONS = (429, 503)


@dataclass(frozen=True)
class Volley:
    """What one generator has to send.

    Attributes:
        target: where to.
        start_s: when the run begins, on this machine's monotonic clock; several generators begin together.
        times_s: (n,) open loop: when each request is due, seconds since `start_s`; empty for a closed loop.
        callers: closed loop: callers that each send their next request when the last is answered; 0 for an open loop.
        duration_s: length of the run; a closed loop ends with it.
        timeout_s: how long an answer may take.
        bodies_from: which body is sent first, so that several generators do not send the same ones in step.
    """

    target: Target
    start_s: float
    times_s: NDArray[np.float64]
    callers: int
    duration_s: float
    timeout_s: float = TIMEOUT_S
    bodies_from: int = 0


def fire(volley: Volley, payloads: Sequence[Payload]) -> Shots:
    """Send what a volley asks for, and wait for the answers.

    Args:
        volley: what to send.
        payloads: bodies, sent in turn; at least one.

    Returns:
        one row for each request.
    """
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection of a few milliseconds would be the server's latency
    cpu_s = time.process_time()
    try:
        run = _Run(volley, payloads)
        asyncio.run(run.closed_loop() if volley.callers else run.open_loop())
    finally:
        gc.enable()
    return run.shots(cpu_s=time.process_time() - cpu_s)


class _Run:
    """One run of a generator, in one event loop."""

    def __init__(self, volley: Volley, payloads: Sequence[Payload]) -> None:
        self._volley = volley
        self._requests = [(volley.target.head(payload), payload.body) for payload in payloads]
        self._columns = {name: array("d") for name in ("due", "sent", "done", "status", "batch", "service")}
        self._idle: list[Line] = []
        self._lines = 0
        self._backlog: deque[int] = deque()
        self._under_way: dict[int, Line] = {}
        self._open = 0
        self._again = False  # a closed loop sends the next request when one ends
        self._tasks: set[asyncio.Task[None]] = set()

    def _now_s(self) -> float:
        return time.monotonic() - self._volley.start_s

    async def open_loop(self) -> None:
        sweeping = asyncio.create_task(self._sweep())
        for due_s in self._volley.times_s:
            wait_s = due_s - self._now_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif self._open % 64 == 63:
                await asyncio.sleep(0)  # late: answers are read all the same
            self._ask(float(due_s))
        await self._ended(sweeping)

    async def closed_loop(self) -> None:
        sweeping = asyncio.create_task(self._sweep())
        await asyncio.sleep(max(0.0, -self._now_s()))
        self._again = True
        for _ in range(self._volley.callers):
            self._ask(self._now_s())
        await asyncio.sleep(max(0.0, self._volley.duration_s - self._now_s()))
        self._again = False
        await self._ended(sweeping)

    async def _ended(self, sweeping: asyncio.Task[None]) -> None:
        while self._open:
            await asyncio.sleep(0.005)
        sweeping.cancel()
        for line in self._idle:
            line.abort()
        await asyncio.gather(sweeping, *self._tasks, return_exceptions=True)

    def _ask(self, due_s: float) -> None:
        index = len(self._columns["due"])
        for name, value in (("due", due_s), ("sent", math.nan), ("done", math.nan), ("status", BROKEN)):
            self._columns[name].append(value)
        self._columns["batch"].append(0)
        self._columns["service"].append(math.nan)
        self._open += 1
        self._dispatch(index)

    def _dispatch(self, index: int) -> None:
        while self._idle:
            line = self._idle.pop()
            if line.usable:
                self._send(line, index)
                return
            self._lines -= 1
        if self._lines < CONNECTIONS_MAX:
            self._lines += 1
            task = asyncio.create_task(self._connect(index))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._backlog.append(index)

    async def _connect(self, index: int) -> None:
        target = self._volley.target
        try:
            async with asyncio.timeout(CONNECT_S):
                _, line = await asyncio.get_running_loop().create_connection(Line, target.host, target.port)
        except (OSError, TimeoutError):
            self._lines -= 1
            await asyncio.sleep(0.01)  # a closed loop on a dead server must not spin
            self._finish(index, BROKEN, b"")
        else:
            self._send(line, index)

    def _send(self, line: Line, index: int) -> None:
        head, body = self._requests[(index + self._volley.bodies_from) % len(self._requests)]
        self._columns["sent"][index] = self._now_s()
        self._under_way[index] = line

        def done(status: int, answer: bytes) -> None:
            del self._under_way[index]
            if line.usable:
                self._idle.append(line)
            else:
                self._lines -= 1
            self._finish(index, status, answer)

        line.send(head, body, done=done)

    def _finish(self, index: int, status: int, answer: bytes) -> None:
        self._columns["done"][index] = self._now_s()
        self._columns["status"][index] = status
        self._columns["batch"][index], self._columns["service"][index] = batch_of(answer)
        self._open -= 1
        if self._backlog:
            self._dispatch(self._backlog.popleft())
        if self._again:
            asyncio.get_running_loop().call_soon(self._ask_again)

    def _ask_again(self) -> None:
        if self._again:
            self._ask(self._now_s())

    async def _sweep(self) -> None:
        """Give up what has no answer in time, on a line or in the backlog."""
        while True:
            await asyncio.sleep(SWEEP_S)
            before_s = self._now_s() - self._volley.timeout_s
            due = self._columns["due"]
            for index in [index for index in self._under_way if due[index] < before_s]:
                if index in self._under_way:
                    self._under_way[index].abort()
            while self._backlog and due[self._backlog[0]] < before_s:
                self._finish(self._backlog.popleft(), BROKEN, b"")

    def shots(self, *, cpu_s: float) -> Shots:
        due, sent, done, status, batch, service = (np.array(column) for column in self._columns.values())
        outcome = np.full(len(due), Outcome.FAILED, dtype=np.uint8)
        outcome[status == 200] = Outcome.ANSWERED
        outcome[np.isin(status, REJECTIONS)] = Outcome.REJECTED
        late = np.where(np.isnan(sent), done, sent) - due
        return Shots(
            scheduled_s=due,
            latency_ms=(done - due) * 1000,
            outcome=outcome,
            lag_ms=late * 1000,
            batch=batch.astype(np.int32),
            service_ms=service,
            cpu_s=cpu_s,
            wall_s=max(self._now_s(), 1e-9),
        )


def batch_of(answer: bytes) -> tuple[int, float]:
    """What an answer says about the batch it came from.

    Args:
        answer: body of the answer.

    Returns:
        frames in the batch and what it took, milliseconds; 0 and nan when the server does not say.
    """
    if b'"times_ms"' in answer:
        try:
            fields = json.loads(answer)
            return int(fields["batch"]), float(fields["times_ms"]["service"])
        except (ValueError, TypeError, KeyError, AttributeError):
            pass  # another server's word of the same name
    return 0, math.nan
