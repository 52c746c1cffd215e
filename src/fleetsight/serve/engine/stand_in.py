"""Engines that are not models: one whose time is known to the millisecond, and any callable of the user."""

import hashlib
import time
from collections.abc import Callable, Sequence

from fleetsight.serve.engine.protocol import Frame, Result

BURN_BLOCK = bytes(64 * 1024)
"""Hashed again and again to burn time: about 50 us a block, with the interpreter's lock released as real engines release it."""


class SleepEngine:
    """Takes a known time for each batch and says how large the frames were: for tests, benches and dry runs.

    Args:
        first_ms: of a batch of one.
        next_ms: of each further frame of a batch; None: as long as the first, as on a processor.
        burns: keep a core busy instead of sleeping.
    """

    def __init__(self, first_ms: float, *, next_ms: float | None = None, burns: bool = False) -> None:
        self.first_ms = first_ms
        self.next_ms = first_ms if next_ms is None else next_ms
        self.burns = burns

    def load(self) -> None:
        """Nothing to load."""

    def warmup(self) -> None:
        """Nothing to warm."""

    def infer_batch(self, frames: Sequence[Frame]) -> Sequence[Result]:
        until_s = time.perf_counter() + (self.first_ms + (len(frames) - 1) * self.next_ms) / 1000
        while self.burns and time.perf_counter() < until_s:
            hashlib.sha256(BURN_BLOCK)
        time.sleep(max(0.0, until_s - time.perf_counter()))
        return [{"bytes": len(frame.jpeg)} for frame in frames]

    def sample(self) -> Frame:
        return Frame(b"\xff\xd8\xff\xd9")

    def close(self) -> None:
        """Nothing to close."""


class CallableEngine:
    """A function of the user: a list of frames in, a list of JSON values out.

    Args:
        answer: called with a batch; may be called from several threads.
    """

    def __init__(self, answer: Callable[[Sequence[Frame]], Sequence[Result]]) -> None:
        self._answer = answer

    def load(self) -> None:
        """The import was the load."""

    def warmup(self) -> None:
        self._answer([self.sample()])

    def infer_batch(self, frames: Sequence[Frame]) -> Sequence[Result]:
        return self._answer(frames)

    def sample(self) -> Frame:
        from fleetsight.serve.engine.picture import sample_jpeg

        return Frame(sample_jpeg())

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        if callable(close):
            close()
