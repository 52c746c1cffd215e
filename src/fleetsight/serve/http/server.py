"""Answers HTTP on an open socket until told to end: uvicorn around the app, with what it does not limit by itself."""

import asyncio
import socket
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fleetsight.serve.http.app import App
from fleetsight.serve.tier.service import Service

HEAD_S = 10.0
"""From the connection, or the first byte of a request, to the end of its head."""
HEAD_BYTES_MAX = 64 * 1024
"""Of all headers together, as h11 has it; a camera's are under 1 kB."""
CONNECTIONS_MAX = 4096
"""Connections, not requests: a fleet of cameras is mostly idle keep-alives. What is worked on is bounded by admission."""
KEEP_ALIVE_S = 120
GRACE_S = 5
BACKLOG = 2048


class Protocol(HttpToolsProtocol):
    """One connection; closed when the head of a request takes longer than `HEAD_S` or more than `HEAD_BYTES_MAX`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            # asyncio does this only for sockets that name their protocol, which those of a handed-over listener do not: 40 ms an answer
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = self.loop.call_later(HEAD_S, self._cut_off)

    def data_received(self, data: bytes) -> None:
        if self._head is None and self.timeout_keep_alive_task is not None:  # the next request on a kept connection
            self._head = self.loop.call_later(HEAD_S, self._cut_off)
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._head_came()
        elif self._head is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def _head_came(self) -> None:
        self._head_bytes = 0
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _cut_off(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class Server:
    """A service behind an open socket.

    Args:
        service: started and stopped with the server.
        listening: an open socket.
        control_token: that operators show.
    """

    def __init__(self, service: Service, listening: socket.socket, *, control_token: str = "") -> None:
        self._service = service
        self._listening = listening
        config = uvicorn.Config(
            App(service.router, control_token=control_token),
            http=Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            backlog=BACKLOG,
            ws="none",
        )
        self._server = uvicorn.Server(config)

    async def run(self) -> None:
        """Start the service, answer until told to end, stop the service."""
        await self._service.start()
        try:
            await self._server.serve(sockets=[self._listening])
        finally:
            await self._service.stop()

    def stop(self) -> None:
        """Tell it to end; safe from any thread."""
        self._server.should_exit = True


def serve(server: Server) -> None:
    """Run a server in a loop of its own until it is told to end.

    Args:
        server: not running.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.run())
