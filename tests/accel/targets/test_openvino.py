from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fleetsight.accel.choose import open_session
from fleetsight.accel.session import TargetError
from fleetsight.accel.targets import openvino
from fleetsight.accel.targets.options import Options
from tests.accel.tiny_graphs import questions
from tests.accel.tiny_models import TinyHead, save_detector
from tests.contracts.compiled_contract import ComputingContract
from tests.contracts.target_contract import Floats, TargetContract, batch_number


class TestOpenVino(TargetContract):
    target = "openvino"

    def expected(self, batch: Floats) -> Floats:
        return TinyHead().answer(batch)


class TestCompiledOpenVino(ComputingContract):
    target = "openvino"


def core_that_computes(*abilities: str) -> SimpleNamespace:
    return SimpleNamespace(get_property=lambda *_: list(abilities))


def test_auto_takes_bfloat16_where_it_is_native_and_only_there() -> None:
    assert openvino._choose_precision(core_that_computes("BF16", "FP32"), "auto") == "bf16"
    assert openvino._choose_precision(core_that_computes("FP32"), "auto") == "f32"


def test_bfloat16_is_refused_where_the_processor_lacks_it() -> None:
    with pytest.raises(TargetError, match="no native bf16"):
        openvino._choose_precision(core_that_computes("FP32"), "bf16")


def test_bfloat16_answers_are_close_and_float32(tmp_path: Path) -> None:
    model = save_detector(tmp_path / "tiny")
    batch = batch_number(5)
    with closing(open_session(model, "openvino")) as session:
        answer = session.run(batch)[0]
    assert answer.dtype == np.float32
    assert np.abs(answer - TinyHead().answer(batch)).max() < 0.05


def test_compiled_networks_are_kept_when_a_folder_is_given(tmp_path: Path) -> None:
    model = save_detector(tmp_path / "tiny")
    with closing(openvino.open_model(model, cache=tmp_path / "cache")) as session:
        session.run(batch_number(1))
    assert any((tmp_path / "cache").iterdir())


def test_a_missing_package_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise ImportError("No module named 'openvino'")

    monkeypatch.setattr(openvino, "_runtime", absent)
    assert "pip install openvino" in str(openvino.probe())


def test_the_telling_line_of_a_chained_message_is_kept() -> None:
    error = RuntimeError("Exception from src/core.cpp:12:\nCheck 'ok' failed at x.cpp:3:\nwrong model\n")
    assert openvino._first_line(error) == "wrong model"


def test_a_precision_that_the_processor_lacks_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "precisions", lambda: ("f32", "int8"))
    with pytest.raises(TargetError, match="no precision 'bf16' here") as caught:
        openvino.compile(questions(), Options(precision="bf16"), folder=tmp_path)
    assert caught.value.hint == "take one of f32, int8"
    assert list(tmp_path.iterdir()) == []


def test_what_int8_leaves_as_floats_runs_in_the_fastest_native_arithmetic() -> None:
    assert openvino._hint(core_that_computes("BF16", "INT8"), "int8") == "bf16"
    assert openvino._hint(core_that_computes("INT8"), "int8") == "f32"


def test_the_features_of_the_processor_are_part_of_the_compilers_name(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("flags : fpu amx_int8 avx2 amx_bf16 amx_tile\n")
    assert openvino.cpu_features(told) == ("avx2", "amx_tile", "amx_bf16", "amx_int8")
    assert openvino.cpu_features(tmp_path / "none") == ()
    assert openvino.compiler().endswith(" ".join(("cpu", *openvino.cpu_features())))


def test_streams_share_the_threads(tmp_path: Path) -> None:
    openvino.compile(questions(), Options(), folder=tmp_path)
    with closing(openvino.load(tmp_path, streams=2, threads=2)) as session:
        network = session._network_for("THROUGHPUT")
        assert network.get_property("NUM_STREAMS") == 2
        assert network.get_property("INFERENCE_NUM_THREADS") == 2


def test_a_damaged_model_is_a_target_error(tmp_path: Path) -> None:
    openvino.compile(questions(), Options(), folder=tmp_path)
    (tmp_path / openvino.MODEL_FILE).write_text("<net")
    with pytest.raises(TargetError, match="cannot read") as caught:
        openvino.load(tmp_path)
    assert caught.value.hint == "compile the model again"


def test_weights_keep_their_bits(tmp_path: Path) -> None:
    openvino.compile(questions(), Options(), folder=tmp_path)
    assert (tmp_path / "model.bin").stat().st_size >= 4 * (11 * 8 + 8 * 3)
