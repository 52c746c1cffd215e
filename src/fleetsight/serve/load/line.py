"""One keep-alive connection to a server: HTTP/1.1 with as little work as a load generator can do.

A general client costs more processor time per request than the server under test; this one writes a prepared head and body and reads
status, length and keep-alive, nothing else. Answers may have a length or come in chunks; others end with their connection.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from fleetsight.serve.load.shots import LoadError

ANSWER_BYTES_MAX = 1 << 20
"""Longest answer that is read; decisions about one frame take a few hundred bytes."""

HEAD_BYTES_MAX = 1 << 16
"""Longest head of an answer."""

BROKEN = 0
"""Status of a request whose connection ended before its answer."""


@dataclass(frozen=True)
class Payload:
    """One request body, ready to be sent.

    Attributes:
        body: the bytes, such as a JPEG.
        headers: header lines that belong to this body alone, without line ends.
    """

    body: bytes
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """Where requests go.

    Attributes:
        host: name or address.
        port: TCP port.
        path: path and query of each request.
        headers: header lines of each request, without line ends.
    """

    host: str
    port: int
    path: str
    headers: tuple[str, ...] = ("Content-Type: image/jpeg",)

    @classmethod
    def at(cls, url: str, path: str, *, headers: tuple[str, ...] = ()) -> "Target":
        """Read a base address.

        Args:
            url: such as "http://127.0.0.1:8350".
            path: path and query below it.
            headers: lines beside the content type.

        Returns:
            the target.

        Raises:
            LoadError: the address is not one of plain HTTP.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.query or parts.fragment:
            raise LoadError(f"{url!r} is not an address of plain HTTP", hint="such as http://127.0.0.1:8350")
        if any("\r" in line or "\n" in line for line in (path, *headers)):
            raise LoadError("a header or path with a line break", hint="headers are single lines")
        whole = parts.path.rstrip("/") + path
        return cls(parts.hostname, parts.port or 80, whole, headers=("Content-Type: image/jpeg", *headers))

    def head(self, payload: Payload) -> bytes:
        """The head of a request.

        Args:
            payload: its body.

        Returns:
            request line and headers with the empty line that ends them.
        """
        lines = (
            f"POST {self.path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"Content-Length: {len(payload.body)}",
            *self.headers,
            *payload.headers,
        )
        return "\r\n".join((*lines, "", "")).encode("latin-1")


Done = Callable[[int, bytes], None]
"""Told once for each request: status (`BROKEN` for none) and body of the answer."""


class Line(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._done: Done | None = None
        self._head_end = -1
        self._status = BROKEN
        self._length = -1  # -1: not yet known, -2: in chunks, -3: until the connection ends
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.usable = True

    def send(self, head: bytes, body: bytes, *, done: Done) -> None:
        """Send a request; the line must be usable and idle.

        Args:
            head: prepared by `Target.head`.
            body: the body.
            done: told about the answer.
        """
        assert self._transport is not None
        self._buffer.clear()
        self._head_end, self._length, self._status = -1, -1, BROKEN
        self._done = done
        self._transport.writelines((head, body))

    def abort(self) -> None:
        """End the connection at once; a request under way is told as broken."""
        if self._transport is not None:
            self._transport.abort()
        self._end(BROKEN, b"")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._head_end < 0 and not self._read_head():
            if len(self._buffer) > HEAD_BYTES_MAX:
                self.abort()
            return
        body_at = self._head_end + 4
        if len(self._buffer) - body_at > ANSWER_BYTES_MAX:
            self.abort()
        elif self._length >= 0 and len(self._buffer) - body_at >= self._length:
            self._end(self._status, bytes(self._buffer[body_at : body_at + self._length]))
        elif self._length == -2 and self._buffer.endswith(b"0\r\n\r\n"):
            self._end(self._status, unchunked(bytes(self._buffer[body_at:])))

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        is_whole = self._length == -3 and exc is None
        self._end(self._status if is_whole else BROKEN, bytes(self._buffer[self._head_end + 4 :]) if is_whole else b"")

    def _read_head(self) -> bool:
        self._head_end = self._buffer.find(b"\r\n\r\n")
        if self._head_end < 0:
            return False
        head = bytes(self._buffer[: self._head_end]).lower()
        first, *lines = head.split(b"\r\n")
        words = first.split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"http/1.") or not words[1].isdigit():
            self.abort()
            return False
        self._status = int(words[1])
        fields = dict(line.split(b":", 1) for line in lines if b":" in line)
        if fields.get(b"connection", b"").strip() == b"close":
            self.usable = False
        length = fields.get(b"content-length", b"").strip()
        if length.isdigit():
            self._length = int(length)
        else:
            self._length = -2 if b"chunked" in fields.get(b"transfer-encoding", b"") else -3
        return True

    def _end(self, status: int, body: bytes) -> None:
        done, self._done = self._done, None
        if status == BROKEN:
            self.usable = False
        if not self.usable and self._transport is not None:
            self._transport.close()
        if done is not None:
            done(status, body)


def unchunked(data: bytes) -> bytes:
    """Take a body in chunks apart.

    Args:
        data: chunks with their sizes, to the last, empty one.

    Returns:
        the body; what follows a damaged chunk is left out.
    """
    body, at = b"", 0
    while (line_end := data.find(b"\r\n", at)) >= 0:
        try:
            size = int(data[at:line_end].split(b";")[0], 16)
        except ValueError:
            break
        if size == 0:
            break
        body += data[line_end + 2 : line_end + 2 + size]
        at = line_end + 2 + size + 2
    return body
