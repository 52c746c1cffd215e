"""A process with one replica: takes requests over a socket, answers over the same.

It listens on a Unix or TCP socket and serves any number of API tiers. A tier that goes away takes its waiting requests with it. There is no
password on this wire: a Unix socket lies in a folder of its user, a TCP address belongs on a network of the fleet's own.
"""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from fleetsight.errors import Error
from fleetsight.serve.engine.source import Source, open_engine
from fleetsight.serve.queueing.request import Outcome, Reason, Refusal, Request
from fleetsight.serve.replica import wire
from fleetsight.serve.replica.replica import Replica
from fleetsight.serve.replica.wire import Kind, WireError

LOG = logging.getLogger(__name__)


class Host:
    """The server around a replica.

    Args:
        source: of the engine.
        batch_max: most frames of one batch.
        streams: batches at once.
    """

    def __init__(self, source: Source, *, batch_max: int = 1, streams: int = 1) -> None:
        self._source = source
        self.replica = Replica(self._told, batch_max=batch_max, streams=streams)
        self._owners: dict[int, tuple[_Connection, int]] = {}
        self._numbers = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reloading: set[asyncio.Task[None]] = set()

    async def serve(self, listening: socket.socket, version: str = "") -> None:
        """Warm up, then answer until cancelled.

        Args:
            listening: an open socket; connections wait in its backlog until the engine is warm.
            version: of the model.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.replica.start, lambda: open_engine(self._source), version)
        is_unix = listening.family == socket.AF_UNIX
        make = self._loop.create_unix_server if is_unix else self._loop.create_server
        server = await make(lambda: _Connection(self), sock=listening)
        try:
            await server.serve_forever()
        finally:
            server.close()
            await asyncio.to_thread(self.replica.close)

    def took(self, connection: "_Connection", request: Request) -> None:
        """Let a request of a tier wait."""
        self._numbers += 1
        theirs, request.number = request.number, self._numbers
        self._owners[request.number] = (connection, theirs)
        connection.requests[theirs] = request
        refusal = self.replica.submit(request)
        if refusal is not None:
            self._deliver([(request, refusal)])

    def dropped(self, request: Request) -> bool:
        """Forget a request that nobody wants any more; says whether it had not begun."""
        waited = self.replica.cancel(request)
        if waited:
            connection, theirs = self._owners.pop(request.number)
            connection.requests.pop(theirs, None)
        return waited

    def reload(self, connection: "_Connection", text: str, *, version: str) -> None:
        """Load another model beside this one."""
        assert self._loop is not None
        task = self._loop.create_task(self._reload(connection, text, version))
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reload(self, connection: "_Connection", text: str, version: str) -> None:
        source = replace(self._source, text=text or self._source.text)
        try:
            facts = await asyncio.to_thread(self.replica.reload, lambda: open_engine(source), version)
        except Error as error:
            told = {"ok": False, "detail": str(error)}
        else:
            self._source = source
            told = {"ok": True, "detail": facts.version}
        connection.write(wire.message(Kind.RELOADED, json.dumps(told).encode()))

    def _told(self, ended: Sequence[tuple[Request, Outcome]]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, ended)

    def _deliver(self, ended: Sequence[tuple[Request, Outcome]]) -> None:
        for request, outcome in ended:
            connection, theirs = self._owners.pop(request.number, (None, 0))
            if connection is not None:
                connection.requests.pop(theirs, None)
                connection.write(wire.outcome_message(theirs, outcome))


class _Connection(asyncio.Protocol):
    """One API tier."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = wire.Reader()
        self._transport: asyncio.Transport | None = None
        self.requests: dict[int, Request] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        at_once(self._transport)
        self.write(wire.hello(self._host.replica.facts))

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._reader.feed(data):
                self._heard(kind, payload)
        except WireError as error:
            LOG.warning("a tier was cut off reason=%s", error)
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's protocol
        self._transport = None
        for request in list(self.requests.values()):
            self._host.dropped(request)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _heard(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.REQUEST:
            self._host.took(self, wire.read_request(payload, model="", now_ns=time.monotonic_ns()))
        elif kind is Kind.CANCEL:
            number = wire.number_of(payload)
            request = self.requests.get(number)
            if request is not None and self._host.dropped(request):
                self.write(wire.outcome_message(number, Refusal(Reason.ABANDONED, "the caller left")))
        elif kind is Kind.RELOAD:
            try:
                told = json.loads(payload)
                self._host.reload(self, str(told["source"]), version=str(told["version"]))
            except (ValueError, KeyError, TypeError) as error:
                raise WireError(f"a malformed reload: {error}") from error
        else:
            raise WireError(f"a tier does not send {kind.name}")


def at_once(transport: asyncio.BaseTransport) -> None:
    """Send what is written at once (TCP_NODELAY)."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
