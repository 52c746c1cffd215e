"""What time it is: UTC nanoseconds as a whole number, from a clock that is passed in.

Only `SystemClock` asks the machine. Tests and simulations pass a `VirtualClock` and move it by hand.
"""

import threading
import time
from typing import Protocol

SECOND_NS = 1_000_000_000


class Clock(Protocol):
    """Something that knows the time."""

    def now_ns(self) -> int:
        """The time.

        Returns:
            nanoseconds since 1970-01-01 00:00 UTC.
        """
        ...


class SystemClock:
    """The time of this machine; it may step backwards when the machine's clock is set."""

    def now_ns(self) -> int:
        return time.time_ns()


class VirtualClock:
    """A clock that stands still until it is moved; safe to read and move from several threads.

    Args:
        now_ns: where it stands first, nanoseconds since 1970 UTC.
    """

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()

    def now_ns(self) -> int:
        with self._lock:
            return self._now_ns

    def advance(self, by_ns: int) -> None:
        """Move the clock.

        Args:
            by_ns: nanoseconds; negative moves it backwards, as a machine's clock may do.
        """
        with self._lock:
            self._now_ns += by_ns
