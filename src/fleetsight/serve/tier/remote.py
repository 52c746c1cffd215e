"""A backend in another process, on this machine or another: one connection, many requests, and a new life after each death.

Death is the end of the connection, which the kernel reports within a millisecond of a kill. A child process is started again; a foreign
replica is dialled again.
"""

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import time
from dataclasses import replace
from typing import cast

from fleetsight.errors import Error
from fleetsight.serve.queueing.request import Request
from fleetsight.serve.replica import wire
from fleetsight.serve.replica.address import Address
from fleetsight.serve.replica.child import Order
from fleetsight.serve.replica.host import at_once
from fleetsight.serve.replica.replica import Facts, ReplicaError
from fleetsight.serve.replica.wire import Kind, WireError
from fleetsight.serve.tier.backend import Listener

START_S = 120.0
"""How long a replica may take to load and warm up at the first start: a compiler for an accelerator takes minutes in the worst case."""
STEADY_S = 5.0
"""A life longer than this was not a crash at start, and the next one begins at once."""
DIAL_FIRST_S, DIAL_MAX_S = 0.02, 2.0
"""Rest between two tries to reach a replica, doubling."""
RELOAD_S = 600.0
LOG = logging.getLogger(__name__)


class RemoteBackend:
    """A replica behind a socket.

    Args:
        name: unique in this process.
        address: where it listens.
        order: how to start it as a child; None: somebody else runs it.
    """

    def __init__(self, name: str, address: Address, *, order: Order | None = None) -> None:
        self.name = name
        self._address = address
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: Listener | None = None
        self._link: _Link | None = None
        self._life: asyncio.Task[None] | None = None
        self._reloaded: asyncio.Future[str] | None = None
        self._is_stopping = False

    @property
    def pid(self) -> int | None:
        """Of the child; None when there is none."""
        return None if self._process is None else self._process.pid

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        first = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(first))
        try:
            async with asyncio.timeout(START_S):
                await first
        except TimeoutError as error:
            await self.stop()
            said = f"backend {self.name} at {self._address} was not warm after {START_S:g} s"
            raise ReplicaError(said, hint="is the address right, and does somebody listen there?") from error

    def send(self, request: Request) -> None:
        if self._link is not None:
            self._link.write(*wire.request_parts(request, time.monotonic_ns()))

    def cancel(self, number: int) -> None:
        if self._link is not None:
            self._link.write(wire.cancel(number))

    async def reload(self, text: str, version: str) -> str:
        if self._link is None or self._reloaded is not None:
            raise ReplicaError(f"backend {self.name} is not up or reloads already", hint="wait, then reload")
        self._reloaded = asyncio.get_running_loop().create_future()
        self._link.write(wire.message(Kind.RELOAD, json.dumps({"source": text, "version": version}).encode()))
        try:
            async with asyncio.timeout(RELOAD_S):
                now = await self._reloaded
        except TimeoutError as error:
            raise ReplicaError(f"backend {self.name} did not reload within {RELOAD_S:g} s") from error
        finally:
            self._reloaded = None
        if self._order is not None:  # its next life begins with what it runs now
            source = replace(self._order.source, text=text or self._order.source.text)
            self._order = replace(self._order, source=source, version=version)
        return now

    def restart(self, why: str) -> None:
        LOG.warning("backend is ended name=%s reason=%s", self.name, why)
        if self._process is not None:
            self._process.kill()
        elif self._link is not None:
            self._link.abort()

    async def stop(self) -> None:
        self._is_stopping = True
        if self._life is not None:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
        if self._link is not None:
            self._link.abort()
        await self._end_child()

    def heard(self, kind: Kind, payload: bytes) -> None:
        """Take a message of the replica in."""
        if kind in (Kind.ANSWER, Kind.REFUSAL) and self._listener is not None:
            number, outcome = wire.read_outcome(kind, payload)
            self._listener.ended(self, number, outcome=outcome)
        elif kind is Kind.RELOADED and self._reloaded is not None and not self._reloaded.done():
            told = json.loads(payload)
            if told["ok"]:
                self._reloaded.set_result(told["detail"])
            else:
                self._reloaded.set_exception(
                    ReplicaError(f"backend {self.name} keeps its model: {told['detail']}", hint="check the source")
                )

    async def _live(self, first: "asyncio.Future[None]") -> None:
        """Start, connect, wait for the end of the connection; again and again."""
        rest_s = DIAL_FIRST_S
        while not self._is_stopping:
            if self._order is not None and self._process is None:
                self._process = await asyncio.to_thread(self._spawn, self._order)
            link = await self._dial()
            if link is None:
                code = None if self._process is None else self._process.poll()
                if code is not None:
                    await self._end_child()
                    if not first.done():
                        said = f"backend {self.name} ended with code {code} before it was warm"
                        first.set_exception(ReplicaError(said, hint="the reason stands above, on stderr"))
                        return
                await asyncio.sleep(rest_s)
                rest_s = min(2 * rest_s, DIAL_MAX_S)
                continue
            began_s = time.monotonic()
            await self._connected(link, first)
            if time.monotonic() - began_s > STEADY_S:
                rest_s = DIAL_FIRST_S
            await self._end_child()

    async def _connected(self, link: "_Link", first: "asyncio.Future[None]") -> None:
        """Use a connection until it ends."""
        self._link = link
        if self._listener is not None and link.facts is not None:
            self._listener.up(self, link.facts)
        if not first.done():
            first.set_result(None)
        why = await link.lost
        self._link = None
        if self._reloaded is not None and not self._reloaded.done():
            self._reloaded.set_exception(ReplicaError(f"backend {self.name} died while it reloaded"))
        if self._listener is not None and not self._is_stopping:
            self._listener.down(self, why)

    async def _dial(self) -> "_Link | None":
        loop = asyncio.get_running_loop()
        link = _Link(self)
        try:
            if self._address.path:
                await loop.create_unix_connection(lambda: link, self._address.path)
            else:
                await loop.create_connection(lambda: link, self._address.host, self._address.port)
            await link.greeted  # a child that is not warm yet lets us wait in its backlog
        except (OSError, Error):
            return None
        except asyncio.CancelledError:
            link.abort()
            raise
        return link

    async def _end_child(self) -> None:
        """Make sure that a child whose connection ended is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)
            if process.stdin is not None:
                process.stdin.close()

    @staticmethod
    def _spawn(order: Order) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "fleetsight.serve.replica.child", order.to_json()]
        return subprocess.Popen(command, stdin=subprocess.PIPE)  # its stdin ends when this process ends


class _Link(asyncio.Protocol):
    """One life of the connection."""

    def __init__(self, owner: RemoteBackend) -> None:
        loop = asyncio.get_running_loop()
        self._owner = owner
        self._reader = wire.Reader()
        self._transport: asyncio.Transport | None = None
        self.facts: Facts | None = None
        self.greeted: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        at_once(transport)

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._reader.feed(data):
                if kind is Kind.HELLO:
                    self.facts = wire.read_hello(payload)
                    if not self.greeted.done():
                        self.greeted.set_result(None)
                else:
                    self._owner.heard(kind, payload)
        except WireError as error:
            if not self.greeted.done():
                self.greeted.set_exception(error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.greeted.done():
            self.greeted.set_exception(ReplicaError("the replica hung up before it was warm"))
        if not self.lost.done():
            self.lost.set_result(f"the connection ended: {exc or 'closed by the replica'}")

    def write(self, *parts: bytes | bytearray | memoryview) -> None:
        if self._transport is not None:
            self._transport.writelines(parts)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()
