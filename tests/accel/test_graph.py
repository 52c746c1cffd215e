from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fleetsight.accel.graph import Graph, TensorSpec
from fleetsight.accel.session import check_inputs
from fleetsight.accel.wire import OnnxError
from fleetsight.vision.image import ShapeError
from tests.accel.tiny_graphs import model_bytes, ports, questions_onnx
from tests.accel.tiny_models import save_detector


def graph(onnx_bytes: bytes) -> Graph:
    return Graph.from_onnx("tiny", onnx_bytes, licence="Apache-2.0")


def test_a_graph_knows_its_inputs_and_outputs() -> None:
    found = graph(questions_onnx())
    assert found.inputs == (
        TensorSpec(name="ids", element="i64", shape=(None, 4)),
        TensorSpec(name="mask", element="f32", shape=(None, 4)),
    )
    assert [spec.element for spec in found.outputs] == ["f32", "i64"]
    assert len(found.sha256) == 64
    assert found.sha256 != graph(questions_onnx(words=5)).sha256


def test_a_batch_closes_what_is_open_and_nothing_else() -> None:
    found = graph(questions_onnx()).at_batch(3)
    assert [spec.shape for spec in (*found.inputs, *found.outputs)] == [(3, 4), (3, 4), (3, 4, 3), (3,)]
    assert graph(questions_onnx()).at_batch(None).has_open_batch


def test_a_fixed_batch_stays_and_another_is_refused() -> None:
    fixed = graph(questions_onnx(batch=2))
    assert fixed.at_batch(1) is fixed
    assert fixed.at_batch(2) is fixed
    with pytest.raises(OnnxError, match="fixed at 2, 3 is asked for"):
        fixed.at_batch(3)
    with pytest.raises(OnnxError, match="batch must be >= 1"):
        graph(questions_onnx()).at_batch(0)


def test_weights_outside_the_file_are_refused() -> None:
    model = onnx.load_from_string(questions_onnx())
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secrets")
    with pytest.raises(OnnxError, match="outside the ONNX file: table") as caught:
        graph(model.SerializeToString())
    assert "save_as_external_data=False" in caught.value.hint


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x04", b"\x93NUMPY"])
def test_pickles_and_archives_are_refused(start: bytes) -> None:
    with pytest.raises(OnnxError, match="pickle or an archive"):
        graph(start + bytes(100))


def test_element_types_that_no_target_takes_are_refused() -> None:
    nodes = [helper.make_node("Identity", ["words"], ["same"])]
    texts = model_bytes(nodes, ports(("words", TensorProto.STRING, [1])), ports(("same", TensorProto.STRING, [1])), {})
    with pytest.raises(OnnxError, match="'words' has ONNX element type 8"):
        graph(texts)


def test_a_portable_model_is_a_graph_of_the_size_on_its_card(tmp_path: Path) -> None:
    model = save_detector(tmp_path / "tiny")
    assert model.graph.inputs == (TensorSpec(name="images", element="f32", shape=(1, 3, 64, 96)),)
    assert model.graph.outputs[0].shape == (1, 126, 6)
    assert model.graph.licence == "Apache-2.0"
    assert model.resized((64, 32)).graph.inputs[0].shape == (1, 3, 32, 64)


def test_checked_inputs_are_contiguous_and_told_apart() -> None:
    specs = (
        TensorSpec(name="a", element="f16", shape=(None, 2)),
        TensorSpec(name="b", element="bool", shape=(3,)),
    )
    rows = np.ones((2, 4), dtype=np.float16).T
    first, second = check_inputs((rows, np.zeros(3, dtype=np.bool_)), specs)
    assert first.flags.c_contiguous
    assert second.dtype == np.bool_
    assert specs[0].answer_dtype == np.float32
    assert specs[1].answer_dtype == np.bool_
    with pytest.raises(ShapeError, match=r"'b' takes bool \(3,\), got uint8 \(3,\)"):
        check_inputs((rows, np.zeros(3, dtype=np.uint8)), specs)
