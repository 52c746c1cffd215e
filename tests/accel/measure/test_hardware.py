"""The description of a machine."""

from pathlib import Path

from fleetsight.accel.measure.hardware import this_machine

X86 = """processor : 0
model name\t: A fast chip
flags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile amx_bf16 amx_int8
processor : 1
model name\t: A fast chip
flags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile amx_bf16 amx_int8
"""


def written(folder: Path, cpu: str) -> tuple[Path, Path]:
    (folder / "cpu").write_text(cpu, encoding="utf-8")
    (folder / "mem").write_text("MemTotal:       16000000 kB\n", encoding="utf-8")
    return folder / "cpu", folder / "mem"


def test_amx_is_named(tmp_path: Path) -> None:
    machine = this_machine(*written(tmp_path, X86), cores=2)
    assert (machine.has_amx, machine.has_bf16, machine.processor) == (True, True, "A fast chip")
    assert "fpu" not in machine.flags
    assert str(machine).startswith("2 cores of A fast chip, AMX (avx2 avx512f")
    assert str(machine).endswith("16 GB")


def test_a_chip_without_it_says_so(tmp_path: Path) -> None:
    machine = this_machine(
        *written(tmp_path, X86.replace(" amx_tile", "").replace(" amx_bf16", "").replace(" avx512_bf16", ""))
    )
    assert (machine.has_amx, machine.has_bf16) == (False, False)
    assert "no AMX" in str(machine)


def test_a_kernel_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    machine = this_machine(tmp_path / "none", tmp_path / "none")
    assert (machine.processor, machine.flags) == ("unknown processor", ())
    assert machine.cores >= 1
