"""An embedder: crops in, unit vectors out; near vectors mean the same SKU."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.artifacts.artifact import Artifact
from fleetsight.accel.portable import ModelError
from fleetsight.accel.preprocess import Described, Preprocessor, takes_bytes
from fleetsight.accel.session import Session
from fleetsight.vision.image import Image


class Embedder:
    """Turns crops into vectors.

    Args:
        model: a checked embedder, portable or compiled.
        session: the model opened on a target; the embedder does not close it.

    Attributes:
        name: name of the model.
        dimensions: length of each vector.
    """

    def __init__(self, model: Described, session: Session) -> None:
        if model.card.task != "embed":
            raise ModelError(f"model {model.name!r} does {model.card.task!r}, an embedder is needed")
        self.name = model.name
        self.dimensions = session.outputs[0].shape[-1] or 0
        self._takes_bytes = takes_bytes(session)
        self._card = model.card
        self._session = session

    @classmethod
    def of_artifact(cls, artifact: Artifact, *, threads: int | None = None) -> "Embedder":
        """Embed with a compiled model; its session lives as long as the process.

        Args:
            artifact: a checked artifact of an embedder.
            threads: most threads to use; None: all.

        Returns:
            the embedder.

        Raises:
            ArtifactError: it carries no card, or was compiled for larger batches.
            ModelError: it is no embedder.
            TargetError: its target cannot load it here.
        """
        artifact.check_batch_of_one()
        return cls(artifact, artifact.session(threads=threads))

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

        def batches() -> Iterator[NDArray[Any]]:
            for crop in crops:
                yield (preprocessor.letterbox(crop) if self._takes_bytes else preprocessor.prepare(crop))[0]

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
