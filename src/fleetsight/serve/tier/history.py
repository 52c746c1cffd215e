"""What was changed and when, the last few times: for whoever asks why the traffic went elsewhere."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

ENTRIES_MAX = 50


class History:
    """The last changes, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=ENTRIES_MAX)

    def note(self, model: str, change: str, *, asked: Mapping[str, Any]) -> None:
        """Remember a change.

        Args:
            model: whose.
            change: one word.
            asked: its values, as JSON.
        """
        at_unix_s = round(time.time(), 3)
        self._entries.append({"at_unix_s": at_unix_s, "model": model, "change": change, "asked": dict(asked)})

    def entries(self) -> list[dict[str, Any]]:
        """As JSON, oldest first."""
        return list(self._entries)
