"""What the decoder process and its parent say to each other.

Child to parent: a stream of messages, each a fixed header and sometimes a JSON payload. Pictures do not travel here: a FRAME
message names the slot of the shared ring that holds one. Parent to child: first RING (number of slots), then one byte per slot
that may be filled again. The parent trusts neither length nor value: the child may have been taken over by the file it reads.
"""

import json
import struct
from enum import IntEnum
from typing import Any

HEADER = struct.Struct("<BBHIq")  # kind, flags, slot, payload bytes, stamp
RING = struct.Struct("<Q")  # slots
PAYLOAD_MAX_BYTES = 65_536
HAS_STAMP = 1  # flag: the stamp field is valid
CORRUPT = 2  # flag: the decoder calls the picture damaged


class Kind(IntEnum):
    """What a message carries."""

    INFO = 1  # JSON: the stream; sent once, before the first FRAME
    FRAME = 2  # slot and stamp
    END = 3  # JSON: counters; the last message
    FAIL = 4  # JSON: why nothing was decoded; the last message


def pack(kind: Kind, payload: dict[str, Any]) -> bytes:
    """Make an INFO, END or FAIL message."""
    body = json.dumps(payload).encode()
    return HEADER.pack(kind, 0, 0, len(body), 0) + body


def pack_frame(slot: int, stamp: int | None, *, corrupt: bool) -> bytes:
    """Make a FRAME message."""
    flags = (HAS_STAMP if stamp is not None else 0) | (CORRUPT if corrupt else 0)
    return HEADER.pack(Kind.FRAME, flags, slot, 0, stamp or 0)
