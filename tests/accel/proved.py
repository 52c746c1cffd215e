"""Sources and pictures that tests of proving and compiling share."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.graph import TensorSpec
from fleetsight.accel.proving.parity import Gates
from fleetsight.accel.proving.pictures import Pictures
from fleetsight.accel.session import Arrays
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.accel.sources.source import Source
from fleetsight.vision.image import Image
from tests.accel.tiny_models import TinyHead, save_detector, save_embedder


def drawn(count: int, seed: int = 0) -> tuple[Image, ...]:
    rng = np.random.default_rng(seed)
    return tuple(
        np.asarray(cv2.resize(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8), (96, 64)), dtype=np.uint8)
        for _ in range(count)
    )


def pictures(count: int = 6, **changes: Any) -> Pictures:
    images = drawn(count)
    fields: dict[str, Any] = {
        "count": count,
        "load": lambda: images,
        "is_real": True,
        "origin": "drawn",
        "sha256": "0" * 64,
    }
    return Pictures(**(fields | changes))


def tiny_source(folder: Path, **changes: Any) -> Source:
    """A detector that fires on what is bright."""
    return replace(portable_source(save_detector(folder / "tiny", TinyHead(gain=8.0))), **changes)


def tiny_embedder(folder: Path) -> Source:
    return portable_source(save_embedder(folder / "embedder"))


def gates(count: int = 6, **limits: float) -> Gates:
    return Gates(limits, pictures(count))


class Told:
    """A session that answers what a function says of each input."""

    target, precision = "told", "f32"

    def __init__(self, answer: Callable[[NDArray[Any]], Arrays], source: Source, batch: int | None = 1) -> None:
        self._answer = answer
        self.inputs = tuple(replace(spec, shape=(batch, *spec.shape[1:])) for spec in source.graph().inputs)
        self.outputs: tuple[TensorSpec, ...] = source.graph().outputs
        self.batches: list[int] = []

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self.inputs[0].shape

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        self.batches.append(len(inputs[0]))
        rows = [self._answer(inputs[0][row : row + 1]) for row in range(len(inputs[0]))]
        return tuple(np.concatenate(ports) for ports in zip(*rows, strict=True))

    def map(self, batches: Any) -> Any:
        for batch in batches:
            yield self.run(*(batch if isinstance(batch, tuple) else (batch,)))

    def close(self) -> None: ...
