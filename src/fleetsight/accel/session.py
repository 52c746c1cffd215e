"""What every target offers for an opened model, and the checks they share.

A session takes one image at a time: batches are (1, 3, h, w) float32. `run` answers at once; `map` keeps several
requests in flight and answers in order. Both may be used from several threads.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from fleetsight.errors import Error
from fleetsight.vision.image import ShapeError

Floats: TypeAlias = NDArray[np.float32]
Outputs: TypeAlias = tuple[Floats, ...]

Precision: TypeAlias = Literal["auto", "f32", "bf16"]
"""Arithmetic inside the graph; answers are float32 either way. "auto" is the fastest the chip supports natively."""

PRECISIONS: tuple[str, ...] = get_args(Precision)


class TargetError(Error):
    """A target cannot open or run a model."""

    code = "target"


class ClosedError(TargetError):
    """The session was closed."""

    code = "target_closed"


class Session(Protocol):
    """A model opened on a target.

    Attributes:
        target: name of the target.
        precision: arithmetic in use, "f32" or "bf16".
        input_shape: (1, 3, h, w).
    """

    target: str
    precision: str
    input_shape: tuple[int, ...]

    def run(self, batch: Floats) -> Outputs:
        """Run one batch and wait for the answer; safe from several threads.

        Args:
            batch: (1, 3, h, w) float32.

        Returns:
            the model's outputs in the graph's order, float32, owned by the caller.

        Raises:
            ShapeError: the batch has another shape or element type.
            ClosedError: the session was closed.
            TargetError: the target failed.
        """
        ...

    def map(self, batches: Iterable[Floats]) -> Iterator[Outputs]:
        """Run many batches with several in flight; answers come in order.

        Batches are taken lazily, a few ahead of the answers; a batch must not be changed before its answer came.
        An error in `batches` passes through after the requests in flight have ended.

        Args:
            batches: each (1, 3, h, w) float32.

        Returns:
            the outputs for each batch, as `run` returns them.

        Raises:
            ShapeError: a batch has another shape or element type.
            ClosedError: the session was closed.
            TargetError: the target failed.
        """
        ...

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        ...


def check_batch(batch: NDArray[Any], input_shape: tuple[int, ...]) -> Floats:
    """Return the batch when the session can take it.

    Args:
        batch: array to check.
        input_shape: shape the session takes.

    Returns:
        the batch, C-contiguous.

    Raises:
        ShapeError: another shape or element type.
    """
    if batch.dtype != np.float32 or tuple(batch.shape) != tuple(input_shape):
        raise ShapeError(
            f"the session takes float32 {tuple(input_shape)}, got {batch.dtype} {tuple(batch.shape)}",
            hint="prepare images with fleetsight.accel.preprocess",
        )
    return np.ascontiguousarray(batch)
