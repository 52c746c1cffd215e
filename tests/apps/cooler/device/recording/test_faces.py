"""Faces become mosaics; the finder is OpenCV's YuNet with the installation's file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetsight.apps.cooler.device.hardware import HardwareError
from fleetsight.apps.cooler.device.recording.faces import MOSAIC, YuNetFaces, without_faces
from tests.apps.cooler.device.stand import scene

onnx = pytest.importorskip("onnx", reason="draws a stand-in for the face model; comes with the extra train")


def test_a_face_keeps_no_more_than_a_few_patches() -> None:
    image = scene(0, width=120, height=90)
    before = image.copy()
    blurred = without_faces(image, [(30, 20, 90, 80)])
    assert np.array_equal(image, before)
    assert len(np.unique(blurred[20:80, 30:90].reshape(-1, 3), axis=0)) <= MOSAIC**2
    outside = np.ones(image.shape[:2], bool)
    outside[20:80, 30:90] = False
    assert np.array_equal(blurred[outside], image[outside])


def test_boxes_that_reach_out_of_the_picture_are_cut_and_others_ignored() -> None:
    image = scene(0)
    blurred = without_faces(image, [(-10, -10, 12, 8), (60, 40, 200, 200), (100, 100, 120, 120), (5, 5, 5, 9)])
    assert not np.array_equal(blurred[:8, :12], image[:8, :12])
    assert not np.array_equal(blurred[40:, 60:], image[40:, 60:])
    assert without_faces(image, [(100, 100, 120, 120)]) is image


def brightness_model(path: Path, *, side: int) -> Path:
    """A network with YuNet's inputs and outputs that calls every bright cell of 32 pixels a face."""
    helper, proto = onnx.helper, onnx.TensorProto
    nodes: list[Any] = [
        helper.make_node("ReduceMean", ["input"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Div", ["grey", "top"], ["share"]),
    ]
    constants = [helper.make_tensor("top", proto.FLOAT, [1], [255.0])]
    outputs = []
    for stride in (8, 16, 32):
        cells = (side // stride) ** 2
        pooled, kernel = f"pooled_{stride}", [stride, stride]
        nodes.append(helper.make_node("AveragePool", ["share"], [pooled], kernel_shape=kernel, strides=kernel))
        shape = helper.make_tensor(f"shape_{stride}", proto.INT64, [3], [1, cells, 1])
        weight = helper.make_tensor(f"weight_{stride}", proto.FLOAT, [1], [1.0 if stride == 32 else 0.0])
        constants += [shape, weight]
        nodes.append(helper.make_node("Reshape", [pooled, f"shape_{stride}"], [f"flat_{stride}"]))
        for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            factor = helper.make_tensor(
                f"{name}_factor_{stride}", proto.FLOAT, [1, 1, width], [float(width == 1)] * width
            )
            constants.append(factor)
            nodes.append(helper.make_node("Mul", [f"flat_{stride}", f"weight_{stride}"], [f"{name}_seen_{stride}"]))
            nodes.append(
                helper.make_node("Mul", [f"{name}_seen_{stride}", f"{name}_factor_{stride}"], [f"{name}_{stride}"])
            )
    for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            shape_of = [1, (side // stride) ** 2, width]
            outputs.append(helper.make_tensor_value_info(f"{name}_{stride}", proto.FLOAT, shape_of))
    source = helper.make_tensor_value_info("input", proto.FLOAT, [1, 3, side, side])
    graph = helper.make_graph(nodes, "bright", [source], outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def test_yunet_is_asked_and_its_boxes_get_a_margin(tmp_path: Path) -> None:
    finder = YuNetFaces(brightness_model(tmp_path / "bright.onnx", side=128))
    image = np.zeros((128, 128, 3), np.uint8)
    assert list(finder.find(image)) == []
    image[64:96, 32:64] = 255
    ((left, top, right, bottom),) = finder.find(image)
    assert left < right
    assert top < bottom
    assert (right - left) / 32 == pytest.approx(1.4, abs=0.1)  # exp(0) cells wide, and a fifth on each side


def test_a_model_that_is_missing_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HardwareError, match="no face model"):
        YuNetFaces(tmp_path / "absent.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(HardwareError, match="YuNet"):
        YuNetFaces(tmp_path / "bad.onnx")
