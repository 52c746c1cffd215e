"""An ONNX file: open sizes are closed and folded, the licence comes from its metadata, the file stays as it is."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fleetsight.accel.compiling import check_licence
from fleetsight.accel.licence import LicenceError
from fleetsight.accel.portable import ModelError
from fleetsight.accel.proving.parity import Gates
from fleetsight.accel.proving.proof import reference_of
from fleetsight.accel.sources.onnx_source import onnx_source
from fleetsight.accel.sources.source import SourceError
from fleetsight.accel.wire import OnnxError
from tests.accel.proved import pictures


def flattened(path: Path, **metadata: str) -> Path:
    """A convolution, then a flatten that asks the input for its batch at run time, as exports with open sizes do."""
    weights = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["picture", "w"], ["found"], strides=[4, 4]),
        helper.make_node("Shape", ["found"], ["sides"]),
        helper.make_node("Gather", ["sides", "first"], ["batch"]),
        helper.make_node("Concat", ["batch", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["found", "wanted"], ["answer"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array([0], np.int64), "first"),
        numpy_helper.from_array(np.array([-1], np.int64), "rest"),
    ]
    graph = helper.make_graph(
        nodes,
        "flattened",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["b", 3, "h", "w"])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["b", "n"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return path


def test_open_sizes_are_closed_and_what_follows_is_folded(tmp_path: Path) -> None:
    path = flattened(tmp_path / "Flat Net.onnx")
    before = path.read_bytes()
    graph = onnx_source(path, size_wh=(8, 12), batch=2).graph()
    assert (graph.inputs[0].shape, graph.outputs[0].shape) == ((2, 3, 12, 8), (2, 12))
    assert {node.op_type for node in onnx.load_from_string(graph.onnx).graph.node} == {"Conv", "Reshape"}
    assert graph.name == "flat-net"
    assert path.read_bytes() == before


def test_pictures_are_stretched_to_the_input(tmp_path: Path) -> None:
    source = onnx_source(flattened(tmp_path / "net.onnx"), size_wh=(8, 12))
    reference = reference_of(source, Gates({}, pictures(3)))
    assert [answer[0].shape for answer in reference.answers] == [(1, 12)] * 3


def test_a_size_that_nobody_gave_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="leaves sizes open") as caught:
        onnx_source(flattened(tmp_path / "net.onnx"))
    assert "--size" in caught.value.hint


def test_a_size_at_which_it_does_not_work_is_named(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((3 * 8 * 8, 2), np.float32), "w")
    nodes = [
        helper.make_node("Flatten", ["picture"], ["row"]),
        helper.make_node("MatMul", ["row", "w"], ["answer"]),
    ]
    entry = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, "h", "w"])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 2])
    model = helper.make_model(
        helper.make_graph(nodes, "fixed", [entry], [answer], [weights]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    (tmp_path / "fixed.onnx").write_bytes(model.SerializeToString())
    assert onnx_source(tmp_path / "fixed.onnx", size_wh=(8, 8)).graph().inputs[0].shape == (1, 3, 8, 8)
    with pytest.raises(SourceError, match="does not work at"):
        onnx_source(tmp_path / "fixed.onnx", size_wh=(8, 12)).graph()


def test_the_digest_follows_sizes_and_bytes(tmp_path: Path) -> None:
    path = flattened(tmp_path / "net.onnx")
    digests = {onnx_source(path, size_wh=size).weights_sha256 for size in ((8, 8), (8, 12))}
    flattened(path, author="somebody")
    assert len(digests | {onnx_source(path, size_wh=(8, 8)).weights_sha256}) == 3


def test_the_licence_in_the_metadata_counts(tmp_path: Path) -> None:
    source = onnx_source(flattened(tmp_path / "net.onnx", license="AGPL-3.0"), size_wh=(8, 8))
    assert source.licence == "AGPL-3.0"
    with pytest.raises(LicenceError, match="AGPL"):
        check_licence(source)
    with pytest.raises(LicenceError):  # whatever the user says of it, the file says otherwise
        check_licence(onnx_source(tmp_path / "net.onnx", size_wh=(8, 8), licence="MIT"))


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pickle.onnx").write_bytes(b"\x80\x04.")
    (tmp_path / "text.onnx").write_text("hello")
    for name in ("pickle.onnx", "text.onnx"):
        with pytest.raises(OnnxError):
            onnx_source(tmp_path / name)
    with pytest.raises(ModelError, match="cannot read"):
        onnx_source(tmp_path / "absent.onnx")
