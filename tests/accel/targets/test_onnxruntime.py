import pytest

from fleetsight.accel.targets import onnxruntime
from tests.accel.tiny_models import TinyHead
from tests.contracts.compiled_contract import ComputingContract
from tests.contracts.target_contract import Floats, TargetContract


class TestOnnxRuntime(TargetContract):
    target = "onnxruntime"

    def expected(self, batch: Floats) -> Floats:
        return TinyHead().answer(batch)


class TestCompiledOnnxRuntime(ComputingContract):
    target = "onnxruntime"


def test_a_missing_package_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise ImportError("No module named 'onnxruntime'")

    monkeypatch.setattr(onnxruntime, "_runtime", absent)
    assert "pip install onnxruntime" in str(onnxruntime.probe())
