"""Tiny graphs with several inputs, integers and an open batch, and the sources made of them; numpy knows the answers."""

import hashlib
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fleetsight.accel.graph import Graph
from fleetsight.accel.session import Arrays
from fleetsight.accel.sources.source import Source

WORDS, WIDTH = 11, 8


def table() -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(WORDS, WIDTH)).astype(np.float32)


def projection() -> NDArray[np.float32]:
    return np.random.default_rng(6).normal(size=(WIDTH, 3)).astype(np.float32)


def ports(*entries: tuple[str, int, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, element, list(shape)) for name, element, shape in entries]


def model_bytes(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, NDArray[np.generic]],
    opset: int = 17,
) -> bytes:
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def questions_onnx(batch: int | str = "b", words: int = 4) -> bytes:
    """Words looked up, weighted by a mask and projected; and how many words count."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["rows", "wide"], ["kept"]),
        helper.make_node("MatMul", ["kept", "projection"], ["answer"]),
        helper.make_node("Cast", ["mask"], ["counted"], to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["counted", "last_axis"], ["count"], keepdims=0),
    ]
    return model_bytes(
        nodes,
        ports(("ids", TensorProto.INT64, [batch, words]), ("mask", TensorProto.FLOAT, [batch, words])),
        ports(("answer", TensorProto.FLOAT, [batch, words, 3]), ("count", TensorProto.INT64, [batch])),
        {
            "table": table(),
            "projection": projection(),
            "last": np.array([2], dtype=np.int64),
            "last_axis": np.array([1], dtype=np.int64),
        },
    )


def question(seed: int, batch: int = 1, words: int = 4) -> Arrays:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, WORDS, size=(batch, words), dtype=np.int64)
    return ids, (rng.random(size=(batch, words)) < 0.6).astype(np.float32)


def answer(ids: NDArray[np.int64], mask: NDArray[np.float32]) -> Arrays:
    rows = table()[ids] * mask[..., None]
    return (rows @ projection()).astype(np.float32), mask.astype(np.int64).sum(axis=1)


def source_of(onnx_bytes: bytes, example: Arrays, name: str = "tiny") -> Source:
    graph = Graph.from_onnx(name, onnx_bytes, licence="Apache-2.0", lineage={"source": "made up for tests"})
    return Source(
        name=name,
        graph=lambda: graph,
        module=None,
        example=example,
        weights_sha256=hashlib.sha256(onnx_bytes).hexdigest(),
        licence="Apache-2.0",
        lineage=graph.lineage,
        model_kind="cnn",
    )


def questions() -> Source:
    return source_of(questions_onnx(), question(0), name="questions")


def unknown_operator(domain: str, name: str) -> Source:
    node = helper.make_node(name, ["x"], ["y"], domain=domain)
    graph = helper.make_graph(
        [node], "odd", ports(("x", TensorProto.FLOAT, [1, 2])), ports(("y", TensorProto.FLOAT, [1, 2]))
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.domain", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return source_of(bytes(model.SerializeToString()), (np.ones((1, 2), dtype=np.float32),), name="odd")
