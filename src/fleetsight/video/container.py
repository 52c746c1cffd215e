"""Which container a file is, and whether its outermost structure is whole.

Only the first bytes choose the demuxer (``sniff``): a name ending proves nothing, and libav's own probing would follow a
text playlist into other files. The walk over the outermost boxes (``inspect``) reads a few bytes per box and decodes nothing.
"""

import os
import struct
from dataclasses import dataclass, replace
from enum import Enum
from typing import BinaryIO

from fleetsight.video.media_error import MediaEmptyError, MediaFormatError, MediaTruncatedError
from fleetsight.video.seal import Seal, check_seal

SNIFF_BYTES = 4096
BOXES_MAX = 100_000  # a box per 0.1 s of fragmented MP4 would be 2.8 hours
TS_PACKET_BYTES = 188  # ISO/IEC 13818-1
TS_SYNC = 0x47
EBML_MAGIC = b"\x1a\x45\xdf\xa3"  # RFC 8794
SEGMENT_MAGIC = b"\x18\x53\x80\x67"  # RFC 9559
MP4_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"pnot"})
RECORD_HINT = "record MKV, MPEG-TS or fragmented MP4: a cut there costs only the tail"


class Kind(Enum):
    """A container on the list; the value is the name of libav's demuxer."""

    MP4 = "mov"
    MATROSKA = "matroska"
    MPEGTS = "mpegts"


@dataclass(frozen=True, slots=True)
class Structure:
    """What the outermost boxes say.

    Attributes:
        kind: the container.
        size_bytes: length of the file.
        missing_bytes: how far the last box reaches past the end of the file; 0 when it fits or when its length is unknown.
        truncated: the file certainly ends too early.
        damaged: the outermost structure is broken before the end of the file.
        declares_length: the header is of a kind that knows how long the whole clip is; libav guesses for the others.
        altered: bytes differ from those that were sealed when we wrote the clip.
    """

    kind: Kind
    size_bytes: int
    missing_bytes: int = 0
    truncated: bool = False
    damaged: bool = False
    declares_length: bool = True
    altered: bool = False


SUFFIXES = {Kind.MP4: ".mp4", Kind.MATROSKA: ".mkv", Kind.MPEGTS: ".ts"}


def sniff(head: bytes) -> Kind:
    """Choose the container by magic bytes.

    Args:
        head: the first bytes of the file, up to SNIFF_BYTES.
    Returns:
        The container.
    Raises:
        MediaEmptyError: no byte at all.
        MediaFormatError: none of MP4, Matroska/WebM and MPEG-TS.
    """
    if not head:
        raise MediaEmptyError("the file is empty", hint="record or upload it again")
    if head[:4] == EBML_MAGIC:
        return Kind.MATROSKA
    if len(head) >= 8 and head[4:8] in MP4_FIRST_BOXES:
        return Kind.MP4
    if _is_mpegts(head):
        return Kind.MPEGTS
    raise MediaFormatError(
        f"not a video container that is accepted: {_describe(head)}", hint="use MP4, MKV, WebM or MPEG-TS"
    )


def inspect(file: BinaryIO) -> Structure:
    """Sniff a file and walk its outermost structure.

    Args:
        file: opened for reading, seekable.
    Returns:
        What the outermost boxes say.
    Raises:
        MediaEmptyError: no byte at all.
        MediaFormatError: a container that is not on the list.
        MediaTruncatedError: an MP4 whose index (moov) is missing or cut.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(SNIFF_BYTES)
    kind = sniff(head)
    seal = check_seal(file, SUFFIXES[kind], head=head)
    if kind is Kind.MP4:
        structure = _inspect_mp4(file, size_bytes)
    elif kind is Kind.MATROSKA:
        structure = _inspect_matroska(file, size_bytes)
    else:
        structure = Structure(kind, size_bytes, truncated=size_bytes % TS_PACKET_BYTES != 0, declares_length=False)
    return replace(structure, truncated=structure.truncated or seal is Seal.MISSING, altered=seal is Seal.BROKEN)


def _is_mpegts(head: bytes) -> bool:
    return len(head) > TS_PACKET_BYTES and all(mark == TS_SYNC for mark in head[::TS_PACKET_BYTES][:5])


def _describe(head: bytes) -> str:
    known = (
        (b"ffconcat", "a concat playlist"),
        (b"#EXTM3U", "an HLS playlist"),
        (b"v=0", "an SDP description"),
        (b"RIFF", "a RIFF file (AVI, WAV or WebP)"),
        (b"GIF8", "a GIF picture"),
        (b"\x89PNG", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"FLV\x01", "a Flash video"),
    )
    for magic, name in known:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(magic):
            return name
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "text" if printable == len(head) else f"it begins with {head[:8].hex(' ')}"


def _inspect_mp4(file: BinaryIO, size_bytes: int) -> Structure:
    place, missing_bytes, damaged = 0, 0, False
    seen: set[bytes] = set()
    for _ in range(BOXES_MAX):
        if place + 8 > size_bytes:
            missing_bytes = 8 - (size_bytes - place) if place < size_bytes else 0
            break
        length, name = _mp4_box(file, place, size_bytes)
        if length < 8:
            damaged = True
            break
        end = place + length
        seen.add(name if end <= size_bytes or name != b"moov" else b"")
        if end > size_bytes:
            missing_bytes = end - size_bytes
            damaged = not name.isalnum()  # a flipped bit in a length or name, more likely than a cut
            break
        place = end
    else:
        damaged = True
    if b"moov" not in seen and not damaged:
        what = "media data but no complete index (moov)" if b"mdat" in seen else "no complete index (moov)"
        raise MediaTruncatedError(f"the MP4 has {what}: nothing in it can be decoded", hint=RECORD_HINT)
    return Structure(
        Kind.MP4,
        size_bytes,
        missing_bytes,
        truncated=missing_bytes > 0,
        damaged=damaged,
        declares_length=b"moof" not in seen,
    )


def _mp4_box(file: BinaryIO, place: int, size_bytes: int) -> tuple[int, bytes]:
    file.seek(place)
    head = file.read(16)
    length, name = struct.unpack(">I4s", head[:8])
    if length == 1 and len(head) == 16:
        return int(struct.unpack(">Q", head[8:])[0]), name
    return (size_bytes - place if length == 0 else length), name


def _inspect_matroska(file: BinaryIO, size_bytes: int) -> Structure:
    file.seek(0)
    head = file.read(SNIFF_BYTES)
    header_bytes, used = _ebml_number(head, 4)
    segment = 4 + used + header_bytes
    if header_bytes < 0 or segment + 5 > len(head):
        return Structure(Kind.MATROSKA, size_bytes, truncated=segment + 5 > size_bytes, damaged=True)
    if head[segment : segment + 4] != SEGMENT_MAGIC:
        return Structure(Kind.MATROSKA, size_bytes, damaged=True)
    length, used = _ebml_number(head, segment + 4)
    if length < 0:  # a live recording: the length was never filled in
        return Structure(Kind.MATROSKA, size_bytes)
    missing_bytes = max(0, segment + 4 + used + length - size_bytes)
    return Structure(Kind.MATROSKA, size_bytes, missing_bytes, truncated=missing_bytes > 0)


def _ebml_number(data: bytes, place: int) -> tuple[int, int]:
    """Read an EBML variable-length size (RFC 8794, section 4): value (-1 when unknown) and bytes used."""
    if place >= len(data) or data[place] == 0:
        return -1, 1
    used = 9 - data[place].bit_length()
    raw = int.from_bytes(data[place : place + used], "big") & ((1 << (7 * used)) - 1)
    return (-1 if raw == (1 << (7 * used)) - 1 else raw), used
