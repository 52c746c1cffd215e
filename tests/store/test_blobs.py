"""Blobs in a folder and in a bucket."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import obstore
import pytest
from obstore.store import S3Store

from fleetsight.store.blobs import BlobError, Blobs, BlobStorageError, Digest, digest_of_bytes, parse_digest
from tests.contracts.blobs_contract import BlobsContract, Damage

if TYPE_CHECKING:
    from obstore.store import S3Config

FRAME = digest_of_bytes(b"frame")


def name(digest: Digest) -> str:
    return f"sha256/{digest[7:9]}/{digest[9:]}"


def path(address: str, digest: Digest) -> Path:
    return Path(unquote(address.removeprefix("file://"))) / name(digest)


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


class TestFolder(BlobsContract):
    @pytest.fixture
    def address(self, tmp_path: Path) -> str:
        return (tmp_path / "our blobs").as_uri()

    @pytest.fixture
    def blobs(self, address: str) -> Blobs:
        return Blobs.open(address)

    @pytest.fixture
    def damage(self, address: str) -> Damage:
        def change(digest: Digest) -> None:
            path(address, digest).write_bytes(damaged(self.raw(address, digest)))

        return change

    def raw(self, address: str, digest: Digest) -> bytes:
        return path(address, digest).read_bytes()

    def test_opening_again_finds_what_was_put(self, blobs: Blobs, address: str) -> None:
        blobs.put_bytes(b"frame")
        assert Blobs.open(address).get(FRAME) == b"frame"


class TestBucket(BlobsContract):
    @pytest.fixture
    def address(self, s3_url: str) -> str:
        return s3_url

    @pytest.fixture(autouse=True)
    def connect(self, s3_url: str, s3_options: Mapping[str, str]) -> None:
        config = cast("S3Config", dict(s3_options))
        self.store = S3Store.from_url(s3_url, config=config, client_options={"allow_http": True})

    @pytest.fixture
    def blobs(self, address: str, s3_options: Mapping[str, str]) -> Blobs:
        return Blobs.open(address, options=s3_options)

    @pytest.fixture
    def damage(self, address: str) -> Damage:
        def change(digest: Digest) -> None:
            obstore.put(self.store, name(digest), damaged(self.raw(address, digest)))

        return change

    def raw(self, address: str, digest: Digest) -> bytes:
        return bytes(obstore.get(self.store, name(digest)).bytes())

    def test_a_bucket_that_does_not_exist_is_said(self, s3_options: Mapping[str, str]) -> None:
        with pytest.raises(BlobStorageError, match="no place to write to"):
            Blobs.open("s3://no-such-bucket/x", options=s3_options).put_bytes(b"frame")

    def test_a_service_that_is_not_there_is_said(
        self, s3_options: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fleetsight.store.places.RETRIES", 0)
        blobs = Blobs.open("s3://bucket/x", options={**s3_options, "endpoint": "http://127.0.0.1:1"})
        with pytest.raises(BlobStorageError) as caught:
            blobs.put_bytes(b"frame")
        assert "\n" not in str(caught.value)


def test_options_that_nobody_knows_are_refused() -> None:
    with pytest.raises(BlobError, match="nonsense"):
        Blobs.open("s3://bucket/x", options={"nonsense": "1"})


@pytest.mark.parametrize(
    "url", ["", "folder", "/folder", "file:relative", "file://host/folder", "s3://", "gs://bucket", "http://x/y"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(BlobError, match="no place for bytes"):
        Blobs.open(url)


def test_a_digest_from_outside_is_read() -> None:
    assert parse_digest(str(FRAME)) == FRAME


@pytest.mark.parametrize(
    "text", ["", "sha256", FRAME[:-1], FRAME.upper(), FRAME + "0", FRAME + "\n", FRAME.replace("sha256", "md5")]
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(BlobError, match="no digest"):
        parse_digest(text)
