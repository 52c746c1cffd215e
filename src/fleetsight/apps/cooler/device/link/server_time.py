"""The server's clock, as far as the device knows it.

A cooler's clock may be days off. Tokens that the server checks and commands that expire are told by the server's time: the device's clock plus
an offset that every answer to a heartbeat corrects. Events carry the device's own time; the server knows the offset as well.
"""

import threading
from email.utils import parsedate_to_datetime

from fleetsight.clock import SECOND_NS, Clock

COARSE_NS = 5 * SECOND_NS
"""A `Date` header counts whole seconds and is believed only where it contradicts by more than this."""


class ServerTime:
    """The server's clock; safe to use from several threads.

    Args:
        clock: the device's own.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._offset_ns: int | None = None

    @property
    def known(self) -> bool:
        """Whether the server has told its time since the device started."""
        return self._offset_ns is not None

    def now_ns(self) -> int:
        """The time by the server's clock; by the device's own while nothing better is known."""
        return self.clock.now_ns() + (self._offset_ns or 0)

    def learn(self, server_ns: int, *, sent_ns: int, received_ns: int) -> None:
        """Correct the offset by an answer.

        Args:
            server_ns: the server's clock while it answered.
            sent_ns: the device's clock before the request.
            received_ns: the device's clock after it; the middle of both is taken, so the error is half the round trip at most.
        """
        with self._lock:
            self._offset_ns = server_ns - (sent_ns + received_ns) // 2

    def learn_date(self, header: str | None) -> bool:
        """Correct the offset by the `Date` header of an answer (RFC 9110, 6.6.1): the only clock an unknown sender is told.

        Args:
            header: its value.
        Returns:
            whether that changed the offset.
        """
        try:
            server_ns = round(parsedate_to_datetime(header or "").timestamp()) * SECOND_NS
        except ValueError:
            return False
        if abs(server_ns - self.now_ns()) <= COARSE_NS:
            return False
        with self._lock:
            self._offset_ns = server_ns + SECOND_NS // 2 - self.clock.now_ns()
        return True
