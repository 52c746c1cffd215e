"""``POST /v1/models/{model}/stream``: a camera that keeps one connection and sends frame after frame.

In: a chunked body of frames, each 4 bytes length (little-endian) and the JPEG, as a BYTES tensor of the Open Inference Protocol. Out: one
line of JSON for each frame, in order, while the body still comes. Lines rather than server-sent events, because those begin with a GET
and cannot carry the frames; any HTTP/1.1 client that reads while it writes can speak this. At most `AHEAD` frames are under way: a camera
that sends faster is slowed down by TCP, and a frame that cannot be in time gets a line that says so.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from fleetsight.serve.http.exchange import BODY_BYTES_MAX, Exchange, Memory, refusal_json, too_large
from fleetsight.serve.http.frames import answer_json
from fleetsight.serve.http.head import Head, read_head
from fleetsight.serve.queueing.request import MS_NS, Answer, Reason, Refusal, Request
from fleetsight.serve.tier.router import Router

AHEAD = 8
"""Frames of one camera under way: at 30 a second a quarter of a second."""
UNREAD_S = 90.0
"""A camera that does not read its answers for longer than any deadline is cut off; its frames would hold memory for ever."""
LENGTH_BYTES = 4
LINES_TYPE = b"application/x-ndjson"
LOG = logging.getLogger(__name__)


class Streams:
    """Answers cameras.

    Args:
        router: where to.
        memory: what bodies may take.
    """

    def __init__(self, router: Router, memory: Memory) -> None:
        self._router = router
        self._memory = memory

    async def infer(self, exchange: Exchange, model: str) -> None:
        """Answer one camera until it ends its body or hangs up.

        Args:
            exchange: the request.
            model: that its path names.
        """
        head = read_head(exchange)
        if isinstance(head, Refusal) or model not in self._router.deployments:
            refusal = head if isinstance(head, Refusal) else Refusal(Reason.UNKNOWN_MODEL, "there is no such model")
            await exchange.refuse(refusal, unread=True)
            return
        budget_ns = head.deadline_ns - time.monotonic_ns()
        await exchange.start(200, [(b"content-type", LINES_TYPE), (b"cache-control", b"no-store")])
        tasks: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(AHEAD)
        writing = asyncio.create_task(_write(exchange, tasks))
        started: set[asyncio.Task[bytes]] = set()
        number = 0
        try:
            async for frame in frames_of(exchange, self._memory):
                task = asyncio.create_task(self._line(model, head, frame, deadline_ns=time.monotonic_ns() + budget_ns))
                task.set_name(str(number))
                started.add(task)
                task.add_done_callback(started.discard)
                async with asyncio.timeout(UNREAD_S):
                    await tasks.put(task)
                number += 1
            await tasks.put(None)
            await writing
        except TimeoutError:
            LOG.warning("a camera does not read its answers model=%s camera=%r", model, head.camera)
        finally:
            writing.cancel()
            for task in list(started):
                task.cancel()

    async def _line(self, model: str, head: Head, frame: bytes | Refusal, *, deadline_ns: int) -> bytes:
        begin_ns = time.monotonic_ns()
        if isinstance(frame, Refusal):
            self._router.refused(model, frame.reason)
            return refusal_json(frame)
        try:
            request = Request(model, frame, deadline_ns, head.priority, camera=head.camera, score_min=head.score_min)
            outcome = await self._router.answer(request)
        finally:
            self._memory.give(len(frame))
        if isinstance(outcome, Answer):
            return answer_json(model, outcome, total_ms=(time.monotonic_ns() - begin_ns) / MS_NS)
        return refusal_json(outcome)


async def frames_of(exchange: Exchange, memory: Memory) -> AsyncIterator[bytes | Refusal]:
    """Cut the body of a camera into frames.

    Args:
        exchange: the request.
        memory: a frame's bytes are taken when its length is known; whoever gets the frame gives them back.
    Yields:
        each JPEG; a refusal, and nothing after it, when the body is not what it should be.
    """
    buffer = bytearray()
    length = 0
    try:
        async for data in exchange.parts():
            buffer += data
            while len(buffer) >= LENGTH_BYTES:
                if not length:
                    told = int.from_bytes(buffer[:LENGTH_BYTES], "little")
                    refusal = _wrong(told, memory)
                    if refusal is not None:
                        yield refusal
                        return
                    length = told
                if len(buffer) < LENGTH_BYTES + length:
                    break
                frame = bytes(buffer[LENGTH_BYTES : LENGTH_BYTES + length])
                del buffer[: LENGTH_BYTES + length]
                length = 0
                yield frame
    finally:
        memory.give(length)
    if buffer:
        yield Refusal(Reason.BAD_REQUEST, f"the body ended within a frame, {len(buffer)} bytes were left")


def _wrong(length: int, memory: Memory) -> Refusal | None:
    """What is wrong with the length of a frame; None when its memory was taken."""
    if not 1 <= length <= BODY_BYTES_MAX:
        return too_large(BODY_BYTES_MAX) if length else Refusal(Reason.BAD_REQUEST, "a frame of 0 bytes")
    if not memory.take(length):
        return Refusal(Reason.MEMORY_FULL, "too many bodies are under way", retry_after_ms=1000.0)
    return None


async def _write(exchange: Exchange, tasks: "asyncio.Queue[asyncio.Task[bytes] | None]") -> None:
    """Send the lines in the order of the frames."""
    with contextlib.suppress(asyncio.CancelledError):
        while (task := await tasks.get()) is not None:
            line = await task
            await exchange.piece(b'{"frame":' + task.get_name().encode() + b"," + line[1:] + b"\n")
        await exchange.piece(b"", more=False)
