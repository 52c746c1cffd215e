"""The engine that every server runs: JPEG in, three numbers out, always the same.

It decodes beside the network and runs a small convolutional network of fixed weights on one thread, so that it stands for a model of
about 20 ms, or about 5 ms, a frame. It needs OpenCV, numpy and ONNX Runtime, which every rival's virtual environment has in the same versions.
"""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = {"20ms": 416, "5ms": 272}
CHANNELS = {"20ms": (16, 48, 48, 64), "5ms": (16, 32, 32)}
FOLDER = Path(__file__).resolve().parents[2] / "build" / "rivals"


class Engine:
    """A model as a callable.

    Args:
        kind: "20ms" or "5ms".
    """

    def __init__(self, kind: str) -> None:
        import onnxruntime

        cv2.setNumThreads(1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = FOLDER / f"engine-{kind}.onnx"
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._side_px = SIDE_PX[kind]

    def __call__(self, jpegs: list[bytes]) -> list[list[float]]:
        """Answer a batch.

        Args:
            jpegs: a JPEG each.

        Returns:
            three numbers for each.
        """
        pixels = np.stack([self._decoded(jpeg) for jpeg in jpegs])
        answers: list[list[float]] = np.asarray(self._session.run(None, {"frames": pixels})[0]).tolist()
        return answers

    def _decoded(self, jpeg: bytes) -> NDArray[np.float32]:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
        if image is None:
            raise ValueError("not a JPEG")
        small = cv2.resize(image, (self._side_px, self._side_px))
        return np.ascontiguousarray(small.transpose(2, 0, 1), dtype=np.float32) / 255.0


def engine_of_environment() -> Engine:
    """The engine that the variable ENGINE names; servers' processes are started with it."""
    return Engine(os.environ["ENGINE"])


def workers_of_environment() -> int:
    """How many processes a tuned server runs the engine in."""
    return int(os.environ.get("WORKERS", "1"))


def is_tuned() -> bool:
    """Whether the server runs with its best documented settings instead of its defaults."""
    return os.environ.get("MODE") == "tuned"


def write_engines(folder: Path) -> None:
    """Write the networks; needs the package onnx.

    Args:
        folder: where engine-20ms.onnx and engine-5ms.onnx go.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder.mkdir(parents=True, exist_ok=True)
    for kind, widths in CHANNELS.items():
        rng = np.random.default_rng(7)
        nodes: list[Any] = []
        weights: list[Any] = []
        entering, name = 3, "frames"
        for number, width in enumerate(widths):
            kernel = (rng.standard_normal((width, entering, 3, 3)) / np.sqrt(9 * entering)).astype(np.float32)
            weights.append(numpy_helper.from_array(kernel, f"w{number}"))
            conv = helper.make_node(
                "Conv",
                [name, f"w{number}"],
                [f"c{number}"],
                strides=[2, 2] if number % 2 == 0 else [1, 1],
                pads=[1] * 4,
            )
            nodes += [conv, helper.make_node("Relu", [f"c{number}"], [f"r{number}"])]
            entering, name = width, f"r{number}"
        weights.append(numpy_helper.from_array(rng.standard_normal((entering, 3)).astype(np.float32), "head"))
        nodes += [
            helper.make_node("GlobalAveragePool", [name], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "head"], ["answer"]),
        ]
        side = SIDE_PX[kind]
        graph = helper.make_graph(
            nodes,
            kind,
            [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["n", 3, side, side])],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", 3])],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(folder / f"engine-{kind}.onnx"))


if __name__ == "__main__":
    write_engines(FOLDER)
