"""HTTP for those who say what they want in time: uvicorn's own protocols wait for the head of a request for ever.

Stands before either of them (`class Protocol(HeadLimit, HttpToolsProtocol)`), for frames here and for the pages in `fleetsight.web`. The time
for bodies that somebody reads is the reader's, and that between requests uvicorn's (`timeout_keep_alive`). The rest of a body that nobody
reads, because the request was refused by its head, is neither: it gets as long as a head, and the connection is kept.
"""

import asyncio
import socket
from typing import Any, Literal, TypeAlias

HEAD_S = 10.0
"""From the connection, or the first byte of a request, to the end of its head: a kilobyte on any network."""
HEAD_BYTES_MAX = 64 * 1024
"""Of all headers together, as h11 has it by itself and httptools has not; a camera's are under 1 kB."""

Awaited: TypeAlias = Literal["", "head", "rest", "any"]
"""What a connection owes us: nothing, the end of a head, the rest of a body that was refused, or any next byte."""


class HeadLimit(asyncio.Protocol):
    """One connection; closed when the head of a request takes longer than `HEAD_S` or more than `HEAD_BYTES_MAX`."""

    loop: asyncio.AbstractEventLoop
    transport: Any
    cycle: Any
    timeout_keep_alive: int

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._awaited: Awaited = ""
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def is_in_body(self) -> bool:
        """Whether the parser stands between a head and the end of its body."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            # asyncio does this only for sockets that name their protocol, which those of a handed-over listener do not: 40 ms an answer
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await("head", HEAD_S)

    def data_received(self, data: bytes) -> None:
        before, was_in_body = self.cycle, self.is_in_body()
        if (
            before is not None and before.response_complete
        ):  # the next request on a kept connection, or the rest of one that was refused
            awaited: Awaited = "rest" if was_in_body else "head"
            if self._awaited != awaited:
                self._await(awaited, HEAD_S)
        super().data_received(data)
        if self.cycle is not before:
            self._await("", 0)
        elif was_in_body:
            if self._awaited == "rest" and not self.is_in_body():
                self._await("any", self.timeout_keep_alive)  # these bytes ended uvicorn's own
        elif self._awaited == "head":
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await("", 0)
        super().connection_lost(exc)

    def _await(self, awaited: Awaited, seconds: float) -> None:
        """Cut the connection off unless what is awaited comes in time."""
        if self._timer is not None:
            self._timer.cancel()
        self._awaited, self._head_bytes = awaited, 0
        self._timer = self.loop.call_later(seconds, self._cut_off) if awaited else None

    def _cut_off(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
