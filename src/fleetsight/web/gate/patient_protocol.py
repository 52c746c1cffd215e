"""HTTP for those who say what they want in time: uvicorn's own protocol waits for the head of a request for ever.

The time for bodies is `fleetsight.web.gate.intake`'s, and that between requests uvicorn's (`timeout_keep_alive`).
"""

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""From the first byte of a request, or from the connection, to the end of its head: a kilobyte on any network."""


class PatientProtocol(H11Protocol):
    """One connection; closed when a head takes longer than `HEAD_S`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head: asyncio.TimerHandle | None = None

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

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def _head_came(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _cut_off(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
