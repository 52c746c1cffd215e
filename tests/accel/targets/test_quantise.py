from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fleetsight.accel.choose import target_module
from fleetsight.accel.session import Session, TargetError
from fleetsight.accel.targets import quantise
from fleetsight.accel.targets.options import Options
from fleetsight.vision.image import ShapeError
from tests.accel.tiny_graphs import question, questions, source_of
from tests.accel.tiny_models import TinyHead
from tests.contracts.target_contract import batch_number

PICTURES = tuple((batch_number(seed),) for seed in range(4))


def error_of(session: Session) -> float:
    return max(float(np.abs(session.run(*inputs)[0] - TinyHead().answer(inputs[0])).max()) for inputs in PICTURES)


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_int8_is_close_to_float_and_not_the_same(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = target_module(target)
    options = Options(precision="int8", calibration=PICTURES)
    module.compile(source_of(TinyHead().onnx(), PICTURES[0]), options, folder=tmp_path)
    with closing(module.load(tmp_path)) as session:
        assert session.precision == "int8"
        assert 1e-5 < error_of(session) < 0.05
    assert capsys.readouterr().out == ""


def test_the_accuracy_guard_gives_up_what_costs_too_much(tmp_path: Path) -> None:
    measured: list[float] = []

    def accuracy(session: Session) -> float:
        measured.append(-error_of(session))
        return measured[-1]

    module = target_module("openvino")
    options = Options(precision="int8", calibration=PICTURES, accuracy=accuracy, max_drop=1e-4)
    module.compile(source_of(TinyHead().onnx(), PICTURES[0]), options, folder=tmp_path)
    with closing(module.load(tmp_path)) as session:
        assert error_of(session) <= 1e-4
    assert min(measured) < -1e-4  # quantised as a whole it lost more than was allowed


def test_int8_without_real_inputs_is_refused(tmp_path: Path) -> None:
    for target in ("openvino", "onnxruntime"):
        with pytest.raises(TargetError, match="needs real inputs") as caught:
            target_module(target).compile(questions(), Options(precision="int8"), folder=tmp_path)
        assert "--calibration" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_calibration_is_joined_into_the_networks_batches() -> None:
    samples = tuple(question(seed) for seed in range(5))
    specs = questions().graph().at_batch(2).inputs
    batches = quantise.calibration_batches(Options(calibration=samples, batch=2), specs)
    assert [len(ids) for ids, _ in batches] == [2, 2, 2]
    np.testing.assert_array_equal(batches[2][0], np.concatenate([samples[4][0], samples[0][0]]))


def test_calibration_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match="'ids' takes int64"):
        quantise.calibration_batches(
            Options(calibration=(question(0, words=5),)), questions().graph().at_batch(1).inputs
        )


def test_a_guard_that_fails_tells_its_own_error(tmp_path: Path) -> None:
    def broken(session: Session) -> float:
        raise TargetError("no labels")

    options = Options(precision="int8", calibration=PICTURES, accuracy=broken)
    with pytest.raises(TargetError, match="no labels"):
        target_module("openvino").compile(source_of(TinyHead().onnx(), PICTURES[0]), options, folder=tmp_path)


def test_the_guard_is_openvinos() -> None:
    with pytest.raises(TargetError, match="take target openvino"):
        quantise.quantise_onnx(b"", Options(calibration=PICTURES, accuracy=error_of), specs=questions().graph().inputs)
