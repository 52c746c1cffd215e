"""Where blobs lie: a folder on this machine, or a bucket behind S3's protocol.

A folder is written here: a temporary file, fsync, rename, fsync of the folder, so that a name never stands for half a file, not
even after a power cut. obstore's own folder does not fsync. A bucket goes through obstore; the put of one object is atomic by
the service's promise.
"""

import errno
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from fleetsight.errors import Error
from fleetsight.store.crashpoint import crashpoint

CHUNK_BYTES = 1 << 20
PART_BYTES = 8 << 20  # larger files go to a bucket in parts; S3 wants at least 5 MiB each
RETRIES = 3  # of one request to a bucket, within
RETRY_S = 20
DRAFTS = "drafts"  # beside the blobs, so that a rename stays on one file system
DRAFT_KEPT_S = 24 * 3600
"""A draft older than this was left by a process that died."""


class BlobError(Error):
    """Bytes that are not there, or an address or digest that is none."""

    code = "blob"


class MissingBlobError(BlobError):
    """No blob has this digest."""

    code = "blob_missing"


class BlobStorageError(BlobError):
    """The place that keeps the bytes failed. Nothing was kept under the digest by this call."""

    code = "blob_storage"


class StorageFullError(BlobStorageError):
    """There is no room."""

    code = "blob_storage_full"


class Source(Protocol):
    """Bytes that are read once, front to back."""

    def read(self, size: int = -1, /) -> bytes:
        """Give the next bytes; none at the end."""
        ...


class Place(Protocol):
    """Bytes by name; names are relative paths with slashes."""

    def write(self, name: str, source: Source, *, size_bytes: int) -> None:
        """Keep all that the source still gives; the name appears when everything is kept, and not before."""
        ...

    def keep(self, name: str) -> None:
        """Make a name that exists as safe as one that `write` has just returned from."""
        ...

    def read(self, name: str, *, offset: int, length: int) -> Iterator[bytes]:
        """Give a part that exists; length > 0."""
        ...

    def size(self, name: str) -> int | None:
        """Give the length in bytes, or None when there is no such name."""
        ...

    def delete(self, name: str) -> None:
        """Delete the name, if it is there."""
        ...


class FolderPlace:
    """A folder on this machine.

    Args:
        folder: absolute; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with named_failures():
            (folder / DRAFTS).mkdir(parents=True, exist_ok=True)
            self._delete_old_drafts()

    def write(self, name: str, source: Source, *, size_bytes: int) -> None:
        del size_bytes
        final = self._folder / name
        draft = self._folder / DRAFTS / secrets.token_hex(16)
        try:
            with named_failures(writing=True):
                with draft.open("xb") as file:
                    while chunk := source.read(CHUNK_BYTES):
                        file.write(chunk)
                    crashpoint("blobs.before-sync")
                    file.flush()
                    os.fsync(file.fileno())
                self._make_parents(final.parent)
                crashpoint("blobs.before-rename")
                draft.replace(final)
                crashpoint("blobs.after-rename")
                sync_folder(final.parent)
        finally:
            draft.unlink(missing_ok=True)

    def keep(self, name: str) -> None:
        with named_failures():
            sync_folder((self._folder / name).parent)  # whoever wrote it may have died before doing so

    def read(self, name: str, *, offset: int, length: int) -> Iterator[bytes]:
        with named_failures(), (self._folder / name).open("rb") as file:
            file.seek(offset)
            while length > 0 and (chunk := file.read(min(length, CHUNK_BYTES))):
                length -= len(chunk)
                yield chunk

    def size(self, name: str) -> int | None:
        try:
            with named_failures():
                return (self._folder / name).stat().st_size
        except MissingBlobError:
            return None

    def delete(self, name: str) -> None:
        with named_failures():
            (self._folder / name).unlink(missing_ok=True)

    def _make_parents(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            sync_folder(path.parent)

    def _delete_old_drafts(self) -> None:
        for draft in (self._folder / DRAFTS).iterdir():
            try:
                if time.time() - draft.stat().st_mtime > DRAFT_KEPT_S:
                    draft.unlink()
            except FileNotFoundError:  # its writer was quicker
                continue


class BucketPlace:
    """A bucket behind S3's protocol.

    Args:
        bucket: its name.
        prefix: folder in it; may be empty.
        options: what obstore's S3 store takes: endpoint, access_key_id, secret_access_key, region, ...
    """

    def __init__(self, bucket: str, prefix: str, *, options: Mapping[str, str]) -> None:
        plain = options.get("endpoint", "").startswith("http://")
        try:
            self._store = S3Store(
                bucket,
                prefix=prefix or None,
                config=cast(Any, dict(options)),  # the store checks the names
                client_options={"allow_http": plain, "timeout": "60s"},
                retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
            )
        except BaseError as error:
            raise BlobError(
                f"cannot use s3://{bucket}: {_first_line(error)}", hint="look at the blob options"
            ) from error

    def write(self, name: str, source: Source, *, size_bytes: int) -> None:
        with named_failures(writing=True):
            crashpoint("blobs.before-upload")
            if size_bytes <= PART_BYTES:
                obstore.put(self._store, name, source.read())
            else:
                parts = iter(partial(source.read, CHUNK_BYTES), b"")
                obstore.put(self._store, name, parts, chunk_size=PART_BYTES, max_concurrency=2)
            crashpoint("blobs.after-upload")

    def keep(self, name: str) -> None:
        """A bucket keeps what it has acknowledged, and shows nothing before."""

    def read(self, name: str, *, offset: int, length: int) -> Iterator[bytes]:
        with named_failures():
            found = obstore.get(self._store, name, options={"range": (offset, offset + length)})
            for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    def size(self, name: str) -> int | None:
        try:
            with named_failures():
                return obstore.head(self._store, name)["size"]
        except MissingBlobError:
            return None

    def delete(self, name: str) -> None:
        try:
            with named_failures():
                obstore.delete(self._store, name)
        except MissingBlobError:
            return


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


@contextmanager
def named_failures(*, writing: bool = False) -> Iterator[None]:
    """Turn errors of the file system and of the bucket into ours.

    Args:
        writing: nothing is looked for, so that what is missing is the folder or the bucket.

    Raises:
        MissingBlobError: the file, the object, or what should hold them is not there.
        StorageFullError: no room.
        BlobStorageError: everything else.
    """
    try:
        yield
    except FileNotFoundError as error:  # obstore raises it too
        if writing:
            raise BlobStorageError(
                f"no place to write to: {_first_line(error)}", hint="make the folder or bucket"
            ) from error
        raise MissingBlobError(f"not there: {_first_line(error)}", hint="it was deleted, or never put there") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                "no room for a blob", hint="free space where the blobs lie, then try again"
            ) from error
        raise BlobStorageError(
            f"cannot keep or read bytes: {error}", hint="see that the place may be written"
        ) from error
    except BaseError as error:
        raise BlobStorageError(
            f"the bucket failed: {_first_line(error)}", hint="look at its address and keys"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
