"""The size check finds what it is there for."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check_sizes.py"
LONG_FUNCTION = "def f() -> None:\n" + "    print(1)\n" * 70


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True, timeout=60, check=False
    )


def test_small_code_passes(tmp_path: Path) -> None:
    (tmp_path / "box.py").write_text(
        "def area(width_px: int, height_px: int, *, scale: int) -> int:\n    return width_px\n"
    )
    assert check(tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("box.py", "x = 1\n" * 601, "601 lines"),
        ("box.py", LONG_FUNCTION, "71 lines"),
        ("utils.py", "", "says nothing"),
        ("box.py", "def f(a, b, *, c, d, e, g): ...\n", "6 parameters"),
        ("box.py", "def f(a, b, c): ...\n", "keyword-only"),
    ],
)
def test_what_is_too_large_or_says_nothing_is_named(tmp_path: Path, name: str, text: str, fault: str) -> None:
    (tmp_path / name).write_text(text)
    done = check(tmp_path)
    assert done.returncode == 1
    assert fault in done.stdout


def test_a_package_of_too_many_modules_is_named(tmp_path: Path) -> None:
    for number in range(16):
        (tmp_path / f"part_{number}.py").touch()
    (tmp_path / "__init__.py").touch()
    assert "16 modules" in check(tmp_path).stdout


def test_weights_that_are_too_large_are_named(tmp_path: Path) -> None:
    (tmp_path / "box.py").touch()
    (tmp_path / "model.onnx").write_bytes(bytes(4_000_001))
    assert "4000001 bytes" in check(tmp_path).stdout


def test_a_folder_without_code_is_no_success(tmp_path: Path) -> None:
    assert check(tmp_path).returncode == 2
