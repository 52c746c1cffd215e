from contextlib import closing
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fleetsight.accel.bundled import bundled_model
from fleetsight.accel.graph import Graph
from fleetsight.accel.session import TargetError, UnsupportedError
from fleetsight.accel.sources.onnx_module import OnnxModule
from fleetsight.accel.targets.onnxruntime import OnnxRuntimeSession
from tests.accel.tiny_graphs import answer, model_bytes, ports, question, questions_onnx, unknown_operator
from tests.accel.tiny_models import TinyHead
from tests.contracts.target_contract import batch_number

FLOAT, WHOLE = TensorProto.FLOAT, TensorProto.INT64
Constants = dict[str, NDArray[Any]]


def numbers(*shape: int, seed: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def case(
    name: str, x: NDArray[Any], constants: Constants | None = None, *, out: int = 1, opset: int = 17, **a: Any
) -> Any:
    return pytest.param(name, x, constants or {}, out, opset, a, id=f"{name}-{'-'.join(map(str, a.values()))}-{opset}")


PICTURE, ROWS = numbers(2, 4, 9, 8), numbers(2, 3, 6)
CASES = [
    case("Conv", PICTURE, {"w": numbers(6, 4, 3, 3), "b": numbers(6)}, pads=[1, 1, 1, 1], strides=[2, 2]),
    case("Conv", PICTURE, {"w": numbers(4, 2, 3, 2)}, group=2, pads=[0, 1, 2, 0], dilations=[1, 2]),
    case("Conv", PICTURE, {"w": numbers(4, 4, 3, 2)}, auto_pad="SAME_UPPER", strides=[2, 2]),
    case("Conv", PICTURE, {"w": numbers(4, 4, 3, 2)}, auto_pad="SAME_LOWER"),
    case("Conv", PICTURE, {"w": numbers(4, 4, 3, 2)}, auto_pad="VALID"),
    case("ConvTranspose", PICTURE, {"w": numbers(4, 3, 2, 2), "b": numbers(3)}, strides=[2, 2], output_padding=[1, 0]),
    case("MaxPool", PICTURE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("MaxPool", PICTURE, kernel_shape=[5, 5], strides=[1, 1], pads=[2, 2, 2, 2]),
    case("MaxPool", PICTURE, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    case("MaxPool", PICTURE, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
    case("AveragePool", PICTURE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("AveragePool", PICTURE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    case("GlobalAveragePool", PICTURE),
    case("GlobalMaxPool", PICTURE),
    case(
        "BatchNormalization",
        PICTURE,
        {"s": numbers(4), "b": numbers(4), "m": numbers(4), "v": np.abs(numbers(4)) + 0.1},
        epsilon=1e-3,
    ),
    case("InstanceNormalization", PICTURE, {"s": numbers(4), "b": numbers(4)}),
    case("LayerNormalization", ROWS, {"s": numbers(6), "b": numbers(6)}, epsilon=1e-6),
    case("LayerNormalization", ROWS, {"s": numbers(3, 6)}, axis=1),
    case("Gemm", numbers(3, 4), {"y": numbers(5, 4), "c": numbers(5)}, transB=1, alpha=0.5, beta=2.0),
    case("MatMul", ROWS, {"y": numbers(6, 5)}),
    case("Add", ROWS, {"y": numbers(6)}),
    case("Div", ROWS, {"y": numbers(1)}),
    case("Div", np.array([-7, 7, 5], dtype=np.int64), {"y": ints(2)}),
    case("Mod", np.array([-7, 7, 5], dtype=np.int64), {"y": ints(3)}),
    case("Pow", np.abs(ROWS), {"y": np.array(2.0, dtype=np.float32)}),
    case("PRelu", PICTURE, {"s": numbers(4, 1, 1)}),
    *(case(name, ROWS) for name in ("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Neg", "Abs", "Floor", "Ceil", "Round")),
    *(case(name, ROWS) for name in ("Sin", "Cos", "Sign", "Softplus", "HardSwish", "Identity", "IsNaN")),
    *(case(name, np.abs(ROWS) + 0.1) for name in ("Log", "Sqrt", "Reciprocal")),
    case("LeakyRelu", ROWS, alpha=0.1),
    case("Elu", ROWS, alpha=0.7),
    case("HardSigmoid", ROWS, alpha=0.17, beta=0.5),
    case("Mish", ROWS, opset=18),
    case("Gelu", ROWS, opset=20),
    case("Gelu", ROWS, opset=20, approximate="tanh"),
    case("Clip", ROWS, {"low": np.array(-0.5, np.float32), "high": np.array(0.5, np.float32)}),
    case("Clip", ROWS, opset=9, min=0.0, max=6.0),
    case("Softmax", ROWS, axis=1),
    case("Softmax", ROWS, opset=11, axis=1),
    case("LogSoftmax", ROWS),
    case("Reshape", ROWS, {"shape": ints(0, -1)}),
    case("Transpose", ROWS, perm=[2, 0, 1]),
    case("Transpose", ROWS),
    case("Flatten", PICTURE, axis=2),
    case("Flatten", PICTURE, axis=0),
    case("Flatten", PICTURE, axis=4),
    case("Flatten", ROWS, axis=-1),
    case("Squeeze", numbers(1, 3, 1), {"axes": ints(2)}),
    case("Squeeze", numbers(1, 3, 1)),
    case("Squeeze", numbers(1, 3, 1), opset=11, axes=[0]),
    case("Unsqueeze", ROWS, {"axes": ints(0, -1)}),
    case("Unsqueeze", ROWS, opset=11, axes=[1]),
    case("Slice", PICTURE, {"s": ints(1, 1), "e": ints(100, -1), "a": ints(2, 3), "t": ints(2, 1)}),
    case("Slice", ROWS, {"s": ints(-1), "e": ints(-1000), "a": ints(2), "t": ints(-1)}),
    case("Slice", ROWS, opset=9, starts=[1], ends=[3], axes=[2]),
    case("Split", ROWS, {"sizes": ints(2, 4)}, out=2, axis=2),
    case("Split", ROWS, out=3, opset=13, axis=2),
    case("Split", ROWS, out=2, opset=11, axis=2, split=[1, 5]),
    case("Gather", ROWS, {"i": np.array([[0, -1], [2, 1]], dtype=np.int64)}, axis=2),
    case("Gather", ROWS, {"i": np.array(1, dtype=np.int64)}, axis=1),
    case("GatherElements", ROWS, {"i": np.array([[[0, 1, 2, 0, 1, 2]]] * 2, dtype=np.int64)}, axis=1),
    case("GatherND", ROWS, {"i": np.array([[0, 2], [1, 1]], dtype=np.int64)}),
    case("ScatterND", ROWS, {"i": np.array([[0, 2], [1, 1]], dtype=np.int64), "u": numbers(2, 6)}),
    case("Expand", numbers(3, 1), {"shape": ints(2, 1, 6)}),
    case("Tile", ROWS, {"n": ints(1, 2, 1)}),
    case("Pad", PICTURE, {"p": ints(0, 0, 1, 2, 0, 0, 3, 0), "v": np.array(0.5, np.float32)}),
    case("Pad", PICTURE, {"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}, mode="reflect"),
    case("Pad", PICTURE, {"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}, mode="edge"),
    case("ReduceMean", ROWS, axes=[-1]),
    case("ReduceMean", ROWS, {"axes": ints(1)}, opset=18, keepdims=0),
    case("ReduceSum", ROWS, {"axes": ints(0, 2)}),
    case("ReduceSum", ROWS, keepdims=0),
    case("ReduceMax", ROWS, axes=[1], keepdims=0),
    case("ReduceMin", ROWS, axes=[1]),
    case("ReduceProd", ROWS, axes=[1, 2]),
    case("ReduceL2", ROWS, axes=[2]),
    case("ArgMax", ROWS, axis=2, keepdims=0),
    case("ArgMin", ROWS, axis=1),
    case("TopK", ROWS, {"k": ints(2)}, out=2, axis=2),
    case("CumSum", ROWS, {"axis": np.array(1, dtype=np.int64)}),
    case("Trilu", ROWS, {"k": np.array(1, dtype=np.int64)}),
    case("Trilu", ROWS, upper=0),
    case("Einsum", ROWS, {"y": numbers(6, 2)}, equation="bij,jk->bik"),
    case("OneHot", ints(0, 2, 1), {"d": ints(4), "v": np.array([0.0, 1.0], dtype=np.float32)}),
    case("DepthToSpace", PICTURE, blocksize=2, mode="DCR"),
    case("DepthToSpace", PICTURE, blocksize=2, mode="CRD"),
    case("SpaceToDepth", numbers(1, 2, 4, 6), blocksize=2),
    case("Cast", ROWS, to=WHOLE),
    case("Cast", ints(0, 3), to=FLOAT),
    case("Equal", ints(1, 2, 3), {"y": ints(2)}),
    case("Greater", ROWS, {"y": numbers(6)}),
    case("LessOrEqual", ROWS, {"y": numbers(6)}),
    case("Max", ROWS, {"y": numbers(6), "z": numbers(3, 1)}),
    case("Min", ROWS, {"y": numbers(6)}),
    case("Sum", ROWS, {"y": numbers(6), "z": numbers(3, 1)}),
    case("Concat", ROWS, {"y": numbers(2, 1, 6)}, axis=1),
    case("Dropout", ROWS),
    case("Shape", ROWS),
    case("Shape", ROWS, start=1),
    case("Size", ROWS),
    case("ConstantOfShape", ints(2, 3)),
    case("Not", np.array([True, False])),
    case("Xor", np.array([True, False]), {"y": np.array([True, True])}),
    case(
        "Resize", PICTURE, {"r": numbers(0), "s": np.array([1, 1, 2, 2], np.float32)},
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    ),
    case("Resize", PICTURE, {"r": numbers(0), "s": np.array([1, 1, 2, 3], np.float32)}, mode="linear"),
    case("Resize", PICTURE, {"r": numbers(0), "s": numbers(0), "z": ints(2, 4, 13, 5)}, mode="linear", coordinate_transformation_mode="align_corners"),
    case("Resize", PICTURE, {"r": numbers(0), "s": numbers(0), "z": ints(2, 4, 18, 16)}, mode="cubic"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*cast.*:RuntimeWarning")
@pytest.mark.parametrize(("operator", "x", "constants", "out", "opset", "attributes"), CASES)
def test_an_operator_answers_as_onnx_runtime_does(
    operator: str, x: NDArray[Any], constants: Constants, out: int, opset: int, attributes: dict[str, Any]
) -> None:
    names = [f"y{index}" for index in range(out)]
    node = helper.make_node(operator, ["x", *constants], names, **attributes)
    entry = ports(("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape))
    answers = [helper.make_empty_tensor_value_info(name) for name in names]
    inferred = onnx.shape_inference.infer_shapes(
        onnx.load_from_string(model_bytes([node], entry, answers, constants, opset=opset))
    )
    graph = Graph.from_onnx("one", inferred.SerializeToString(), licence="none")
    with closing(OnnxRuntimeSession(graph.onnx, graph.inputs, graph.outputs)) as session:
        theirs = session.run(x)
    ours = OnnxModule(graph)(torch.from_numpy(x))
    for mine, right in zip(ours, theirs, strict=True):
        assert mine.shape == right.shape
        np.testing.assert_allclose(mine.numpy(), right, atol=2e-5, rtol=1e-4)


def test_several_inputs_and_any_batch() -> None:
    module = OnnxModule(Graph.from_onnx("questions", questions_onnx(), licence="none"))
    for batch in (1, 3):
        inputs = question(batch, batch)
        found = module(*(torch.from_numpy(array) for array in inputs))
        for mine, right in zip(found, answer(*inputs), strict=True):
            np.testing.assert_allclose(mine.numpy(), right, atol=1e-5)
    assert sum(weight.numel() for weight in module.parameters()) == 11 * 8 + 8 * 3


def test_a_detector_answers_as_numpy_does() -> None:
    head = TinyHead(sigmoid=True)
    module = OnnxModule(Graph.from_onnx("tiny", head.onnx(), licence="none"))
    with torch.inference_mode():
        (found,) = module(torch.from_numpy(batch_number(1)))
    np.testing.assert_allclose(found.numpy(), head.answer(batch_number(1)), atol=1e-5)


@pytest.mark.parametrize("name", ["cooler-detector", "cooler-embedder"])
def test_the_models_that_ship_answer_as_onnx_runtime_does(name: str) -> None:
    graph = bundled_model(name).graph
    batch = batch_number(1, tuple(side or 1 for side in graph.inputs[0].shape))
    with closing(OnnxRuntimeSession(graph.onnx, graph.inputs, graph.outputs)) as session:
        (right,) = session.run(batch)
    with torch.inference_mode():
        (found,) = OnnxModule(graph)(torch.from_numpy(batch))
    np.testing.assert_allclose(found.numpy(), right, atol=1e-3, rtol=1e-3)


def test_constant_scales_stay_constant_and_floats_can_be_cast() -> None:
    constants: Constants = {"w": numbers(4, 4, 1, 1), "r": numbers(0), "s": np.array([1, 1, 2, 2], np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Resize", ["c", "r", "s"], ["y"], mode="linear"),
    ]
    onnx_bytes = model_bytes(nodes, ports(("x", FLOAT, PICTURE.shape)), ports(("y", FLOAT, [2, 4, 18, 16])), constants)
    graph, example = Graph.from_onnx("r", onnx_bytes, licence="none"), torch.from_numpy(PICTURE)
    program = torch.export.export(OnnxModule(graph), (example,))
    (half,) = OnnxModule(graph).bfloat16()(example.bfloat16())
    right = program.module()(example)[0]
    assert half.dtype == torch.bfloat16
    assert float((half.float() - right).norm() / right.norm()) < 0.1


def test_sizes_stay_symbolic_under_export() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"], axis=0),
        helper.make_node("Unsqueeze", ["rows", "zeros"], ["row"]),
        helper.make_node("Concat", ["row", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["x", "flat"], ["y"]),
    ]
    constants: Constants = {"zero": np.array(0, dtype=np.int64), "zeros": ints(0), "rest": ints(-1)}
    graph = Graph.from_onnx(
        "flat",
        model_bytes(nodes, ports(("x", FLOAT, ["b", 2, 3])), ports(("y", FLOAT, ["b", 6])), constants),
        licence="none",
    )
    size = torch.export.Dim("b", min=1, max=9)
    program = torch.export.export(OnnxModule(graph), (torch.zeros(2, 2, 3),), dynamic_shapes=(({0: size},),))
    assert program.module()(torch.ones(5, 2, 3))[0].shape == (5, 6)


def test_unknown_operators_are_named() -> None:
    with pytest.raises(UnsupportedError, match=r"no operator my\.domain\.Twist") as caught:
        OnnxModule(unknown_operator("my.domain", "Twist").graph())
    assert "fleetsight doctor" in caught.value.hint


def test_a_way_of_resizing_that_torch_lacks_is_refused() -> None:
    constants: Constants = {"r": numbers(0), "s": np.array([1, 1, 2, 2], np.float32)}
    node = helper.make_node("Resize", ["x", *constants], ["y"], coordinate_transformation_mode="tf_crop_and_resize")
    onnx_bytes = model_bytes([node], ports(("x", FLOAT, PICTURE.shape)), ports(("y", FLOAT, PICTURE.shape)), constants)
    with pytest.raises(UnsupportedError, match="Resize with nearest, tf_crop_and_resize"):
        OnnxModule(Graph.from_onnx("r", onnx_bytes, licence="none"))(torch.from_numpy(PICTURE))


def test_bytes_that_are_no_onnx_are_a_target_error() -> None:
    graph = Graph(name="odd", onnx=b"\xff\xff", inputs=(), outputs=(), licence="none")
    with pytest.raises(TargetError, match="cannot be read as ONNX"):
        OnnxModule(graph)
