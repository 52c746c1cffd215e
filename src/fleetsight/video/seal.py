"""A seal at the end of the clips we write: whether every byte is still there and as it was.

No video coding can tell: H.264 shows most flipped bits as a slightly wrong picture, and an MPEG-TS or fragmented MP4 that was cut
between two pieces looks whole. So a clip announces its seal in its first bytes and ends with a SHA-256 of all bytes before it,
wrapped as what players skip: a ``free`` box (MP4), a Void element (Matroska), a null packet (MPEG-TS).
"""

import hashlib
import os
from enum import Enum
from typing import BinaryIO

ANNOUNCEMENT = "fleetsight sealed"  # stands in the metadata; only the first SNIFF_BYTES are searched for it
MAGIC = b"fleetsight seal sha256 "
DIGEST_BYTES = 32
CHUNK_BYTES = 1 << 20


class Seal(Enum):
    """What the seal says."""

    NONE = "none"  # not a clip of ours
    WHOLE = "whole"
    BROKEN = "broken"  # bytes differ
    MISSING = "missing"  # announced, but the end is gone


def make_seal(file: BinaryIO, suffix: str) -> bytes:
    """Build the seal to append to a finished clip.

    Args:
        file: the clip, readable from its start.
        suffix: ".mp4", ".mkv" or ".ts".
    Returns:
        The bytes to append.
    """
    file.seek(0)
    return _wrap(_digest(file, file.seek(0, os.SEEK_END)), suffix)


def check_seal(file: BinaryIO, suffix: str, *, head: bytes) -> Seal:
    """Compare a clip with its seal.

    Args:
        file: the clip, seekable.
        suffix: ".mp4", ".mkv" or ".ts", by content.
        head: its first bytes.
    Returns:
        The finding.
    """
    length = len(_wrap(bytes(DIGEST_BYTES), suffix))
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, size_bytes - length))
    tail = file.read(length)
    if MAGIC not in tail:
        return Seal.MISSING if ANNOUNCEMENT.encode() in head else Seal.NONE
    return Seal.WHOLE if tail == _wrap(_digest(file, size_bytes - length), suffix) else Seal.BROKEN


def _wrap(digest: bytes, suffix: str) -> bytes:
    content = MAGIC + digest
    if suffix == ".mp4":
        return (len(content) + 8).to_bytes(4, "big") + b"free" + content  # ISO/IEC 14496-12, 8.1.2
    if suffix == ".mkv":
        return b"\xec" + bytes((0x80 | len(content),)) + content  # RFC 8794, 11.3.2
    return (b"\x47\x1f\xff\x10" + content).ljust(188, b"\xff")  # ISO/IEC 13818-1, 2.4.3.2, PID 0x1FFF


def _digest(file: BinaryIO, size_bytes: int) -> bytes:
    file.seek(0)
    digest = hashlib.sha256()
    while size_bytes > 0:
        chunk = file.read(min(CHUNK_BYTES, size_bytes))
        if not chunk:
            break
        digest.update(chunk)
        size_bytes -= len(chunk)
    return digest.digest()
