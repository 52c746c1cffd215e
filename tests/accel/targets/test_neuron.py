from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fleetsight.accel.choose import open_session
from fleetsight.accel.session import NumericalError, Session, TargetError, TargetGoneError, UnsupportedError
from fleetsight.accel.targets import neuron
from fleetsight.accel.targets.neuron_status import STATUSES
from fleetsight.accel.targets.options import Options
from tests.accel.tiny_graphs import answer, question, questions, source_of
from tests.accel.tiny_models import TinyHead, save_detector
from tests.contracts.compiled_contract import ComputingContract
from tests.contracts.target_contract import Floats, TargetContract, batch_number


@pytest.mark.usefixtures("standin", "with_device")
class TestNeuron(TargetContract):
    target = "neuron"

    def expected(self, batch: Floats) -> Floats:
        return TinyHead().answer(batch)


@pytest.mark.usefixtures("standin", "with_device")
class TestCompiledNeuron(ComputingContract):
    target = "neuron"


@pytest.fixture
def chip(standin: ModuleType) -> Iterator[Any]:
    standin.chip.reset()
    yield standin.chip
    standin.chip.reset()


def compiled(folder: Path, *, batch: int | None = 1, precision: str = "f32", **flags: str) -> Path:
    folder.mkdir(exist_ok=True)
    neuron.compile(questions(), Options(precision=precision, batch=batch, flags=flags), folder=folder)
    return folder


def worst(session: Session, *, batch: int = 1) -> float:
    return float(np.abs(session.run(*question(1, batch))[0] - answer(*question(1, batch))[0]).max())


@pytest.mark.usefixtures("chip")
class TestCompiling:
    def test_the_command_line_is_that_of_the_documentation(self, chip: Any, tmp_path: Path) -> None:
        compiled(tmp_path / "a")
        compiled(tmp_path / "b", precision="bf16")
        compiled(tmp_path / "c", auto_cast="all", auto_cast_type="fp8_e4m3", optlevel="3", instance="trn1")
        first, second, third = (" ".join(words) for words, _ in chip.compiled)
        assert first == "--target inf2 --model-type generic --auto-cast none --optlevel 2"
        assert second == "--target inf2 --model-type generic --auto-cast matmult --auto-cast-type bf16 --optlevel 2"
        assert third == "--target trn1 --model-type generic --auto-cast all --auto-cast-type fp8_e4m3 --optlevel 3"

    def test_it_needs_no_device_and_says_so_to_the_compiler(self, chip: Any, tmp_path: Path) -> None:
        assert neuron.device_files(tmp_path) == ()
        compiled(tmp_path / "a")
        assert chip.compiled[0][1] is True

    def test_transformers_are_told_apart(self, chip: Any, tmp_path: Path) -> None:
        neuron.compile(questions(), Options(model_kind="transformer"), folder=tmp_path)
        assert "--model-type transformer" in " ".join(chip.compiled[0][0])

    @pytest.mark.parametrize(
        ("flags", "precision", "batch", "said"),
        [
            ({"auto_cast": "none"}, "bf16", 1, "contradict"),
            ({"auto_cast_type": "fp16"}, "bf16", 1, "contradict"),
            ({"weights": "separate"}, "f32", None, "open batch needs the weights inside"),
            ({"auto_cast": "matmul"}, "f32", 1, "auto_cast is 'matmul'"),
        ],
    )
    def test_contradictions_are_refused(
        self, tmp_path: Path, flags: dict[str, str], precision: str, batch: int | None, said: str
    ) -> None:
        with pytest.raises(TargetError, match=said):
            compiled(tmp_path / "a", batch=batch, precision=precision, **flags)

    def test_the_spelling_of_the_compiler_is_suggested(self, tmp_path: Path) -> None:
        with pytest.raises(TargetError) as caught:
            compiled(tmp_path / "a", auto_cast="matmul")
        assert caught.value.hint == "did you mean 'matmult'?"

    @pytest.mark.parametrize(
        ("said", "kind", "hint"),
        [
            ("[NCC_EVRF001] Operator aten::sort is not supported", UnsupportedError, "fleetsight doctor"),
            ("Estimate exceeds HBM [NCC_EOOM001] of 16 GB", TargetError, "smaller batch"),
            ("neuronx-cc ended with exit code 70", TargetError, "another target"),
        ],
    )
    def test_errors_of_the_compiler_name_the_way_out(
        self, chip: Any, tmp_path: Path, said: str, kind: type[TargetError], hint: str
    ) -> None:
        chip.fail_next_compile(f"Compilation error\n{said}\n")
        with pytest.raises(TargetError, match="cannot compile") as caught:
            compiled(tmp_path / "a")
        assert type(caught.value) is kind
        assert hint in caught.value.hint
        assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.usefixtures("chip")
class TestRunning:
    def test_casting_costs_accuracy_by_kind(self, tmp_path: Path) -> None:
        casts = {
            "f32": compiled(tmp_path / "0"),
            "tf32": compiled(tmp_path / "1", auto_cast_type="tf32"),
            "bf16": compiled(tmp_path / "2", precision="bf16"),
            "all": compiled(tmp_path / "3", auto_cast="all", auto_cast_type="bf16"),
            "fp8": compiled(tmp_path / "4", auto_cast_type="fp8_e4m3"),
        }
        lost = {name: worst(neuron.load(folder)) for name, folder in casts.items()}
        assert lost["f32"] < 1e-5 < lost["tf32"] < lost["bf16"] < lost["fp8"]
        assert lost["bf16"] < 0.1
        assert neuron.load(casts["bf16"]).precision == "bf16"
        assert neuron.load(casts["fp8"]).precision == "fp8_e4m3"

    def test_an_open_batch_is_cut_and_padded(self, chip: Any, tmp_path: Path) -> None:
        folder = compiled(tmp_path / "a", batch=None, trace_batch="4")
        with closing(neuron.load(folder)) as session:
            assert worst(session, batch=6) < 1e-5
            assert [rows for _, rows in chip.ran] == [4, 4]

    def test_data_parallel_keeps_the_order_over_both_cores(self, chip: Any, tmp_path: Path) -> None:
        folder = compiled(tmp_path / "a", batch=None)
        with closing(neuron.load(folder, streams=2)) as session:
            assert worst(session, batch=7) < 1e-5
            asked = [question(seed, 1 + seed % 4) for seed in range(9)]
            for outputs, inputs in zip(session.map(asked), asked, strict=True):
                np.testing.assert_allclose(outputs[0], answer(*inputs)[0], atol=1e-5)
        assert {core for core, _ in chip.ran} == {0, 1}

    def test_a_fixed_batch_goes_round_over_the_cores(self, chip: Any, tmp_path: Path) -> None:
        with closing(neuron.load(compiled(tmp_path / "a"), streams=2)) as session:
            list(session.map([question(seed) for seed in range(8)]))
        assert [core for core, _ in chip.ran].count(0) == 4

    def test_each_load_takes_the_next_core_or_the_one_named(self, chip: Any, tmp_path: Path) -> None:
        folder = compiled(tmp_path / "a")
        for session in (neuron.load(folder), neuron.load(folder), neuron.load(folder, first_core=1)):
            session.run(*question(1))
        assert [core for core, _ in chip.ran] == [0, 1, 1]

    @pytest.mark.parametrize("loading", ["lazy", "async"])
    def test_the_way_of_loading_survives_the_file(self, chip: Any, tmp_path: Path, loading: str) -> None:
        folder = compiled(tmp_path / "a", loading=loading)
        with closing(neuron.load(folder)) as session:
            assert session._script.notes["load"] == loading
            assert (session._script.cores == []) or loading == "async"
            assert worst(session) < 1e-5
            assert session._script.cores == [0]

    def test_cores_of_another_process_are_told(self, chip: Any, tmp_path: Path) -> None:
        folder = compiled(tmp_path / "a")
        chip.held_elsewhere.add(1)
        with pytest.raises(TargetError, match="LOAD_NOT_ENOUGH_NC") as caught:
            neuron.load(folder, streams=2)
        assert "NEURON_RT_VISIBLE_CORES" in caught.value.hint

    def test_weights_beside_the_network_can_be_replaced(self, tmp_path: Path) -> None:
        source = source_of(TinyHead().onnx(), (batch_number(0),))
        neuron.compile(source, Options(flags={"weights": "separate"}), folder=tmp_path)
        with closing(neuron.load(tmp_path)) as session:
            assert session._script.notes["moved"]
            session.replace_weights(source_of(TinyHead(seed=9).onnx(), (batch_number(0),)))
            found = session.run(batch_number(2))[0]
        np.testing.assert_allclose(found, TinyHead(seed=9).answer(batch_number(2)), atol=1e-4)

    def test_weights_inside_the_network_cannot(self, tmp_path: Path) -> None:
        with closing(neuron.load(compiled(tmp_path / "a"))) as session, pytest.raises(TargetError) as caught:
            session.replace_weights(questions())
        assert caught.value.hint == "compile with weights=separate"

    def test_numbers_that_are_not_finite_are_told(self, tmp_path: Path) -> None:
        ids, mask = question(1)
        with closing(neuron.load(compiled(tmp_path / "a"))) as session:
            with pytest.raises(NumericalError, match=r"COMPLETED_WITH_NUM_ERR \(1003\)"):
                session.run(ids, np.full_like(mask, np.nan))
            assert worst(session) < 1e-5

    @pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.name)
    @pytest.mark.parametrize("form", ["nrt_execute status code: {code}", "nrt_execute failed NRT_EXEC_{name}"])
    def test_every_status_is_an_error_with_a_way_out(self, chip: Any, tmp_path: Path, status: Any, form: str) -> None:
        with closing(neuron.load(compiled(tmp_path / "a"))) as session:
            chip.fail_next_run(form.format(code=status.code, name=status.name))
            with pytest.raises(TargetError, match=rf"{status.name} \({status.code}\)") as caught:
                session.run(*question(1))
            assert type(caught.value) is status.error
            assert caught.value.hint

    def test_a_chip_that_vanishes_is_left_to_the_caller(self, chip: Any, tmp_path: Path) -> None:
        folder = compiled(tmp_path / "a")
        with closing(neuron.load(folder)) as first, closing(neuron.load(folder)) as second:
            chip.fail_next_run("NRT_EXEC_HW_ERR_HBM_UE status code: 1201")
            with pytest.raises(TargetGoneError, match="HBM_UE"):
                list(first.map([question(1), question(2)]))
            assert worst(second) < 1e-5

    def test_an_unknown_failure_points_at_doctor(self, chip: Any, tmp_path: Path) -> None:
        with closing(neuron.load(compiled(tmp_path / "a"))) as session:
            chip.fail_next_run("something else")
            with pytest.raises(TargetError, match="something else") as caught:
                session.run(*question(1))
        assert "fleetsight doctor" in caught.value.hint


def test_the_placeholder_of_pypi_is_recognised(placeholder: None) -> None:
    reason = str(neuron.probe())
    assert "placeholder" in reason
    assert "pip.repos.neuron.amazonaws.com" in reason


def test_a_missing_package_is_a_reason(tmp_path: Path) -> None:
    assert "not installed" in str(neuron.probe())
    with pytest.raises(TargetError, match="no target can run"):
        open_session(save_detector(tmp_path / "tiny"), "neuron")


def test_without_a_chip_the_reason_says_what_still_works(standin: ModuleType) -> None:
    assert neuron.probe() == "no Neuron device here (/dev/neuron*): it can compile, not run"
    assert neuron.probe_compiler() is None
