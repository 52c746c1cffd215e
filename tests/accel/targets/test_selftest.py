import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

from fleetsight.accel.choose import TARGETS
from fleetsight.accel.session import TargetError
from fleetsight.accel.targets import null, onnxruntime, openvino, selftest


def test_the_network_written_by_hand_is_valid_onnx() -> None:
    source = selftest.trial_source()
    model = onnx.load_from_string(source.graph().onnx)
    onnx.checker.check_model(model, full_check=True)
    assert selftest.right_answer(selftest.trial_input()).shape == source.graph().outputs[0].shape


@pytest.mark.parametrize("name", ["openvino", "onnxruntime", "null"])
def test_a_target_that_works_passes_with_what_was_computed(name: str) -> None:
    finding = selftest.examine(name)
    assert finding.status == "pass"
    assert "f32 within" in finding.reason


def test_the_stand_in_of_neuron_passes_in_every_precision(
    standin: ModuleType, with_device: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = selftest.examine("neuron")
    assert finding.status == "pass", finding.reason
    assert all(f"{precision} within" in finding.reason for precision in ("f32", "bf16", "f16"))


def test_what_is_not_there_is_absent_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "probe", lambda: "not installed: pip install openvino")
    assert selftest.examine("openvino") == selftest.Finding(
        target="openvino", status="absent", reason="not installed: pip install openvino"
    )


@pytest.mark.parametrize("wrong", [np.nan, 1.0])
def test_a_wrong_answer_and_one_that_is_no_number_fail(monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    right = onnxruntime.OnnxRuntimeSession.run

    def run(session: Any, *inputs: Any) -> Any:
        return tuple(output + wrong for output in right(session, *inputs))

    monkeypatch.setattr(onnxruntime.OnnxRuntimeSession, "run", run)
    finding = selftest.examine("onnxruntime")
    assert finding.status == "fail"
    assert "differs from numpy" in finding.reason


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TargetError("no room", hint="make some"), "no room (make some)"),
        (ZeroDivisionError("odd"), "ZeroDivisionError: odd"),
    ],
)
def test_whatever_a_target_raises_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    def fails(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(null, "compile", fails)
    assert selftest.examine("null") == selftest.Finding(target="null", status="fail", reason=said)


def test_each_target_is_tried_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        assert command[0] == sys.executable
        if "'torch'" in command[2]:
            raise subprocess.TimeoutExpired(command, 1)
        if "'neuron'" in command[2]:
            return subprocess.CompletedProcess(command, -11, stdout="", stderr="driver\nSegmentation fault\n")
        told = {"target": "x", "status": "pass", "reason": "well"}
        return subprocess.CompletedProcess(command, 0, stdout=f"a word of a driver\n{json.dumps(told)}\n", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    found = {finding.target: finding for finding in selftest.examine_targets()}
    assert list(found) == list(TARGETS)
    assert found["openvino"].status == "pass"
    assert found["torch"].reason == f"no answer within {selftest.TIME_LIMIT_S} s"
    assert found["neuron"].reason == "its process ended with -11: Segmentation fault"


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    selftest.examine("null")
    assert list(tmp_path.iterdir()) == []
