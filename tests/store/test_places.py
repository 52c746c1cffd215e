"""What a folder of blobs does when the disk does not."""

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetsight.store.blobs import Blobs, BlobStorageError, StorageFullError, digest_of_bytes
from fleetsight.store.places import DRAFT_KEPT_S, DRAFTS

CLIP = bytes(3_000_000)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        pytest.skip("needs the command mount")
    if done.returncode:
        pytest.skip(f"needs the right to mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], timeout=20, check=True)


@pytest.mark.bad_input(31)
def test_a_full_disk_is_said_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    blobs = Blobs.open(small_disk.as_uri())
    (tmp_path / "clip.ts").write_bytes(CLIP)
    with pytest.raises(StorageFullError, match="no room") as caught:
        blobs.put_bytes(CLIP)
    assert "free space" in caught.value.hint
    with pytest.raises(StorageFullError, match="no room"):
        blobs.put_file(tmp_path / "clip.ts")
    assert files(small_disk) == []
    assert blobs.get(blobs.put_bytes(b"frame")) == b"frame"


def test_a_copy_that_does_not_fit_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    blobs = Blobs.open((tmp_path / "blobs").as_uri())
    with pytest.raises(StorageFullError):
        blobs.fetch(blobs.put_bytes(CLIP), small_disk / "clip.ts")
    assert files(small_disk) == []


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, StorageFullError), (errno.EDQUOT, StorageFullError), (errno.EIO, BlobStorageError)],
)
def test_a_failing_sync_leaves_nothing_under_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[BlobStorageError]
) -> None:
    blobs = Blobs.open(tmp_path.as_uri())

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(error) as caught:
            blobs.put_bytes(b"frame")
        assert caught.value.code == error.code
    assert files(tmp_path) == []
    assert blobs.get(blobs.put_bytes(b"frame")) == b"frame"


def test_what_was_put_is_synced_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs.open(tmp_path.as_uri())
    synced: list[tuple[str, bool]] = []
    sync = os.fsync

    def note(number: int) -> None:
        kind = "folder" if Path(f"/proc/self/fd/{number}").resolve().is_dir() else "file"
        synced.append((kind, blobs.size(digest_of_bytes(b"frame")) is not None))
        sync(number)

    monkeypatch.setattr(os, "fsync", note)
    blobs.put_bytes(b"frame")
    assert synced[0] == ("file", False)
    assert synced[-1] == ("folder", True)
    synced.clear()
    blobs.put_bytes(b"frame")  # its first writer may have died before it synced the folder
    assert synced == [("folder", True)]


def test_drafts_of_the_dead_are_deleted_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    Blobs.open(tmp_path.as_uri())
    for name, age_s in (("dead", DRAFT_KEPT_S + 60), ("living", 60)):
        path = tmp_path / DRAFTS / name
        path.write_bytes(b"half a")
        os.utime(path, (time.time() - age_s,) * 2)
    Blobs.open(tmp_path.as_uri())
    assert [path.name for path in files(tmp_path)] == ["living"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BlobStorageError, match="Not a directory"):
        Blobs.open((tmp_path / "file" / "blobs").as_uri())
