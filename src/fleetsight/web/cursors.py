"""Where a list goes on: opaque to callers, checked when it comes back.

A cursor holds nothing but a place in an order; whose rows are listed is decided by who asks. So a forged one moves its forger
within their own list, and one that is not even a place is refused.
"""

import base64
import binascii
import re

_PLACE = re.compile(rb"(\d{1,19}):([0-9a-zA-Z_-]{1,64})", re.ASCII)


def write_cursor(at_ns: int, row_id: str) -> str:
    """Name a place in a list.

    Args:
        at_ns: time of the last row that was given.
        row_id: its id.
    Returns:
        text that fits into a URL.
    """
    return base64.urlsafe_b64encode(f"{at_ns}:{row_id}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[int, str] | None:
    """Read what `write_cursor` wrote.

    Args:
        text: anything.
    Returns:
        time and id; None when the text is no cursor.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    match = _PLACE.fullmatch(raw)
    return None if match is None else (int(match[1]), match[2].decode())
