"""Files that are whole or absent, and numbers that survive."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.durable import (
    DeviceDataError,
    Memory,
    held,
    make_folder,
    read_json,
    write_durably,
    write_json,
)
from fleetsight.store.crashpoint import Crash, SimulatedCrashError, arm, disarm


def test_a_crash_before_the_rename_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    write_json(path, {"value": 1})
    arm("device.before-rename", how=Crash.RAISE)
    try:
        with pytest.raises(SimulatedCrashError):
            write_json(path, {"value": 2})
    finally:
        disarm()
    assert read_json(path) == {"value": 1}
    write_json(path, {"value": 3})
    assert read_json(path) == {"value": 3}
    assert [entry.name for entry in tmp_path.iterdir()] == ["note.json"]


def test_permissions_hold_from_the_first_byte_also_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "key"
    arm("device.before-rename", how=Crash.RAISE)
    try:
        with pytest.raises(SimulatedCrashError):
            write_durably(path, b"open to all", mode=0o666)
    finally:
        disarm()
    write_durably(path, b"secret", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DeviceDataError):
        read_json(tmp_path / "x.json")


def test_a_missing_file_is_none_and_folders_are_made_on_the_way(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert read_json(tmp_path / "a" / "b" / "x.json") is None


def test_a_command_is_taken_up_once_even_over_restarts(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory.json")
    assert memory.last_command_seq == 0
    assert memory.take_up(7)
    assert not memory.take_up(7)
    assert not memory.take_up(3)
    again = Memory(tmp_path / "memory.json")
    assert again.last_command_seq == 7
    assert not again.take_up(7)
    assert again.take_up(8)


def test_starts_are_counted(tmp_path: Path) -> None:
    assert [Memory(tmp_path / "memory.json").count_boot() for _ in range(3)] == [1, 2, 3]


def test_one_process_at_a_time_has_a_data_folder(tmp_path: Path) -> None:
    other = f"""
import pathlib
from fleetsight.apps.cooler.device.durable import DeviceDataError, held
try:
    with held(pathlib.Path({str(tmp_path)!r})):
        print("mine")
except DeviceDataError:
    print("taken")
"""

    def ask() -> str:
        return subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=True).stdout.strip()

    with held(tmp_path):
        assert ask() == "taken"
    assert ask() == "mine"
