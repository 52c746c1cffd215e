import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fleetsight.accel.onnx_file import FLOAT32, Port, read_facts, with_input_size
from fleetsight.accel.wire import OnnxError, write_field
from tests.accel.tiny_models import CELLS, TinyHead, embedder_onnx, serialise

TINY = TinyHead().onnx()


def outside(name: str) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros(2, dtype=np.float32), name)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    tensor.ClearField("raw_data")
    return tensor


def test_inputs_and_outputs_are_read() -> None:
    facts = read_facts(TINY)
    assert facts.inputs == (Port("images", FLOAT32, (1, 3, 64, 96)),)
    assert facts.outputs == (Port("output", FLOAT32, (1, CELLS, 6)),)
    assert facts.external == ()


def test_open_sizes_are_none() -> None:
    facts = read_facts(TinyHead().onnx(open_batch=True, open_size=True))
    assert facts.inputs[0].shape == (None, 3, None, None)
    assert str(facts.inputs[0]) == "images (?, 3, ?, ?)"


def test_constants_listed_as_inputs_do_not_count() -> None:
    model = onnx.load_from_string(TINY)
    model.graph.input.append(helper.make_tensor_value_info("w8", TensorProto.FLOAT, [6, 3, 8, 8]))
    assert [port.name for port in read_facts(model.SerializeToString()).inputs] == ["images"]


def test_metadata_is_read() -> None:
    model = onnx.load_from_string(TINY)
    model.metadata_props.add(key="license", value="AGPL-3.0")
    assert read_facts(model.SerializeToString()).metadata == {"license": "AGPL-3.0"}


def test_weights_outside_the_file_are_found_wherever_they_hide() -> None:
    in_graph = onnx.load_from_string(TINY)
    in_graph.graph.initializer.append(outside("plain"))
    node = helper.make_node("Constant", [], ["c"], value=outside("constant"))
    in_node = onnx.load_from_string(TINY)
    in_node.graph.node.append(node)
    branch = helper.make_graph([], "branch", [], [], [outside("branch")])
    in_branch = onnx.load_from_string(TINY)
    in_branch.graph.node.append(helper.make_node("If", ["images"], ["d"], then_branch=branch, else_branch=branch))
    in_function = onnx.load_from_string(TINY)
    in_function.functions.add(name="f", domain="d").node.append(node)
    sparse = onnx.load_from_string(TINY)
    sparse.graph.sparse_initializer.add().values.CopyFrom(outside("sparse"))
    found = [read_facts(m.SerializeToString()).external for m in (in_graph, in_node, in_branch, in_function, sparse)]
    assert found == [("plain",), ("constant",), ("branch",), ("constant",), ("sparse",)]


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", TINY[:-1], TINY[:100], TINY + TINY])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(OnnxError):
        read_facts(content)


def test_a_graph_without_outputs_is_refused() -> None:
    model = onnx.load_from_string(TINY)
    del model.graph.output[:]
    with pytest.raises(OnnxError, match="answers nothing"):
        read_facts(model.SerializeToString())


def test_deep_nesting_is_refused_and_does_not_exhaust_the_stack() -> None:
    graph = b""
    for _ in range(5000):
        graph = write_field(1, write_field(5, write_field(6, graph)))
        if len(graph) > 200_000:
            break
    output = write_field(12, write_field(1, b"out"))
    with pytest.raises(OnnxError, match="nested deeper"):
        read_facts(write_field(7, graph + output))


def test_too_many_dimensions_are_refused() -> None:
    with pytest.raises(OnnxError, match="dimensions"):
        read_facts(serialise([], [], [1] * 17, [1]))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_but_never_breaks_the_reader(data: st.DataObject) -> None:
    content = bytearray(embedder_onnx())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_facts(bytes(content))
    except OnnxError:
        return


def test_another_input_size_changes_sizes_and_nothing_else() -> None:
    cells = 4 * 4 + 2 * 2 + 1
    resized = with_input_size(TINY, (32, 32), output_shape=(1, cells, 6))
    assert resized == TinyHead().onnx((32, 32))
    onnx.checker.check_model(onnx.load_from_string(resized), full_check=True)


def test_notes_on_sizes_in_between_are_dropped() -> None:
    inferred = onnx.shape_inference.infer_shapes(onnx.load_from_string(TINY)).SerializeToString()
    assert len(inferred) > len(TINY)
    assert with_input_size(inferred, (32, 32), output_shape=(1, 21, 6)) == TinyHead().onnx((32, 32))
