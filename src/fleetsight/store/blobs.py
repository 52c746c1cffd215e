"""Bytes by digest: what was put under a digest is what comes back, or an error says that it does not.

`fleetsight.store.places` says where the bytes lie. A blob's name there is ``sha256/ab/cdef...``.
"""

import hashlib
import io
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NewType, Self
from urllib.parse import unquote, urlsplit

from fleetsight.store.places import (
    BlobError,
    BlobStorageError,
    BucketPlace,
    FolderPlace,
    MissingBlobError,
    Place,
    Source,
    StorageFullError,
    named_failures,
)

__all__ = [
    "BlobError",
    "BlobStorageError",
    "Blobs",
    "CorruptBlobError",
    "Digest",
    "MissingBlobError",
    "StorageFullError",
    "digest_of_bytes",
    "parse_digest",
]

Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hexadecimal digits."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


class CorruptBlobError(BlobError):
    """Bytes that are not what was put."""

    code = "blob_corrupt"


class Blobs:
    """Bytes, each under its digest.

    Args:
        place: where they lie; see `open`.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    @classmethod
    def open(cls, url: str, *, options: Mapping[str, str] | None = None) -> Self:
        """Open a place for bytes.

        Args:
            url: ``file:///absolute/folder``, which is made when it is missing, or ``s3://bucket/prefix``.
            options: for S3: ``endpoint``, ``access_key_id``, ``secret_access_key``, ``region`` and what else obstore's S3 store
                takes; what is left out comes from the machine's role.
        Returns:
            the place.
        Raises:
            BlobError: another kind of address, or options that the store does not know.
        """
        parts = urlsplit(url)
        if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
            return cls(FolderPlace(Path(unquote(parts.path))))
        if parts.scheme == "s3" and parts.netloc:
            return cls(BucketPlace(parts.netloc, parts.path.strip("/"), options=options or {}))
        raise BlobError(f"{url!r} is no place for bytes", hint="write file:///absolute/folder or s3://bucket/prefix")

    def put_bytes(self, data: bytes) -> Digest:
        """Keep bytes. What is kept already is not written again: to mend a damaged blob, delete it first.

        Args:
            data: any bytes.
        Returns:
            their digest; the bytes survive a power cut when it is returned.
        Raises:
            StorageFullError: no room.
            BlobStorageError: the place failed in another way.
        """
        digest = digest_of_bytes(data)
        self._put(digest, io.BytesIO(data), size_bytes=len(data))
        return digest

    def put_file(self, path: Path) -> Digest:
        """Keep the bytes of a file, which nobody may write to meanwhile.

        Args:
            path: the file.
        Returns:
            its digest; the bytes survive a power cut when it is returned.
        Raises:
            CorruptBlobError: the file changed while it was read.
            StorageFullError: no room.
            BlobStorageError: the place failed in another way.
        """
        with path.open("rb") as file:
            digest = Digest(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
            size_bytes = file.tell()
            file.seek(0)
            self._put(digest, _Checked(file, digest), size_bytes=size_bytes)
        return digest

    def get(self, digest: Digest) -> bytes:
        """Read a whole blob into memory.

        Args:
            digest: its name.
        Returns:
            the bytes, checked.
        Raises:
            MissingBlobError: no such blob.
            CorruptBlobError: the bytes are not what was put.
        """
        return b"".join(self.stream(digest))

    def fetch(self, digest: Digest, path: Path) -> None:
        """Copy a blob into a file.

        Args:
            digest: its name.
            path: where to; replaced when the bytes are complete and checked, untouched before.
        Raises:
            MissingBlobError: no such blob.
            CorruptBlobError: the bytes are not what was put.
            StorageFullError: no room for the copy.
        """
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with named_failures(writing=True), draft.open("xb") as file:
                for chunk in self.stream(digest):
                    file.write(chunk)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def stream(self, digest: Digest, offset: int = 0, *, length: int | None = None) -> Iterator[bytes]:
        """Read a blob in pieces of about 1 MiB.

        Args:
            digest: its name.
            offset: first byte, from 0; at or past the end gives nothing.
            length: how many bytes at most; to the end when None.
        Yields:
            the bytes. Only a whole blob is checked, after its last piece: until then do not rely on it. A part is what the place
            holds.
        Raises:
            MissingBlobError: no such blob.
            CorruptBlobError: the bytes are not what was put.
        """
        size_bytes = self.size(digest)
        if size_bytes is None:
            raise MissingBlobError(f"there is no blob {digest}", hint="it was deleted, or never put here")
        end = size_bytes if length is None else min(size_bytes, offset + length)
        if offset == 0 and end == size_bytes:
            yield from self._whole(digest, size_bytes)
        elif offset < end:
            yield from self._place.read(_name(digest), offset=offset, length=end - offset)

    def size(self, digest: Digest) -> int | None:
        """Ask how long a blob is.

        Args:
            digest: its name.
        Returns:
            bytes; None when there is no such blob.
        """
        return self._place.size(_name(digest))

    def delete(self, digest: Digest) -> None:
        """Delete a blob; nothing happens when there is none.

        Args:
            digest: its name.
        """
        self._place.delete(_name(digest))

    def _put(self, digest: Digest, source: Source, *, size_bytes: int) -> None:
        name = _name(digest)
        if self._place.size(name) == size_bytes:
            self._place.keep(name)
        else:
            self._place.write(name, source, size_bytes=size_bytes)

    def _whole(self, digest: Digest, size_bytes: int) -> Iterator[bytes]:
        running, read_bytes = hashlib.sha256(), 0
        if size_bytes:
            for chunk in self._place.read(_name(digest), offset=0, length=size_bytes):
                running.update(chunk)
                read_bytes += len(chunk)
                yield chunk
        if f"sha256:{running.hexdigest()}" != digest:
            raise CorruptBlobError(
                f"blob {digest} is damaged: {read_bytes} bytes have another digest", hint="restore it from a backup"
            )


def digest_of_bytes(data: bytes) -> Digest:
    """Digest bytes.

    Args:
        data: any bytes.
    Returns:
        the name under which they would be kept.
    """
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def parse_digest(text: str) -> Digest:
    """Read a digest that came from outside.

    Args:
        text: ``sha256:`` and 64 lower-case hexadecimal digits.
    Returns:
        the digest.
    Raises:
        BlobError: anything else.
    """
    if not _DIGEST.fullmatch(text):
        raise BlobError(f"{text[:100]!r} is no digest", hint="write sha256: and 64 lower-case hexadecimal digits")
    return Digest(text)


def _name(digest: Digest) -> str:
    hexadecimal = parse_digest(digest).removeprefix("sha256:")  # the only names that reach a path
    return f"sha256/{hexadecimal[:2]}/{hexadecimal[2:]}"


class _Checked:
    """A file that fails at its end, before anything has a name, unless its bytes have the expected digest."""

    def __init__(self, file: IO[bytes], expected: Digest) -> None:
        self._file = file
        self._expected = expected
        self._running = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._running.update(data)
        if (size < 0 or not data) and f"sha256:{self._running.hexdigest()}" != self._expected:
            raise CorruptBlobError("the file changed while it was read", hint="put a file that is finished")
        return data
