"""Tiny ONNX models whose answers numpy can compute too: one convolution per stride, as a dense head is laid out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fleetsight.accel.card import Card
from fleetsight.accel.portable import PortableModel

STRIDES = (8, 16, 32)
SIZE_WH = (96, 64)
CELLS = 12 * 8 + 6 * 4 + 3 * 2
LABELS = ("product", "hand")
DIMENSIONS = 5


@dataclass(frozen=True)
class TinyHead:
    """A dense head: a patch of the picture times a matrix, for each cell.

    Attributes:
        columns: numbers per cell.
        sigmoid: whether columns from the fifth on go through a sigmoid, as in exported YOLOX files.
        seed: chooses the weights.
        gain: size of the weights; 0.05 suits pixels from 0 to 255.
    """

    columns: int = 4 + len(LABELS)
    sigmoid: bool = False
    seed: int = 0
    gain: float = 1.0

    def weights(self, stride: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([self.seed, stride])
        spread = self.gain / stride / np.sqrt(3.0)
        return rng.normal(0.0, spread, size=(self.columns, 3, stride, stride)).astype(np.float32)

    def answer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network answers, in numpy: (1, n, columns)."""
        parts = []
        for stride in STRIDES:
            _, _, height, width = batch.shape
            patches = batch[0].reshape(3, height // stride, stride, width // stride, stride)
            grid = np.einsum("ciujv,kcuv->ijk", patches.astype(np.float64), self.weights(stride).astype(np.float64))
            parts.append(grid.reshape(-1, self.columns))
        raw = np.concatenate(parts)[None]
        if self.sigmoid:
            raw[..., 4:] = 1.0 / (1.0 + np.exp(-raw[..., 4:]))
        return np.asarray(raw, dtype=np.float32)

    def onnx(self, size_wh: tuple[int, int] = SIZE_WH, *, open_batch: bool = False, open_size: bool = False) -> bytes:
        nodes, constants, parts = [], [], []
        for stride in STRIDES:
            constants.append(numpy_helper.from_array(self.weights(stride), f"w{stride}"))
            nodes += [
                helper.make_node("Conv", ["images", f"w{stride}"], [f"conv{stride}"], strides=[stride, stride]),
                helper.make_node("Reshape", [f"conv{stride}", "flat"], [f"flat{stride}"]),
            ]
            parts.append(f"flat{stride}")
        constants.append(numpy_helper.from_array(np.array([1, self.columns, -1], dtype=np.int64), "flat"))
        nodes.append(helper.make_node("Concat", parts, ["all"], axis=2))
        nodes.append(helper.make_node("Transpose", ["all"], ["rows"], perm=[0, 2, 1]))
        if self.sigmoid:
            split = np.array([4, self.columns - 4], dtype=np.int64)
            constants.append(numpy_helper.from_array(split, "split"))
            nodes += [
                helper.make_node("Split", ["rows", "split"], ["box", "logits"], axis=2),
                helper.make_node("Sigmoid", ["logits"], ["scores"]),
                helper.make_node("Concat", ["box", "scores"], ["output"], axis=2),
            ]
        else:
            nodes.append(helper.make_node("Identity", ["rows"], ["output"]))
        width, height = size_wh
        count = sum((width // stride) * (height // stride) for stride in STRIDES)
        entry = ["b" if open_batch else 1, 3, "h" if open_size else height, "w" if open_size else width]
        return serialise(nodes, constants, entry, [1, "n" if open_size else count, self.columns])


def embedder_onnx(size: int = 16) -> bytes:
    """Mean colour of the picture, and two constants beside it: (b, 5)."""
    extra = np.array([[0.5, 0.25]], dtype=np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["rows"]),
        helper.make_node("Concat", ["rows", "extra"], ["output"], axis=1),
    ]
    return serialise(nodes, [numpy_helper.from_array(extra, "extra")], [1, 3, size, size], [1, DIMENSIONS])


def serialise(
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    entry: list[int | str],
    answer: list[int | str],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, entry)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, answer)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def detector_card(**changes: object) -> Card:
    fields: dict[str, object] = {
        "name": "tiny",
        "task": "detect",
        "input_size_wh": SIZE_WH,
        "decoder": "fleetsight_dense",
        "labels": LABELS,
        "licence": "Apache-2.0",
        "lineage": {"source": "made up for tests"},
        "scale": 1.0 / 255.0,
        "resizable": True,
    }
    return Card(**(fields | changes))  # type: ignore[arg-type]  # the tests pass wrong ones on purpose


def embedder_card(**changes: object) -> Card:
    return detector_card(
        **{
            "name": "tiny-embedder",
            "task": "embed",
            "input_size_wh": (16, 16),
            "decoder": "none",
            "labels": (),
            "strides": (),
            "pad_value": 128,
            "pad_place": "centre",
            "resizable": False,
        }
        | changes
    )


def save_detector(folder: Path, head: TinyHead | None = None, **changes: object) -> PortableModel:
    head = head or TinyHead()
    return PortableModel.save(folder, head.onnx(), card=detector_card(**changes))


def save_embedder(folder: Path) -> PortableModel:
    return PortableModel.save(folder, embedder_onnx(), card=embedder_card())
