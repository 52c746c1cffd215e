"""Bodies as they come in: bounded in bytes and in time, before anything looks at them.

A body that is too long is refused by its announced length, before it is sent, or at the byte that passes the cap. A sender that is
slower than anybody's network is cut off, so that five hundred of them hold nothing but a socket each.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from fleetsight.web.problems import INVALID, TOO_LARGE, TOO_SLOW, Problem

DRAIN_BYTES_MAX = 4 << 20
DRAIN_S = 2.0


@dataclass(frozen=True)
class Patience:
    """How long a body may take.

    Attributes:
        pause_s: between two pieces of it.
        whole_s: from its first byte to its last.
    """

    pause_s: float = 10.0
    whole_s: float = 30.0


def check_length(request: Request, *, bytes_max: int) -> None:
    """Refuse a body by its announced length.

    Args:
        request: the request.
        bytes_max: the cap.
    Raises:
        Problem: it is announced as longer than the cap, or the announcement is no number.
    """
    announced = request.headers.get("content-length")
    if announced is None:
        return
    if not announced.isascii() or not announced.isdigit() or len(announced) > 18:
        raise Problem(INVALID, f"Content-Length {announced[:40]!r} is no number of bytes")
    if int(announced) > bytes_max:
        raise Problem(TOO_LARGE, f"the body has {announced} bytes, at most {bytes_max}")


async def pieces(request: Request, *, bytes_max: int, patience: Patience) -> AsyncIterator[bytes]:
    """Read a body.

    Args:
        request: the request; its body is read nowhere else.
        bytes_max: the cap.
        patience: how long it may take.
    Yields:
        its bytes, as they come.
    Raises:
        Problem: more bytes than the cap, or too slow.
        ClientDisconnect: the sender is gone.
    """
    received_bytes = 0
    loop = asyncio.get_running_loop()
    until_s = loop.time() + patience.whole_s
    more = True
    while more:
        try:
            async with asyncio.timeout_at(min(until_s, loop.time() + patience.pause_s)):
                message = await request.receive()
        except TimeoutError:
            raise Problem(TOO_SLOW, headers={"Connection": "close"}) from None
        if message["type"] != "http.request":
            raise ClientDisconnect
        body = message.get("body", b"")
        received_bytes += len(body)
        if received_bytes > bytes_max:
            raise Problem(TOO_LARGE, f"the body has more than {bytes_max} bytes")
        more = message.get("more_body", False)
        if body:
            yield body


async def read_body(request: Request, *, bytes_max: int, patience: Patience) -> bytes:
    """Read a whole body into memory.

    Args:
        request: the request.
        bytes_max: the cap.
        patience: how long it may take.
    Returns:
        the body.
    Raises:
        Problem: more bytes than the cap, or too slow.
        ClientDisconnect: the sender is gone.
    """
    check_length(request, bytes_max=bytes_max)
    return b"".join([piece async for piece in pieces(request, bytes_max=bytes_max, patience=patience)])


async def drain(request: Request) -> None:
    """Swallow a body that was refused unread, within reason: a sender that still sends might never read the refusal.

    Args:
        request: a request whose body was not read.
    """
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return
    patience = Patience(pause_s=DRAIN_S, whole_s=DRAIN_S)
    try:
        async for _ in pieces(request, bytes_max=DRAIN_BYTES_MAX, patience=patience):
            pass
    except (Problem, ClientDisconnect):
        return
