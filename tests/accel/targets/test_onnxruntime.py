from pathlib import Path
from types import SimpleNamespace

import pytest

from fleetsight.accel.session import TargetError, TargetGoneError, UnsupportedError
from fleetsight.accel.targets import onnxruntime
from fleetsight.accel.targets.options import Options
from tests.accel.tiny_graphs import question, questions
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


def test_a_device_without_its_provider_is_told(tmp_path: Path) -> None:
    if "cuda" in onnxruntime.devices():
        pytest.skip("there is a CUDA provider here")
    with pytest.raises(UnsupportedError, match="no device 'cuda' here, only cpu") as caught:
        onnxruntime.compile(questions(), Options(flags={"device": "cuda"}), folder=tmp_path)
    assert "onnxruntime-gpu" in caught.value.hint


def test_a_provider_that_does_not_start_is_no_silent_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxruntime._runtime()
    on_cpu = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    fake = SimpleNamespace(
        SessionOptions=real.SessionOptions,
        InferenceSession=lambda *_, **__: on_cpu,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(onnxruntime, "_runtime", lambda: fake)
    assert onnxruntime.devices() == ("cpu", "cuda")
    with pytest.raises(TargetGoneError, match="did not start CUDAExecutionProvider"):
        onnxruntime.OnnxRuntimeSession(b"", (), (), device="cuda")


def test_a_device_lost_at_run_time_is_another_error_than_a_bad_run() -> None:
    graph = questions().graph().at_batch(1)
    for said, kind in (("CUDA failure 700: illegal memory access", TargetGoneError), ("out of range", TargetError)):
        session = onnxruntime.OnnxRuntimeSession(graph.onnx, graph.inputs, graph.outputs)
        assert session.provider == "CPUExecutionProvider"

        def fails(*_: object, said: str = said) -> None:
            raise RuntimeError(said)

        session._session = SimpleNamespace(run=fails)
        with pytest.raises(TargetError) as caught:
            session.run(*question(1))
        assert type(caught.value) is kind
