"""Sessions whose answers take virtual time."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.measure.scenarios import Subject
from fleetsight.accel.measure.waiting import VirtualTicker

Arrays = tuple[NDArray[Any], ...]


class FakeSession:
    """Answers with its input; each batch takes the next of the given times, on `streams` lanes in `map`."""

    target = "fake"
    precision = "f32"
    input_shape: tuple[int, ...] = (1, 3, 4, 4)

    def __init__(self, ticker: VirtualTicker, seconds: tuple[float, ...], *, streams: int = 1) -> None:
        self.ticker, self.seconds, self.streams = ticker, seconds, streams
        self.ran = 0

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        self.ticker.advance(self.seconds[self.ran % len(self.seconds)])
        self.ran += 1
        return inputs

    def map(self, batches: Iterable[Arrays]) -> Iterator[Arrays]:
        for batch in batches:
            self.ticker.advance(self.seconds[self.ran % len(self.seconds)] / self.streams)
            self.ran += 1
            yield batch

    def close(self) -> None:
        """Nothing to give back."""


def subject(*seconds: float, size: int = 1, streams: int = 1) -> tuple[Subject, VirtualTicker]:
    ticker = VirtualTicker()
    batch = np.zeros((size, 3, 4, 4), dtype=np.float32)
    session: Any = FakeSession(ticker, seconds, streams=streams)
    return Subject(session, ((batch,),), size), ticker
