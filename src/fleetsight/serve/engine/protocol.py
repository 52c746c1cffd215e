"""What every engine offers: load, warm up, answer a batch. It knows nothing of queues, callers or the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from fleetsight.errors import Error


class EngineError(Error):
    """An engine cannot be opened, or failed on a batch."""

    code = "serve_engine"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture to answer.

    Attributes:
        jpeg: as the caller sent it; decoding is the engine's part, beside the chip.
        score_min: detections below it are left out, 0-1.
    """

    jpeg: bytes | bytearray | memoryview
    score_min: float = 0.3


@dataclass(frozen=True, slots=True)
class FrameFault:
    """This frame cannot be answered, whoever tries: the bytes are at fault.

    Attributes:
        detail: what is wrong with them.
    """

    detail: str


Result: TypeAlias = Any
"""A JSON value, or a `FrameFault`."""


class Engine(Protocol):
    """Answers frames. One engine is used from as many threads as its replica has streams."""

    def load(self) -> None:
        """Get ready; takes as long as it takes.

        Raises:
            Error: it cannot be.
        """
        ...

    def warmup(self) -> None:
        """Do once what only the first frame pays for."""
        ...

    def infer_batch(self, frames: Sequence[Frame]) -> Sequence[Result]:
        """Answer frames.

        Args:
            frames: at least one.
        Returns:
            one result for each, in order.
        """
        ...

    def sample(self) -> Frame:
        """A frame it can answer: for measuring what batches take."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...
