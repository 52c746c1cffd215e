"""The same model with its normalisation inside the graph: it takes the letterboxed picture's bytes.

Cast, transpose, gain and shift stand before the first layer as plain ONNX, so every target may have them and a compiler may
fold the gain into the first convolution. Whether that is faster than the host's own pass is measured, not assumed: on one
machine it is, on another it is not.
"""

from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from fleetsight.accel.card import Card
from fleetsight.accel.graph import Graph
from fleetsight.accel.preprocess import Preprocessor, gain_and_shift
from fleetsight.accel.session import Arrays
from fleetsight.accel.sources.source import Source
from fleetsight.vision.image import Image

PIXELS = "pixels"
"""Name of the input: (b, h, w, 3) uint8 RGB."""


def can_fuse(source: Source) -> bool:
    """Whether a model's preprocessing is known and still outside of it."""
    return source.card is not None and source.preprocess == "host"


def fused(source: Source) -> Source:
    """Put the normalisation into the graph.

    Args:
        source: a model with a card.

    Returns:
        a source that takes (b, h, w, 3) uint8 RGB and has no torch module.
    """
    card = source.card
    assert card is not None

    def prepare(image: Image) -> Arrays:
        return (Preprocessor(card, smooth=card.task == "embed").letterbox(image)[0],)

    @cache
    def make() -> Graph:
        plain = source.graph()
        onnx = _with_bytes_input(plain.onnx, card)
        return Graph.from_onnx(plain.name, onnx, licence=plain.licence, lineage=plain.lineage)

    width, height = card.input_size_wh
    return replace(
        source,
        graph=make,
        module=None,
        example=(np.full((1, height, width, 3), card.pad_value, dtype=np.uint8),),
        prepare=prepare,
        preprocess="fused",
        unfused=source,
    )


def _with_bytes_input(content: bytes, card: Card) -> bytes:
    onnx: Any = import_module("onnx")
    helper, tensors = onnx.helper, onnx.numpy_helper
    model = onnx.load_from_string(content)
    entry = next(port for port in model.graph.input if port.name not in {c.name for c in model.graph.initializer})
    sides = entry.type.tensor_type.shape.dim
    batch: int | str = sides[0].dim_param or sides[0].dim_value or "batch"
    width, height = card.input_size_wh
    gain, shift = gain_and_shift(card)
    order = np.array([0, 1, 2] if card.channel_order == "RGB" else [2, 1, 0], dtype=np.int64)
    for name, array in (("gain", gain.reshape(1, 3, 1, 1)), ("shift", shift.reshape(1, 3, 1, 1)), ("order", order)):
        model.graph.initializer.append(tensors.from_array(array, f"fused.{name}"))
    nodes = [
        helper.make_node("Cast", [PIXELS], ["fused.floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["fused.floats"], ["fused.planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Gather", ["fused.planes", "fused.order"], ["fused.ordered"], axis=1),
        helper.make_node("Mul", ["fused.ordered", "fused.gain"], ["fused.scaled"]),
        helper.make_node("Add", ["fused.scaled", "fused.shift"], [entry.name]),
    ]
    rest = list(model.graph.node)
    others = [port for port in model.graph.input if port.name != entry.name]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    del model.graph.input[:]
    pixels = helper.make_tensor_value_info(PIXELS, onnx.TensorProto.UINT8, [batch, height, width, 3])
    model.graph.input.extend([pixels, *others])
    return bytes(model.SerializeToString())
