"""What every place for bytes must do; the test of each kind subclasses this."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from fleetsight.store.blobs import (
    BlobError,
    Blobs,
    CorruptBlobError,
    Digest,
    MissingBlobError,
    digest_of_bytes,
)

Damage: TypeAlias = Callable[[Digest], None]
ABSENT = digest_of_bytes(b"never put")
LARGE = bytes(range(256)) * 40_960  # 10 MiB: more than one part of a bucket


class BlobsContract(ABC):
    """One subclass per kind of place: `address` of an empty one, `blobs` opens it, `damage` changes a byte behind its back."""

    @abstractmethod
    def raw(self, address: str, digest: Digest) -> bytes:
        """Read a blob without the code under test."""

    def test_lies_where_the_address_says(self, blobs: Blobs, address: str) -> None:
        assert self.raw(address, blobs.put_bytes(b"frame")) == b"frame"

    def test_bytes_come_back(self, blobs: Blobs) -> None:
        digest = blobs.put_bytes(b"frame")
        assert digest == f"sha256:{hashlib.sha256(b'frame').hexdigest()}"
        assert (blobs.get(digest), blobs.size(digest)) == (b"frame", 5)

    def test_no_bytes_are_bytes_too(self, blobs: Blobs) -> None:
        digest = blobs.put_bytes(b"")
        assert (blobs.get(digest), blobs.size(digest), list(blobs.stream(digest, 3))) == (b"", 0, [])

    @pytest.mark.parametrize("data", [b"clip", LARGE], ids=["small", "large"])
    def test_a_file_comes_back(self, blobs: Blobs, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "clip.ts").write_bytes(data)
        digest = blobs.put_file(tmp_path / "clip.ts")
        assert digest == digest_of_bytes(data)
        blobs.fetch(digest, tmp_path / "copy.ts")
        assert (tmp_path / "copy.ts").read_bytes() == data

    def test_putting_twice_is_one_blob(self, blobs: Blobs, tmp_path: Path) -> None:
        (tmp_path / "clip.ts").write_bytes(b"clip")
        assert blobs.put_bytes(b"clip") == blobs.put_file(tmp_path / "clip.ts") == blobs.put_bytes(b"clip")

    def test_many_may_put_the_same_at_once(self, blobs: Blobs) -> None:
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(blobs.put_bytes, [b"frame" * 1000] * 16)) == {digest_of_bytes(b"frame" * 1000)}
        assert blobs.get(digest_of_bytes(b"frame" * 1000)) == b"frame" * 1000

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (3, None, b"3456789"),
            (8, 50, b"89"),
            (10, 1, b""),
            (99, None, b""),
            (2, 0, b""),
        ],
    )
    def test_a_part_is_given(self, blobs: Blobs, offset: int, length: int | None, expected: bytes) -> None:
        digest = blobs.put_bytes(b"0123456789")
        assert b"".join(blobs.stream(digest, offset, length=length)) == expected

    def test_large_blobs_come_in_pieces(self, blobs: Blobs) -> None:
        digest = blobs.put_bytes(LARGE)
        pieces = list(blobs.stream(digest))
        assert b"".join(pieces) == LARGE
        assert len(pieces) > 4

    def test_what_is_not_there_is_said(self, blobs: Blobs, tmp_path: Path) -> None:
        assert blobs.size(ABSENT) is None
        for ask in (blobs.get, lambda digest: list(blobs.stream(digest)), lambda d: blobs.fetch(d, tmp_path / "copy")):
            with pytest.raises(MissingBlobError, match=ABSENT):
                ask(ABSENT)
        assert list(tmp_path.glob("*copy*")) == []

    def test_deleting_is_final_and_may_be_repeated(self, blobs: Blobs) -> None:
        digest = blobs.put_bytes(b"frame")
        blobs.delete(digest)
        blobs.delete(digest)
        assert blobs.size(digest) is None
        assert blobs.get(blobs.put_bytes(b"frame")) == b"frame"

    def test_damage_is_found_on_reading(self, blobs: Blobs, tmp_path: Path, damage: Damage) -> None:
        digest = blobs.put_bytes(b"frame" * 100)
        damage(digest)
        (tmp_path / "copy").write_bytes(b"older")
        with pytest.raises(CorruptBlobError, match=digest):
            blobs.get(digest)
        with pytest.raises(CorruptBlobError, match=digest):
            blobs.fetch(digest, tmp_path / "copy")
        assert [path.read_bytes() for path in tmp_path.glob("*copy*")] == [b"older"]

    def test_damage_is_mended_by_deleting_and_putting(self, blobs: Blobs, damage: Damage) -> None:
        digest = blobs.put_bytes(b"frame" * 100)
        damage(digest)
        blobs.delete(digest)
        assert blobs.get(blobs.put_bytes(b"frame" * 100)) == b"frame" * 100

    @pytest.mark.parametrize("size_bytes", [100, 10_000_000])
    def test_a_file_that_changes_while_it_is_read_is_refused(
        self, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int
    ) -> None:
        path = tmp_path / "clip.ts"
        path.write_bytes(b"a" * size_bytes)
        digest_file = hashlib.file_digest

        def change_after(file: Any, name: str) -> Any:
            digest = digest_file(file, name)
            path.write_bytes(b"b" * size_bytes)
            return digest

        monkeypatch.setattr(hashlib, "file_digest", change_after)
        with pytest.raises(CorruptBlobError, match="changed while it was read"):
            blobs.put_file(path)
        assert blobs.size(digest_of_bytes(b"a" * size_bytes)) is None

    @pytest.mark.parametrize(
        "text", ["", "sha256:", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256:../../etc/passwd"]
    )
    def test_names_that_are_no_digest_never_reach_the_place(self, blobs: Blobs, text: str) -> None:
        for ask in (blobs.size, blobs.get, blobs.delete):
            with pytest.raises(BlobError, match="no digest"):
                ask(Digest(text))
