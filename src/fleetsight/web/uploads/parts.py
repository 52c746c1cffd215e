"""Files of uploads that are not complete: one for each, named by the server, on a local disk.

Bytes are on disk (fsync) before anybody is told that they came. The row says how many count; what lies beyond, after a crash
between file and row, is cut off by the next write.
"""

import errno
import fcntl
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetsight.store.blobs import BlobStorageError, StorageFullError
from fleetsight.store.crashpoint import crashpoint

SUFFIX = ".part"
RUNNING_MAX = 512
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Parts:
    """The folder of such files.

    Args:
        folder: on a local disk; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._running: OrderedDict[str, tuple[int, hashlib._Hash]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def alone(self, upload_id: str) -> Iterator[None]:
        """Work on an upload while no other thread or process does.

        Args:
            upload_id: of the server.
        Yields:
            nothing.
        Raises:
            BlobStorageError: the folder cannot be used.
        """
        with _named_failures(), self.path(upload_id).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def append(self, upload_id: str, chunk: bytes, *, offset: int) -> None:
        """Write bytes at their place and wait until they are on disk; within `alone`.

        Args:
            upload_id: of the server.
            chunk: the bytes.
            offset: how many bytes count so far.
        Raises:
            StorageFullError: no room; the bytes that counted still do.
            BlobStorageError: the disk failed in another way.
        """
        path = self.path(upload_id)
        with _named_failures():
            with path.open("r+b") as file:
                file.truncate(offset)
                file.seek(offset)
                file.write(chunk)
                file.flush()
                crashpoint("upload.before-fsync")
                os.fsync(file.fileno())
            if offset == 0:
                _sync_folder(self._folder)
        self._run_on(upload_id, chunk, offset=offset)

    def sha256(self, upload_id: str, *, length: int) -> str:
        """Digest a part; within `alone`.

        Args:
            upload_id: of the server.
            length: how many bytes count.
        Returns:
            64 hexadecimal digits: from the running digest, or, after a restart, from the file.
        """
        with self._lock:
            reached, running = self._running.get(upload_id, (-1, hashlib.sha256()))
        if reached == length:
            return running.hexdigest()
        with _named_failures(), self.path(upload_id).open("r+b") as file:
            file.truncate(length)
            return hashlib.file_digest(file, "sha256").hexdigest()

    def size(self, upload_id: str) -> int:
        """Bytes in the file, counted or not; 0 when there is none.

        Args:
            upload_id: of the server.
        Returns:
            the number.
        """
        try:
            return self.path(upload_id).stat().st_size
        except FileNotFoundError:
            return 0

    def path(self, upload_id: str) -> Path:
        """The file of an upload.

        Args:
            upload_id: of the server.
        Returns:
            its path, which nothing from outside is part of.
        """
        return self._folder / f"{upload_id}{SUFFIX}"

    def remove(self, upload_id: str) -> None:
        """Remove the file of an upload, if there is one.

        Args:
            upload_id: of the server.
        """
        with self._lock:
            self._running.pop(upload_id, None)
        self.path(upload_id).unlink(missing_ok=True)

    def old(self, age_s: float) -> list[str]:
        """The uploads whose files nobody wrote to for a while.

        Args:
            age_s: for how long, by the clock of the disk.
        Returns:
            their ids.
        """
        before_s = time.time() - age_s
        files = self._folder.glob(f"*{SUFFIX}")
        return sorted(path.name.removesuffix(SUFFIX) for path in files if path.stat().st_mtime < before_s)

    def _run_on(self, upload_id: str, chunk: bytes, *, offset: int) -> None:
        """Carry the digest on, so that a finished upload needs not be read again."""
        with self._lock:
            reached, running = self._running.pop(upload_id, (0, hashlib.sha256()))
            if offset == 0:
                reached, running = 0, hashlib.sha256()
            if reached != offset:
                return
            running.update(chunk)
            self._running[upload_id] = (offset + len(chunk), running)
            if len(self._running) > RUNNING_MAX:
                self._running.popitem(last=False)


@contextmanager
def _named_failures() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StorageFullError if error.errno in _FULL else BlobStorageError
        raise kind(
            f"an upload could not be kept: {error.strerror}", hint="make room on the disk of the uploads"
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
