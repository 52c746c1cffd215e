"""What every target offers for an opened model, and the checks they share.

A session takes the graph's inputs in order, as numpy arrays. `run` answers at once; `map` keeps several requests in
flight and answers in order. Both may be used from several threads.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.graph import TensorSpec
from fleetsight.errors import Error
from fleetsight.vision.image import ShapeError

Arrays: TypeAlias = tuple[NDArray[Any], ...]

Precision: TypeAlias = Literal["auto", "f32", "bf16", "f16", "int8"]
"""Arithmetic inside the graph; floats are answered as float32 in any case. "auto" is the fastest the chip supports natively
without calibration."""

PRECISIONS: tuple[str, ...] = get_args(Precision)


OTHER_TARGETS = "export the model without it, or take another target: fleetsight doctor lists those that work here"
"""The way out when an operator is missing."""


class TargetError(Error):
    """A target cannot compile, open or run a model."""

    code = "target"


class ClosedError(TargetError):
    """The session was closed."""

    code = "target_closed"


class UnsupportedError(TargetError):
    """The target lacks an operator, a precision or a size that the model needs: another target or export may do."""

    code = "target_unsupported"


class NumericalError(TargetError):
    """The target answered numbers that are not finite."""

    code = "target_numerical"


class TargetGoneError(TargetError):
    """The target failed at run time in a way that a retry on it will not cure: go on with another session."""

    code = "target_gone"


class Session(Protocol):
    """A model opened on a target.

    Attributes:
        target: name of the target.
        precision: arithmetic in use.
        inputs: what it takes, in order; None in a shape is open.
        outputs: what it answers, in order.
    """

    target: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input: the only one of a detector or an embedder."""
        ...

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        """Run one batch and wait for the answer; safe from several threads.

        Args:
            *inputs: one array for each of `inputs`; open batches all of one size.

        Returns:
            the outputs in the graph's order, floats as float32, owned by the caller.

        Raises:
            ShapeError: an input has another shape or element type.
            ClosedError: the session was closed.
            TargetGoneError: the target failed and will fail again.
            TargetError: the target failed.
        """
        ...

    def map(self, batches: Iterable[NDArray[Any] | Arrays]) -> Iterator[Arrays]:
        """Run many batches with several in flight; answers come in order.

        Batches are taken lazily, a few ahead of the answers; a batch must not be changed before its answer came.
        An error in `batches` passes through after the requests in flight have ended.

        Args:
            batches: each one array, or a tuple with one array for each of `inputs`.

        Returns:
            the outputs for each batch, as `run` returns them.

        Raises:
            ShapeError: an input has another shape or element type.
            ClosedError: the session was closed.
            TargetGoneError: the target failed and will fail again.
            TargetError: the target failed.
        """
        ...

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        ...


def check_inputs(inputs: Sequence[NDArray[Any]], specs: Sequence[TensorSpec]) -> Arrays:
    """Return the inputs when the session can take them.

    Args:
        inputs: arrays to check.
        specs: what the session takes.

    Returns:
        the arrays, each C-contiguous.

    Raises:
        ShapeError: another number of them, another shape or element type, or open batches of several sizes.
    """
    if len(inputs) != len(specs):
        named = ", ".join(f"{spec.name} {spec}" for spec in specs)
        raise ShapeError(f"the session takes {len(specs)} inputs, got {len(inputs)}", hint=f"give {named}")
    batches = set[int]()
    for array, spec in zip(inputs, specs, strict=True):
        if array.dtype != spec.dtype or not _fits(array.shape, spec.shape):
            who = "the session" if len(specs) == 1 else f"input {spec.name!r}"
            raise ShapeError(
                f"{who} takes {spec}, got {array.dtype} {tuple(array.shape)}",
                hint="prepare images with fleetsight.accel.preprocess",
            )
        if spec.has_open_batch:
            batches.add(array.shape[0])
    if len(batches) > 1 or 0 in batches:
        raise ShapeError(
            f"the inputs hold batches of {', '.join(map(str, sorted(batches)))}",
            hint="give every input the same number of rows, at least one",
        )
    # Not ascontiguousarray: it makes a row of a single number.
    return tuple(np.asarray(array, order="C") for array in inputs)


def as_inputs(batch: NDArray[Any] | Arrays) -> Arrays:
    """One batch of `map` as the inputs of `run`.

    Args:
        batch: one array or a tuple of them.

    Returns:
        the tuple.
    """
    return batch if isinstance(batch, tuple) else (batch,)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        want is None or side == want for side, want in zip(shape, wanted, strict=True)
    )
