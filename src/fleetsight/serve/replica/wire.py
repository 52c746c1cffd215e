"""The wire between the API tier and a replica: length, kind, payload. The JPEG travels as the caller sent it.

Many requests share one connection and answers come in any order. Between machines clocks differ, so a deadline travels as the time that
is left. A message: 4 bytes length of what follows, 1 byte kind, payload; numbers are little-endian.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict
from enum import IntEnum
from typing import Any

from fleetsight.errors import Error
from fleetsight.serve.queueing.request import REASONS, Answer, Outcome, Priority, Refusal, Request, Times
from fleetsight.serve.replica.replica import Facts

FORMAT = 1
"""Version of the wire; both sides have to speak the same."""
MESSAGE_BYTES_MAX = 64 * 1024**2

_HEAD = struct.Struct("<IB")
_REQUEST = struct.Struct("<QqBf")  # number, ns left, class, score_min
_NUMBER = struct.Struct("<Q")
_ANSWER = struct.Struct("<QffH")  # number, ms queued, ms of the batch, frames in the batch


class WireError(Error):
    """The other side does not speak this wire."""

    code = "serve_wire"


class Kind(IntEnum):
    """Of a message."""

    HELLO = 1
    REQUEST = 2
    CANCEL = 3
    ANSWER = 4
    REFUSAL = 5
    RELOAD = 6
    RELOADED = 7


def message(kind: Kind, payload: bytes = b"") -> bytes:
    """Put a message together."""
    return _HEAD.pack(len(payload) + 1, kind) + payload


def request_parts(request: Request, now_ns: int) -> tuple[bytes, bytes | bytearray | memoryview]:
    """A request as head and body, so that the body is not copied."""
    fixed = _REQUEST.pack(request.number, request.deadline_ns - now_ns, request.priority, request.score_min)
    return _HEAD.pack(1 + len(fixed) + len(request.body), Kind.REQUEST) + fixed, request.body


def read_request(payload: bytes, *, model: str, now_ns: int) -> Request:
    """Read a request.

    Args:
        payload: of a message of kind `REQUEST`.
        model: that this replica runs.
        now_ns: monotonic, of this side.
    Returns:
        the request, its deadline in this side's time.

    Raises:
        WireError: it is malformed.
    """
    try:
        number, left_ns, level, score_min = _REQUEST.unpack_from(payload)
        priority = Priority(level)
    except (struct.error, ValueError) as error:
        raise WireError(f"a malformed request: {error}") from error
    return Request(
        model,
        memoryview(payload)[_REQUEST.size :],
        now_ns + left_ns,
        priority=priority,
        arrived_ns=now_ns,
        number=number,
        score_min=score_min,
    )


def outcome_message(number: int, outcome: Outcome) -> bytes:
    """Write what became of a request."""
    if isinstance(outcome, Answer):
        times = outcome.times
        head = _ANSWER.pack(number, times.queue, times.service, times.batch)
        version = outcome.version.encode()[:255]
        return message(Kind.ANSWER, head + bytes([len(version)]) + version + outcome.result)
    told = {"reason": outcome.reason.word, "detail": outcome.detail, "retry_after_ms": outcome.retry_after_ms}
    return message(Kind.REFUSAL, _NUMBER.pack(number) + json.dumps(told).encode())


def read_outcome(kind: Kind, payload: bytes) -> tuple[int, Outcome]:
    """Read what became of a request.

    Args:
        kind: `ANSWER` or `REFUSAL`.
        payload: of the message.
    Returns:
        number of the request, and the outcome.

    Raises:
        WireError: it is malformed.
    """
    try:
        if kind is Kind.ANSWER:
            number, queue_ms, service_ms, batch = _ANSWER.unpack_from(payload)
            begin = _ANSWER.size + 1 + payload[_ANSWER.size]
            version = payload[_ANSWER.size + 1 : begin].decode()
            return number, Answer(payload[begin:], version=version, times=Times(queue_ms, service_ms, batch))
        (number,) = _NUMBER.unpack_from(payload)
        told = json.loads(payload[_NUMBER.size :])
        return number, Refusal(REASONS[told["reason"]], str(told["detail"]), told["retry_after_ms"])
    except (struct.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise WireError(f"a malformed outcome: {error}") from error


def hello(facts: Facts) -> bytes:
    """What a replica says first."""
    return message(Kind.HELLO, json.dumps({"format": FORMAT, **asdict(facts)}).encode())


def read_hello(payload: bytes) -> Facts:
    """Read what a replica says first.

    Args:
        payload: of a message of kind `HELLO`.
    Returns:
        what the replica is.

    Raises:
        WireError: it speaks another version, or nonsense.
    """
    try:
        told: dict[str, Any] = json.loads(payload)
        if told["format"] != FORMAT:
            raise WireError(
                f"the replica speaks wire {told['format']}, this side {FORMAT}", hint="update the older side"
            )
        points = {int(batch): float(ms) for batch, ms in told["points"].items()}
        return Facts(str(told["version"]), int(told["batch"]), int(told["streams"]), points)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WireError(f"a malformed hello: {error}") from error


def number_of(payload: bytes) -> int:
    """The request that a message of kind `CANCEL` is about."""
    if len(payload) != _NUMBER.size:
        raise WireError(f"a cancel of {len(payload)} bytes, expected {_NUMBER.size}")
    return int(_NUMBER.unpack(payload)[0])


def cancel(number: int) -> bytes:
    """Tell a replica that nobody waits for a request."""
    return message(Kind.CANCEL, _NUMBER.pack(number))


class Reader:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Take bytes in.

        Args:
            data: as they came.
        Yields:
            each message that is whole now.

        Raises:
            WireError: a message is too long, empty, or of no known kind.
        """
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= _HEAD.size:
            length, level = _HEAD.unpack_from(self._buffer, at)
            if not 1 <= length <= MESSAGE_BYTES_MAX:
                raise WireError(f"a message of {length} bytes, at most {MESSAGE_BYTES_MAX}")
            end = at + _HEAD.size - 1 + length
            if len(self._buffer) < end:
                break
            try:
                kind = Kind(level)
            except ValueError as error:
                raise WireError(f"a message of kind {level}") from error
            payload = bytes(memoryview(self._buffer)[at + _HEAD.size : end])
            at = end
            yield kind, payload
        if at:
            del self._buffer[:at]
