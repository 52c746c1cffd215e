"""Answers HTTP on an open socket until told to end: uvicorn around the app, with what it does not limit by itself."""

import asyncio
import socket

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fleetsight.serve.http.app import App
from fleetsight.serve.http.head_limit import HeadLimit
from fleetsight.serve.tier.service import Service

CONNECTIONS_MAX = 4096
"""Connections, not requests: a fleet of cameras is mostly idle keep-alives. What is worked on is bounded by admission."""
KEEP_ALIVE_S = 120
GRACE_S = 5
BACKLOG = 2048


class Protocol(HeadLimit, HttpToolsProtocol):
    """One connection."""

    _is_in_body = False

    def is_in_body(self) -> bool:
        return self._is_in_body

    def on_headers_complete(self) -> None:
        self._is_in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_body = False
        super().on_message_complete()


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
