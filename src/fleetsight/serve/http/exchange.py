"""One HTTP request and its answer, on bare ASGI: heads, bodies within limits, JSON out."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote

from fleetsight.serve.queueing.request import Reason, Refusal

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_BYTES_MAX = 8 * 1024**2
"""Largest body: a JPEG of 40 million pixels at quality 90 is about 8 MB; what cameras send is a hundredth of it."""
BODY_S_MAX = 15.0
"""How long a body may take: 100 kB in 15 s is 7 kB a second, less than any camera's line."""
UNDER_WAY_BYTES_MAX = 512 * 1024**2
"""Memory that bodies of all requests together may take; above that newcomers are refused."""

JSON_TYPE = b"application/json"

T = TypeVar("T")


class Gone(Exception):  # noqa: N818 - no error of anybody: the caller hung up
    """The caller is not there any more."""


class Memory:
    """Counts the bytes of bodies under way."""

    def __init__(self, bytes_max: int = UNDER_WAY_BYTES_MAX) -> None:
        self.left = bytes_max

    def take(self, count: int) -> bool:
        """Set bytes aside; says whether there were enough."""
        if count > self.left:
            return False
        self.left -= count
        return True

    def give(self, count: int) -> None:
        """Give bytes back."""
        self.left += count


class Exchange:
    """One request as it comes in, and the way back.

    Args:
        scope: of ASGI.
        receive: of ASGI.
        send: of ASGI.
    """

    __slots__ = ("_receive", "_send", "headers", "method", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])

    def header(self, name: bytes) -> str:
        """A header's value, "" when it is not there; bytes that are no Latin text cannot occur."""
        return self.headers.get(name, b"").decode("latin-1")

    def query(self, name: str) -> str:
        """A parameter of the query, "" when it is not there."""
        for part in self.scope.get("query_string", b"").decode("latin-1").split("&"):
            key, _, value = part.partition("=")
            if key == name:
                return unquote(value.replace("+", " "))
        return ""

    def length(self) -> int | None:
        """What Content-Length says; None when nothing."""
        told = self.headers.get(b"content-length")
        return int(told) if told is not None and told.isdigit() else None

    async def body(self, *, bytes_max: int = BODY_BYTES_MAX) -> bytes | bytearray | Refusal:
        """Read the whole body.

        Args:
            bytes_max: longest that is taken.
        Returns:
            the bytes, without a copy when they came at once; or why not.

        Raises:
            Gone: the caller hung up first.
        """
        length = self.length()
        if length is not None and length > bytes_max:
            return too_large(bytes_max)
        first = await self._part()
        if not first.get("more_body", False):
            body: bytes = first.get("body", b"")
            return body if len(body) <= bytes_max else too_large(bytes_max)
        try:
            async with asyncio.timeout(BODY_S_MAX):
                return await self._rest(first.get("body", b""), length, bytes_max)
        except TimeoutError:
            return Refusal(Reason.SLOW_BODY, f"the body was not there after {BODY_S_MAX:g} s")

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield pieces of the body as they come."""
        more = True
        while more:
            part = await self._part()
            more = part.get("more_body", False)
            yield part.get("body", b"")

    async def while_there(self, work: Awaitable[T]) -> T:
        """Wait for something while the caller is watched; only after the body was read.

        Args:
            work: is cancelled when the caller hangs up.
        Returns:
            what it gives.

        Raises:
            Gone: the caller hung up first.
        """
        waiting = asyncio.current_task()
        watching = asyncio.ensure_future(self._left())
        is_over = False

        def hung_up(watch: "asyncio.Future[None]") -> None:
            if not is_over and not watch.cancelled() and waiting is not None:
                waiting.cancel()

        watching.add_done_callback(hung_up)
        try:
            return await work
        except asyncio.CancelledError:
            if not watching.done() or watching.cancelled() or waiting is None:
                raise  # the server ends
            waiting.uncancel()
            raise Gone from None
        finally:
            is_over = True
            watching.cancel()

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer whose body follows piece by piece."""
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def piece(self, data: bytes, *, more: bool = True) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def reply(
        self, status: int, body: bytes, *, kind: bytes = JSON_TYPE, extra: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Send a whole answer."""
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *extra]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def tell(self, told: Any, *, status: int = 200, extra: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Send a JSON value."""
        await self.reply(status, json.dumps(told).encode(), extra=extra)

    async def refuse(self, refusal: Refusal, *, unread: bool = False) -> None:
        """Send a refusal.

        Args:
            refusal: why there is no answer.
            unread: the body was not read; when it is large the connection ends rather than take it in.
        """
        extra = []
        if refusal.retry_after_ms is not None:
            extra.append((b"retry-after", b"%d" % max(1, round(refusal.retry_after_ms / 1000 + 0.499))))
            extra.append((b"retry-after-ms", b"%d" % max(1, round(refusal.retry_after_ms))))
        if unread and (self.length() is None or (self.length() or 0) > BODY_BYTES_MAX):
            extra.append((b"connection", b"close"))
        await self.reply(refusal.reason.status, refusal_json(refusal), extra=extra)

    async def _part(self) -> MutableMapping[str, Any]:
        part = await self._receive()
        if part["type"] == "http.disconnect":
            raise Gone
        return part

    async def _rest(self, first: bytes, length: int | None, bytes_max: int) -> bytearray | Refusal:
        """Gather a body of several parts in one buffer; of the right size from the start when its length was said."""
        body = bytearray(length or 0)
        body[: len(first)] = first
        at, more = len(first), True
        while more:
            part = await self._part()
            more = part.get("more_body", False)
            data = part.get("body", b"")
            if at + len(data) > bytes_max:
                return too_large(bytes_max)
            body[at : at + len(data)] = data
            at += len(data)
        return body


def too_large(bytes_max: int) -> Refusal:
    """The refusal of a body that is too long."""
    return Refusal(Reason.TOO_LARGE, f"the body has more than {bytes_max} bytes")


def refusal_json(refusal: Refusal) -> bytes:
    """A refusal as JSON, of one form everywhere."""
    told: dict[str, Any] = {"code": refusal.reason.word, "message": refusal.detail}
    if refusal.retry_after_ms is not None:
        told["retry_after_ms"] = round(refusal.retry_after_ms, 1)
    return json.dumps({"error": told}).encode()
