"""A server whose service time is known: what the generators are tried on."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import uvicorn

from fleetsight.serve.load.arrivals import poisson_times
from fleetsight.serve.load.shots import Shots
from fleetsight.serve.load.virtual import VirtualServer

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class StandIn:
    """Answers after a known time, one request at a time; refuses when too many wait.

    Args:
        service_ms: time of one request.
        waiting_max: requests that may wait; more are answered 429.
    """

    def __init__(self, service_ms: float = 2.0, *, waiting_max: int = 1000) -> None:
        self.service_ms = service_ms
        self.waiting_max = waiting_max
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.headers: set[tuple[bytes, bytes]] = set()
        self._waiting = 0
        self._turn = asyncio.Lock()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self.paths.add(scope["path"])
        self.headers |= set(scope["headers"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        if self._waiting >= self.waiting_max:
            await self._answer(send, 429, {"error": "full"})
            return
        self._waiting += 1
        async with self._turn:
            await asyncio.sleep(self.service_ms / 1000)
        self._waiting -= 1
        times = {"queue": 0.0, "service": self.service_ms, "total": self.service_ms}
        await self._answer(send, 200, {"backend": "stand-in", "batch": 1, "times_ms": times})

    async def _answer(self, send: Send, status: int, fields: dict[str, Any]) -> None:
        body = json.dumps(fields).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def served(app: StandIn) -> Iterator[str]:
    """Serve on a free port of loopback; yields the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


class VirtualGun:
    """A gun at a server in virtual time; remembers the rates that were asked for."""

    def __init__(self, server: VirtualServer) -> None:
        self.server = server
        self.rates: list[float] = []

    def open_loop(self, rate_hz: float, duration_s: float, *, seed: int) -> Shots:
        self.rates.append(rate_hz)
        return self.server.run(poisson_times(rate_hz, duration_s, seed=seed), seed=seed)

    def closed_loop(self, callers: int, duration_s: float) -> Shots:
        """So many callers keep one server that answers one at a time busy for the whole run."""
        each_s = self.server.profile.service_ms(1) / 1000
        count = int(duration_s / each_s)
        done = np.arange(1, count + 1) * each_s
        return Shots(
            scheduled_s=np.maximum(0.0, done - callers * each_s),
            latency_ms=np.full(count, callers * each_s * 1000),
            outcome=np.zeros(count, dtype=np.uint8),
            lag_ms=np.zeros(count),
            batch=np.ones(count, dtype=np.int32),
            service_ms=np.full(count, each_s * 1000),
            cpu_s=0.0,
            wall_s=duration_s,
        )
