"""Names for new things: UUIDs of version 7 (RFC 9562), which sort by the time at which they were made.

Sorting by time keeps the newest rows of an index together, so that inserts touch few pages.
"""

import uuid6


def new_id() -> str:
    """Make an id that no one else has.

    Returns:
        36 characters, lower case, for example ``019a7c1e-0b7e-7c3a-9f54-3d2f6a1b0c9d``. Ids of one thread rise:
        each is at least a millisecond after the one before, so that its time may run ahead when many are made at once.
    """
    return str(uuid6.uuid7())
