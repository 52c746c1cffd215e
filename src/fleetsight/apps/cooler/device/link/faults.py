"""A line that fails on demand: loss before and after the effect, delay, cuts, repetitions and hours without any connection.

`FaultyLine` wraps a transport of httpx, so the agent above it is the one that a real device runs. The same seed gives the same faults for
the same sequence of requests.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from fleetsight.errors import Error


class LineSpecError(Error):
    """A description of a line that cannot be read."""

    code = "device_line"


@dataclass(frozen=True, slots=True)
class LineFaults:
    """How bad a line is.

    Attributes:
        loss: share of requests that are lost; half of them on the way there, half of them take effect and the answer is lost.
        cut: share of requests whose connection breaks in the middle of the body.
        dup: share of requests that arrive twice.
        latency_ms: added to every request.
        offline: spans without any connection, in seconds since the start, ends excluded.
    """

    loss: float = 0.0
    cut: float = 0.0
    dup: float = 0.0
    latency_ms: float = 0.0
    offline: tuple[tuple[float, float], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "LineFaults":
        """Read a line's description.

        Args:
            text: such as ``loss=0.1,latency_ms=50,offline=30-60,offline=90-95``; empty for a good line.
        Returns:
            the faults.
        Raises:
            LineSpecError: an unknown name, or a value that it cannot take.

        >>> LineFaults.parse("loss=0.1,offline=30-60").offline
        ((30.0, 60.0),)
        """
        values: dict[str, float] = {}
        spans: list[tuple[float, float]] = []
        for part in filter(None, (word.strip() for word in text.split(","))):
            name, _, value = part.partition("=")
            try:
                if name == "offline":
                    start_s, end_s = map(float, value.split("-"))
                    spans.append((start_s, end_s))
                else:
                    values[name] = _within(name, float(value))
            except (KeyError, ValueError) as error:
                raise LineSpecError(
                    f"{part!r} describes no line",
                    hint="write loss=0.1,cut=0.05,dup=0.05,latency_ms=50,offline=30-60",
                ) from error
        return cls(**values, offline=tuple(spans))


def _within(name: str, value: float) -> float:
    top = {"loss": 1.0, "cut": 1.0, "dup": 1.0, "latency_ms": 60_000.0}[name]
    if not 0 <= value <= top:
        raise ValueError(name)
    return value


class FaultyLine(httpx.BaseTransport):
    """Makes another transport fail.

    Args:
        inner: what carries the requests.
        faults: how bad.
        seed: chooses which requests fail.
        elapsed_s: seconds since the start.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        faults: LineFaults,
        *,
        seed: int = 0,
        elapsed_s: Callable[[], float] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        start_s = time.monotonic()
        self._elapsed_s = elapsed_s or (lambda: time.monotonic() - start_s)
        self._sleep = sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request, or fail as a bad line does.

        Args:
            request: the request.
        Returns:
            the answer.
        Raises:
            TransportError: the line failed; `ReadError` after the request took effect, the others before.
        """
        with self._lock:
            draw, twin, share = self._random.random(), self._random.random(), self._random.random()
        if any(start_s <= self._elapsed_s() < end_s for start_s, end_s in self._faults.offline):
            raise httpx.ConnectError("simulated: offline", request=request)
        if self._faults.latency_ms:
            self._sleep(self._faults.latency_ms / 1000)
        if draw < self._faults.loss / 2:
            raise httpx.ConnectError("simulated: the request is lost", request=request)
        if draw < self._faults.loss + self._faults.cut and draw >= self._faults.loss:
            return self._inner.handle_request(_cut(request, share))
        if twin < self._faults.dup:
            _read(self._inner.handle_request(_again(request)))
        answer = self._inner.handle_request(request)
        if draw < self._faults.loss:
            _read(answer)
            raise httpx.ReadError("simulated: the answer is lost", request=request)
        return answer

    def close(self) -> None:
        self._inner.close()


def _read(answer: httpx.Response) -> None:
    answer.read()
    answer.close()


def _again(request: httpx.Request) -> httpx.Request:
    return httpx.Request(
        request.method, request.url, headers=request.headers, content=request.content, extensions=request.extensions
    )


class _Torn(httpx.SyncByteStream):
    """A body whose connection breaks after the first bytes."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body
        raise httpx.WriteError("simulated: the connection broke")


def _cut(request: httpx.Request, share: float) -> httpx.Request:
    start = request.content[: int(len(request.content) * share)]
    return httpx.Request(
        request.method, request.url, headers=request.headers, stream=_Torn(start), extensions=request.extensions
    )
