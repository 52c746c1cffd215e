"""The chip that computes nothing: zeros of the right shape, at once.

For tests and for timing everything but the network. Never chosen by "auto".
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.graph import TensorSpec
from fleetsight.accel.portable import PortableModel
from fleetsight.accel.session import Arrays, ClosedError, Precision, TargetError, as_inputs, check_inputs
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets.options import Options, check_precision, read_flags
from fleetsight.accel.targets.session_file import SessionFile

NAME = "null"


def probe() -> str | None:
    """Whether this target can work here.

    Returns:
        None: it always can.
    """
    return None


def precisions() -> tuple[str, ...]:
    """Arithmetic on offer.

    Returns:
        "f32"; there is nothing to compute.
    """
    return ("f32",)


def compiler() -> str:
    """Name and version of the compiler, and the chip.

    Returns:
        always the same.
    """
    return "null 1"


def compile(source: Source, options: Options, *, folder: Path) -> None:  # noqa: A001  # the verb of every target
    """Write the shapes down.

    Args:
        source: the model.
        options: what is asked for.
        folder: an empty folder to write into.

    Raises:
        TargetError: another precision, or a flag.
    """
    check_precision(NAME, options.precision, offered=precisions())
    read_flags(NAME, options.flags, known={})
    graph = source.graph().at_batch(options.batch)
    SessionFile(target=NAME, precision="f32", inputs=graph.inputs, outputs=graph.outputs).save(folder)


def load(folder: Path, *, streams: int | None = None, threads: int | None = None) -> "NullSession":
    """Open a compiled model.

    Args:
        folder: what `compile` wrote.
        streams: ignored.
        threads: ignored.

    Returns:
        an open session.

    Raises:
        TargetError: the folder is of another target.
    """
    del streams, threads
    plan = SessionFile.load(folder, NAME)
    return NullSession(plan.inputs, plan.outputs)


def open_model(model: PortableModel, *, precision: Precision = "auto", threads: int | None = None) -> "NullSession":
    """Open a model.

    Args:
        model: the checked model.
        precision: "auto" or "f32"; there is nothing to compute.
        threads: ignored but for the check that it is a count.

    Returns:
        an open session.

    Raises:
        TargetError: another precision, or no count of threads.
    """
    if precision not in {"auto", "f32"} or (threads is not None and threads < 1):
        raise TargetError(f"{NAME} has no precision {precision} and {threads} threads", hint="take precision auto")
    graph = model.graph.at_batch(1)
    return NullSession(graph.inputs, graph.outputs)


class NullSession:
    """A session that answers with zeros.

    Args:
        inputs: what it takes.
        outputs: what it answers; an open size that is not the batch becomes 1.

    Attributes:
        target: "null".
        precision: "f32".
        inputs: what it takes.
        outputs: what it answers.
    """

    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.target = NAME
        self.precision = "f32"
        self.inputs = inputs
        self.outputs = outputs
        self._closed = False

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input."""
        return self.inputs[0].shape

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        """Answer with zeros.

        Args:
            *inputs: one array for each input.

        Returns:
            zeros of the shape the model would answer with.

        Raises:
            ShapeError: an input has another shape or element type.
            ClosedError: the session was closed.
        """
        check_inputs(inputs, self.inputs)
        if self._closed:
            raise ClosedError(f"the {NAME} session is closed")
        rows = next((len(array) for array, spec in zip(inputs, self.inputs, strict=True) if spec.has_open_batch), 1)
        closed = [[side or 1 for side in spec.at_batch(rows).shape] for spec in self.outputs]
        return tuple(np.zeros(shape, dtype=spec.answer_dtype) for shape, spec in zip(closed, self.outputs, strict=True))

    def map(self, batches: Iterable[NDArray[Any] | Arrays]) -> Iterator[Arrays]:
        """Answer each batch with zeros.

        Args:
            batches: each one array, or one for each input.

        Yields:
            zeros for each batch.

        Raises:
            ShapeError: an input has another shape or element type.
            ClosedError: the session was closed.
        """
        if self._closed:
            raise ClosedError(f"the {NAME} session is closed")
        for batch in batches:
            yield self.run(*as_inputs(batch))

    def close(self) -> None:
        """Refuse further work; a second call does nothing."""
        self._closed = True
