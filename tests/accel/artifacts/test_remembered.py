"""A large file is read once, as long as the file system says that it is the same."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from fleetsight.accel.artifacts import remembered
from fleetsight.accel.artifacts.remembered import RememberedDigests


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(remembered, "SETTLED_S", -1.0)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


def of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unreadable(*_: object) -> None:
    raise AssertionError("the file was read again")


def test_the_second_time_nothing_is_read(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RememberedDigests(tmp_path / "memory").sha256(file) == of(b"weights")
    monkeypatch.setattr(hashlib, "file_digest", unreadable)
    assert RememberedDigests(tmp_path / "memory").sha256(file) == of(b"weights")


def test_a_file_that_was_changed_in_place_or_replaced_is_read_again(file: Path, tmp_path: Path) -> None:
    digests = RememberedDigests(tmp_path / "memory")
    digests.sha256(file)
    before = file.stat()
    while os.stat(file).st_ctime_ns == before.st_ctime_ns:  # noqa: PTH116  # the clock of the file system is coarse
        file.write_bytes(b"WEIGHTS")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a careless copy does it
    assert digests.sha256(file) == of(b"WEIGHTS")
    other = tmp_path / "other"
    other.write_bytes(b"another")
    other.replace(file)
    assert digests.sha256(file) == of(b"another")


def test_a_file_that_was_just_written_is_not_remembered(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "SETTLED_S", 60.0)
    assert RememberedDigests(tmp_path / "memory").sha256(file) == of(b"weights")
    assert not (tmp_path / "memory").exists()
    later = time.time() + 120.0
    monkeypatch.setattr(time, "time", lambda: later)
    RememberedDigests(tmp_path / "memory").sha256(file)
    assert (tmp_path / "memory").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}'])
def test_a_damaged_memory_is_begun_anew(file: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "memory").write_text(text)
    assert RememberedDigests(tmp_path / "memory").sha256(file) == of(b"weights")
    assert RememberedDigests(tmp_path / "memory").sha256(file) == of(b"weights")


def test_the_oldest_are_forgotten(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "ENTRIES_MAX", 1)
    digests = RememberedDigests(tmp_path / "memory")
    digests.sha256(file)
    second = tmp_path / "second"
    second.write_bytes(b"2")
    digests.sha256(second)
    text = (tmp_path / "memory").read_text()
    assert "second" in text
    assert "safetensors" not in text
