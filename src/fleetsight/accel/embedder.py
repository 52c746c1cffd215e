"""An embedder: crops in, unit vectors out; near vectors mean the same SKU."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.portable import ModelError, PortableModel
from fleetsight.accel.preprocess import Preprocessor
from fleetsight.accel.session import Session
from fleetsight.vision.image import Image


class Embedder:
    """Turns crops into vectors.

    Args:
        model: a checked embedder.
        session: the model opened on a target; the embedder does not close it.

    Attributes:
        name: name of the model.
        dimensions: length of each vector.
    """

    def __init__(self, model: PortableModel, session: Session) -> None:
        if model.card.task != "embed":
            raise ModelError(f"model {model.name!r} does {model.card.task!r}, an embedder is needed")
        self.name = model.name
        self.dimensions = model.facts.outputs[0].shape[1] or 0
        self._card = model.card
        self._session = session

    def embed(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """Embed crops; safe from several threads.

        Each crop keeps its aspect: it is letterboxed into the model's input as the card says, averaged over the area
        where it shrinks.

        Args:
            crops: each (h, w, 3) uint8 RGB, of any size.

        Returns:
            (n, d) float32, rows of length 1; a row is zero when the model answers zero or a number that is not finite.

        Raises:
            ShapeError: a crop is not (h, w, 3) uint8.
            TargetError: the target failed.
        """
        if not len(crops):
            return np.zeros((0, self.dimensions), dtype=np.float32)
        preprocessor = Preprocessor(self._card, smooth=True)

        def batches() -> Iterator[NDArray[np.float32]]:
            for crop in crops:
                yield preprocessor.prepare(crop)[0]

        if len(crops) == 1:
            rows = self._session.run(next(batches()))[0]
        else:
            rows = np.concatenate([outputs[0] for outputs in self._session.map(batches())])
        return normalise(rows)


def normalise(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1.

    Args:
        rows: (n, d) float32.

    Returns:
        (n, d) float32; rows that are zero or not finite become zero.
    """
    sound = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0.0).astype(np.float32)
    length = np.linalg.norm(sound, axis=1, keepdims=True)
    return np.asarray(np.divide(sound, length, out=np.zeros_like(sound), where=length > 0.0), dtype=np.float32)
