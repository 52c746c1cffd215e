import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch as torch_package
from onnx import helper

from fleetsight.accel.session import TargetError, TargetGoneError, UnsupportedError
from fleetsight.accel.targets import torch
from fleetsight.accel.targets.options import Options
from tests.accel.tiny_graphs import answer, model_bytes, ports, question, questions, source_of
from tests.accel.tiny_models import TinyHead
from tests.contracts.compiled_contract import ComputingContract
from tests.contracts.target_contract import Floats, TargetContract, batch_number


class TestTorch(TargetContract):
    target = "torch"

    def expected(self, batch: Floats) -> Floats:
        return TinyHead().answer(batch)


class TestCompiledTorch(ComputingContract):
    target = "torch"


def test_channels_last_answers_the_same(tmp_path: Path) -> None:
    source = source_of(TinyHead().onnx(), (batch_number(0),))
    torch.compile(source, Options(flags={"mode": "channels_last"}), folder=tmp_path)
    with closing(torch.load(tmp_path)) as session:
        assert session.is_channels_last
        assert np.abs(session.run(batch_number(3))[0] - TinyHead().answer(batch_number(3))).max() < 1e-4


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_ahead_of_time_code_answers_the_same_for_any_batch(tmp_path: Path) -> None:
    torch.compile(questions(), Options(batch=None, flags={"mode": "aot"}), folder=tmp_path)
    with closing(torch.load(tmp_path, streams=2, threads=2)) as session:
        asked = [question(seed, batch) for seed, batch in enumerate((1, 3, 2, 5))]
        for outputs, inputs in zip(session.map(asked), asked, strict=True):
            for ours, right in zip(outputs, answer(*inputs), strict=True):
                np.testing.assert_allclose(ours, right, atol=1e-5)


def test_a_missing_compiler_is_told_before_anything_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", {}.get)
    with pytest.raises(TargetError, match=r"needs a C\+\+ compiler, g\+\+") as caught:
        torch.compile(questions(), Options(flags={"mode": "aot"}), folder=tmp_path)
    assert "apt-get install g++" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_bfloat16_is_close_where_it_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "precisions", lambda: ("f32", "bf16"))  # slow on processors without it, not wrong
    torch.compile(questions(), Options(precision="bf16"), folder=tmp_path)
    with closing(torch.load(tmp_path)) as session:
        ours, counts = session.run(*question(4))
    right, right_counts = answer(*question(4))
    assert 0 < np.abs(ours - right).max() < 0.1
    np.testing.assert_array_equal(counts, right_counts)


def test_the_sources_own_module_is_compiled_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "precisions", lambda: ("f32", "bf16"))
    weight = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    onnx_bytes = model_bytes([node], ports(("x", 1, ["b", 4])), ports(("y", 1, ["b", 3])), {"w": weight})
    linear = torch_package.nn.Linear(4, 3, bias=False)
    linear.load_state_dict({"weight": torch_package.from_numpy(weight.T.copy())})
    x = np.eye(4, dtype=np.float32)
    source = replace(source_of(onnx_bytes, (x[:1],)), module=lambda: linear)
    torch.compile(source, Options(precision="bf16", batch=None), folder=tmp_path)
    assert linear.weight.dtype == torch_package.float32
    with closing(torch.load(tmp_path)) as session:
        (found,) = session.run(x)
    assert 0 < np.abs(found - weight).max() < 0.02


@pytest.mark.skipif(torch_package.cuda.is_available(), reason="there is a CUDA device here")
def test_a_missing_cuda_device_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="finds no CUDA device"):
        torch.compile(questions(), Options(flags={"device": "cuda"}), folder=tmp_path)


def test_a_device_lost_at_run_time_is_another_error_than_a_bad_run() -> None:
    def lost(*inputs: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def bad(*inputs: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    specs = questions().graph().at_batch(1)
    for run, kind in ((lost, TargetGoneError), (bad, TargetError)):
        session = torch.TorchSession(run, specs.inputs, specs.outputs, device=torch_package.device("cpu"))
        with pytest.raises(TargetError) as caught:
            session.run(*question(1))
        assert type(caught.value) is kind


def test_a_damaged_file_is_a_target_error(tmp_path: Path) -> None:
    torch.compile(questions(), Options(), folder=tmp_path)
    (tmp_path / torch.MODEL_FILE).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(TargetError, match="cannot read") as caught:
        torch.load(tmp_path)
    assert "compile it again" in caught.value.hint


def test_a_missing_package_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise ImportError("No module named 'torch'")

    monkeypatch.setattr(torch, "_torch", absent)
    assert "fleetsight[compile]" in str(torch.probe())
