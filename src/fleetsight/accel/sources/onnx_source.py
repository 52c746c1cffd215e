"""An ONNX file of anybody's: shapes and metadata are known, what the numbers mean is not.

Open sizes are closed and every shape inside is folded into a constant where the `onnx` package is there to write the
new sizes down; the file itself is never changed.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from fleetsight.accel.graph import Graph, TensorSpec
from fleetsight.accel.licence import UNSTATED
from fleetsight.accel.onnx_file import read_facts
from fleetsight.accel.portable import read_plain
from fleetsight.accel.sources.fold import closed
from fleetsight.accel.sources.picture_input import PictureInput
from fleetsight.accel.sources.source import ModelKind, Source, SourceError

ONNX_BYTES_MAX = 2 * 1024**3
"""Largest file: protobuf, ONNX's container, ends there."""


def onnx_source(
    path: Path, *, batch: int | None = 1, size_wh: tuple[int, int] | None = None, licence: str = ""
) -> Source:
    """Make a source of an ONNX file.

    Args:
        path: the file.
        batch: size of axis 0 where the file leaves it open; None keeps it open.
        size_wh: size of the picture where the file leaves it open.
        licence: of the weights; empty: what the file's metadata say.

    Returns:
        the source; pictures are stretched to its input and scaled to 0-1.

    Raises:
        SourceError: a size is open and not given, or an input is of a kind that cannot be made up.
        OnnxError: it is not ONNX, is a pickle, or keeps weights outside itself.
    """
    content = read_plain(path, ONNX_BYTES_MAX)
    metadata = read_facts(content).metadata
    stated = licence or metadata.get("licence") or metadata.get("license") or UNSTATED
    lineage = {"source": path.name, "ONNX metadata": dict(metadata)}
    graph = Graph.from_onnx(_name(path), content, licence=stated, lineage=lineage)
    shapes = {spec.name: _closed(spec, batch, size_wh) for spec in graph.inputs}

    @cache
    def make() -> Graph:
        changed = closed(content, shapes)
        return graph if changed is None else Graph.from_onnx(graph.name, changed, licence=stated, lineage=lineage)

    example = tuple(_made_up(spec, shapes[spec.name]) for spec in graph.inputs)
    picture = _picture_side(graph.inputs, shapes)
    digest = hashlib.sha256(content)
    digest.update(repr((1, sorted(shapes.items()))).encode())
    return Source(
        name=graph.name,
        graph=make,
        module=None,
        example=example,
        weights_sha256=digest.hexdigest(),
        licence=stated,
        lineage=lineage,
        model_kind=_kind(content),
        prepare=PictureInput(picture).prepare if picture else None,
    )


def _closed(spec: TensorSpec, batch: int | None, size_wh: tuple[int, int] | None) -> tuple[int | None, ...]:
    shape = list(spec.shape)
    if shape and shape[0] is None:
        shape[0] = batch
    if size_wh is not None and len(shape) == 4:
        width, height = size_wh
        shape[2:] = [height if shape[2] is None else shape[2], width if shape[3] is None else shape[3]]
    if None in shape[1:]:
        raise SourceError(
            f"input {spec.name!r} leaves sizes open: {spec}", hint="give the size of the picture with --size WxH"
        )
    return tuple(shape)


def _made_up(spec: TensorSpec, shape: tuple[int | None, ...]) -> np.ndarray:
    rng = np.random.default_rng(0)
    sides = [1 if side is None else side for side in shape]
    if sides and spec.has_open_batch:
        sides[0] = 1
    if spec.element in {"f32", "f16"}:
        return rng.random(sides, dtype=np.float32).astype(spec.dtype)
    # Indices and masks: 1 is in range of any table and attends to everything.
    return np.ones(sides, dtype=spec.dtype)


def _picture_side(specs: tuple[TensorSpec, ...], shapes: dict[str, tuple[int | None, ...]]) -> tuple[int, int] | None:
    """Width and height where the only input is a picture."""
    shape = shapes[specs[0].name]
    if len(specs) != 1 or specs[0].element != "f32" or len(shape) != 4 or shape[1] != 3:
        return None
    return (int(shape[3] or 0), int(shape[2] or 0))


def _kind(content: bytes) -> ModelKind:
    """Attention is a softmax between matrix products; a convolutional net has at most one, at its end."""
    return "transformer" if content.count(b"Softmax") > 2 and content.count(b"MatMul") > 8 else "cnn"


def _name(path: Path) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in path.stem.lower())
    return kept.lstrip("._-")[:64] or "model"
