"""Files that are whole or absent after a power cut, and the few numbers that a device must never forget.

Rename alone survives a killed process, not a pulled plug: the bytes have to be on the disk before the name, and the name before anybody
is told. So: temporary file, fsync, rename, fsync of the folder.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleetsight.errors import Error
from fleetsight.store.crashpoint import crashpoint

DRAFT_SUFFIX = ".draft"


class DeviceDataError(Error):
    """What the device keeps on its disk cannot be read."""

    code = "device_data"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut.

    Args:
        folder: an existing folder.
    """
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, so that it survives a power cut.

    Args:
        folder: may exist.
    """
    missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file; after a power cut it holds the old bytes or the new ones.

    Args:
        path: in an existing folder.
        data: all of the file.
        mode: permissions, set before the first byte is written.
    """
    draft = path.with_name(f".{path.name}{DRAFT_SUFFIX}")
    draft.unlink(missing_ok=True)  # of a process that died; its permissions may differ
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(number, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(data)
        file.flush()
        os.fsync(number)
    crashpoint("device.before-rename")
    draft.replace(path)
    sync_folder(path.parent)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a file by a JSON object, as `write_durably` does.

    Args:
        path: in an existing folder.
        value: what JSON can hold.
    """
    write_durably(path, json.dumps(value, separators=(",", ":")).encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """Read what `write_json` wrote.

    Args:
        path: the file.
    Returns:
        the object, or None when there is no such file.
    Raises:
        DeviceDataError: the file holds something else: the disk is broken, or somebody edited it.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DeviceDataError(f"{path} is no JSON: {error}", hint="restore it, or enrol the device anew") from error
    if not isinstance(value, dict):
        raise DeviceDataError(f"{path} holds a {type(value).__name__}, expected an object")
    return value


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes away from a device's data while the block runs; a process that dies lets go.

    Args:
        folder: the device's data folder; made when it is missing.
    Raises:
        DeviceDataError: another process has it.
    """
    make_folder(folder)
    with (folder / "held").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeviceDataError(f"{folder} is used by another process", hint="one agent per data folder") from error
        yield


class Memory:
    """How often the device has started and which command it obeyed last.

    Args:
        path: the file; made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        kept = read_json(path) or {}
        self._boots = int(kept.get("boots", 0))
        self._last_command_seq = int(kept.get("last_command_seq", 0))

    @property
    def last_command_seq(self) -> int:
        """Number of the last command that was taken up; commands up to it are never obeyed again."""
        return self._last_command_seq

    def count_boot(self) -> int:
        """Note a start.

        Returns:
            its number, from 1; every later start has a higher one.
        """
        with self._lock:
            self._boots += 1
            self._write()
            return self._boots

    def take_up(self, seq: int) -> bool:
        """Take up a command; on disk before it is obeyed, so that a power cut cannot make the device obey it twice.

        Args:
            seq: the command's number.
        Returns:
            False when this one or a later one was taken up before.
        """
        with self._lock:
            if seq <= self._last_command_seq:
                return False
            self._last_command_seq = seq
            self._write()
            return True

    def _write(self) -> None:
        write_json(self._path, {"boots": self._boots, "last_command_seq": self._last_command_seq})
