"""Parts of blobs are given as asked for, and never as something a browser would run."""

import asyncio
from pathlib import Path

import pytest
from starlette.responses import Response, StreamingResponse

from fleetsight.store.blobs import Blobs, Digest
from fleetsight.web.blob_response import Span, blob_response, read_range
from fleetsight.web.problems import Problem

DATA = bytes(range(256)) * 10


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs.open(f"file://{tmp_path / 'blobs'}")


def body_of(response: Response) -> bytes:
    async def read() -> bytes:
        assert isinstance(response, StreamingResponse)
        parts = [part async for part in response.body_iterator]
        return b"".join(part if isinstance(part, bytes) else bytes(str(part), "utf-8") for part in parts)

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=10-", Span(10, 90)),
        ("bytes=-30", Span(70, 30)),
        ("bytes=-300", Span(0, 100)),
        ("bytes=90-500", Span(90, 10)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_ranges_are_read_as_the_standard_says(header: str | None, span: Span | None) -> None:
    assert read_range(header, 100) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(header: str) -> None:
    with pytest.raises(Problem) as caught:
        read_range(header, 100)
    assert caught.value.kind.status == 416
    assert caught.value.headers["Content-Range"] == "bytes */100"


def test_an_empty_blob_has_no_range() -> None:
    with pytest.raises(Problem):
        read_range("bytes=0-", 0)


def test_whole_part_and_unchanged(blobs: Blobs) -> None:
    digest = blobs.put_bytes(DATA)
    whole = blob_response(blobs, digest, name="clip.mp4", headers={})
    part = blob_response(blobs, digest, name="clip.mp4", headers={"range": "bytes=5-9"})
    same = blob_response(blobs, digest, name="clip.mp4", headers={"if-none-match": whole.headers["etag"]})
    assert (whole.status_code, part.status_code, same.status_code) == (200, 206, 304)
    assert body_of(whole) == DATA
    assert body_of(part) == DATA[5:10]
    assert part.headers["content-range"] == f"bytes 5-9/{len(DATA)}"
    assert whole.headers["content-type"] == "video/mp4"


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x", "x.js", "x.mp4.html"])
def test_what_a_browser_could_run_is_plain_bytes(blobs: Blobs, name: str) -> None:
    response = blob_response(blobs, blobs.put_bytes(b"<script>"), name=name, headers={})
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_deleted_blob_is_not_found(blobs: Blobs) -> None:
    with pytest.raises(Problem) as caught:
        blob_response(blobs, Digest("sha256:" + "0" * 64), name="x.jpg", headers={})
    assert caught.value.kind.status == 404
