"""Bytes of a blob as an answer, whole or in part (RFC 9110, section 14: one range of bytes)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from starlette.responses import Response, StreamingResponse

from fleetsight.store.blobs import Blobs, Digest
from fleetsight.web.problems import NOT_FOUND, Kind, Problem

MEDIA = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".ts": "video/mp2t",
    ".json": "application/json",
}
"""Whatever else lies in the blobs is given as plain bytes, which no browser shows."""
BYTES = "application/octet-stream"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_HEADERS = {
    "Accept-Ranges": "bytes",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=3600, immutable",
}


@dataclass(frozen=True)
class Span:
    """A part of a blob.

    Attributes:
        offset: first byte.
        length: bytes, > 0.
    """

    offset: int
    length: int


def blob_response(blobs: Blobs, digest: Digest, *, name: str, headers: Mapping[str, str]) -> Response:
    """Answer with a blob.

    Args:
        blobs: where it is.
        digest: which one.
        name: of the file it stands for; its suffix tells the media type.
        headers: of the request.
    Returns:
        200 with all of it, 206 with the range that was asked for, or 304 when the caller has it.
    Raises:
        Problem: 404 when it is not there any more, 416 when the range lies beyond its end.
    """
    size_bytes = blobs.size(digest)
    if size_bytes is None:
        raise Problem(NOT_FOUND)
    etag = f'"{digest.removeprefix("sha256:")}"'
    answer = _HEADERS | {"ETag": etag}
    if etag in headers.get("if-none-match", ""):
        return Response(status_code=304, headers=answer)
    span = read_range(headers.get("range"), size_bytes)
    answer["Content-Length"] = str(span.length if span is not None else size_bytes)
    if span is not None:
        answer["Content-Range"] = f"bytes {span.offset}-{span.offset + span.length - 1}/{size_bytes}"
    offset, length = (span.offset, span.length) if span is not None else (0, None)
    media = MEDIA.get(PurePosixPath(name).suffix.lower(), BYTES)
    stream = blobs.stream(digest, offset, length=length)
    return StreamingResponse(stream, 200 if span is None else 206, headers=answer, media_type=media)


def read_range(header: str | None, size_bytes: int) -> Span | None:
    """Read what part of some bytes is asked for.

    Args:
        header: the Range header; None without one.
        size_bytes: how many bytes there are.
    Returns:
        the part; None when all is asked for, or the header is one that a server may pass over: several ranges, other units.
    Raises:
        Problem: the range begins beyond the end.
    """
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size_bytes)
        first, last = size_bytes - length, size_bytes - 1
    else:
        first = int(match[1])
        last = min(int(match[2]), size_bytes - 1) if match[2] else size_bytes - 1
        if match[2] and int(match[2]) < first:
            return None
    if first > last:
        beyond = Kind(416, "range_beyond_end", f"there are {size_bytes} bytes", "ask for a range within them")
        raise Problem(beyond, headers={"Content-Range": f"bytes */{size_bytes}"})
    return Span(first, last - first + 1)
