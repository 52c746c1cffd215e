"""The chip that computes nothing: zeros of the right shape, at once.

For tests and for timing everything but the network. Never chosen by "auto".
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.portable import PortableModel, head_shape
from fleetsight.accel.session import ClosedError, Outputs, Precision, TargetError, check_batch

NAME = "null"


def probe() -> str | None:
    """Whether this target can work here.

    Returns:
        None: it always can.
    """
    return None


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
    return NullSession(model)


class NullSession:
    """A session that answers with zeros.

    Args:
        model: the checked model.

    Attributes:
        target: "null".
        precision: "f32".
        input_shape: (1, 3, h, w).
    """

    def __init__(self, model: PortableModel) -> None:
        self.target = NAME
        self.precision = "f32"
        self.input_shape: tuple[int, ...] = model.input_shape
        self._output_shape = _output_shape(model)
        self._closed = False

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Answer with zeros.

        Args:
            batch: (1, 3, h, w) float32.

        Returns:
            zeros of the shape the model would answer with.

        Raises:
            ShapeError: the batch has another shape or element type.
            ClosedError: the session was closed.
        """
        check_batch(batch, self.input_shape)
        if self._closed:
            raise ClosedError(f"the {NAME} session is closed")
        return (np.zeros(self._output_shape, dtype=np.float32),)

    def map(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[Outputs]:
        """Answer each batch with zeros.

        Args:
            batches: each (1, 3, h, w) float32.

        Yields:
            zeros for each batch.

        Raises:
            ShapeError: a batch has another shape or element type.
            ClosedError: the session was closed.
        """
        if self._closed:
            raise ClosedError(f"the {NAME} session is closed")
        for batch in batches:
            yield self.run(batch)

    def close(self) -> None:
        """Refuse further work; a second call does nothing."""
        self._closed = True


def _output_shape(model: PortableModel) -> tuple[int, ...]:
    card = model.card
    if card.decoder == "none":
        return (1, model.facts.outputs[0].shape[1] or 1)
    return head_shape(card)
