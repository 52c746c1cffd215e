"""What counts is on disk; what lies beyond it is cut off."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from fleetsight.store.blobs import BlobStorageError, StorageFullError
from fleetsight.web.uploads import parts as module
from fleetsight.web.uploads.parts import Parts


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path / "parts")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fill(parts: Parts, upload_id: str, *chunks: bytes) -> None:
    offset = 0
    for chunk in chunks:
        with parts.alone(upload_id):
            parts.append(upload_id, chunk, offset=offset)
        offset += len(chunk)


def test_the_running_digest_is_that_of_the_file(parts: Parts, tmp_path: Path) -> None:
    fill(parts, "a", b"one", b"two", b"three")
    assert parts.path("a").read_bytes() == b"onetwothree"
    assert parts.sha256("a", length=11) == sha256(b"onetwothree")
    again = Parts(tmp_path / "parts")  # after a restart nothing runs, the file is read
    assert again.sha256("a", length=11) == sha256(b"onetwothree")


def test_bytes_beyond_those_that_count_are_cut_off(parts: Parts) -> None:
    fill(parts, "a", b"one", b"two")
    with parts.alone("a"):
        parts.append("a", b"TWO!", offset=3)
    assert parts.path("a").read_bytes() == b"oneTWO!"
    assert parts.sha256("a", length=7) == sha256(b"oneTWO!")
    assert parts.sha256("a", length=3) == sha256(b"one")


def test_only_so_many_digests_run(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUNNING_MAX", 2)
    for name in "abc":
        fill(parts, name, b"1")
    for name in "abc":
        with parts.alone(name):
            parts.append(name, b"2", offset=1)
        assert parts.sha256(name, length=2) == sha256(b"12")


def test_a_removed_part_is_gone_and_removing_twice_is_fine(parts: Parts) -> None:
    fill(parts, "a", b"1")
    parts.remove("a")
    parts.remove("a")
    assert parts.size("a") == 0


def test_old_files_are_found_by_age(parts: Parts) -> None:
    fill(parts, "old", b"1")
    fill(parts, "new", b"1")
    os.utime(parts.path("old"), (1, 1))
    assert parts.old(3600) == ["old"]


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, StorageFullError), (errno.EDQUOT, StorageFullError), (errno.EIO, BlobStorageError)],
)
def test_a_disk_that_fails_is_named(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[BlobStorageError]
) -> None:
    def failing(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(kind) as caught, parts.alone("a"):
        parts.append("a", b"1", offset=0)
    assert type(caught.value) is kind
