"""Whether a backend may be asked: closed while it answers, open after it failed, half open for one probe at a time."""

from collections import deque
from enum import Enum

from fleetsight.serve.queueing.request import SECOND_NS

WINDOW = 20
"""Outcomes that are looked at; at 20 frames a second, the last second."""
FAILURES_MIN = 3
"""Fewer failures are bad luck."""
RATIO_MAX = 0.5
"""A backend that fails more often than it answers takes work from those that answer."""
REST_FIRST_NS = SECOND_NS
REST_MAX_NS = 30 * SECOND_NS


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Keeps the recent past of one backend."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._rest_ns = REST_FIRST_NS
        self._open_until_ns: int | None = None
        self._probing = False

    def state(self, now_ns: int) -> State:
        """Where it stands."""
        if self._open_until_ns is None:
            return State.CLOSED
        return State.OPEN if now_ns < self._open_until_ns else State.HALF_OPEN

    def may_try(self, now_ns: int) -> bool:
        """Whether a request may go there now."""
        state = self.state(now_ns)
        return state is State.CLOSED or (state is State.HALF_OPEN and not self._probing)

    def trying(self, now_ns: int) -> None:
        """Note that a request goes there."""
        if self.state(now_ns) is State.HALF_OPEN:
            self._probing = True

    def answered(self) -> None:
        """Note an answer; after a probe the backend is as good as new."""
        self._recent.append(True)
        if self._probing:
            self._close()

    def untold(self) -> None:
        """Note that a try ended without saying anything about the backend: the caller left, or the frame was at fault."""
        self._probing = False

    def failed(self, now_ns: int) -> None:
        """Note a failure."""
        self._recent.append(False)
        failures = self._recent.count(False)
        if self._probing or (failures >= FAILURES_MIN and failures > RATIO_MAX * len(self._recent)):
            self._open(now_ns)

    def revived(self) -> None:
        """Note that the backend was started anew and is warm."""
        self._close()

    def _open(self, now_ns: int) -> None:
        self._probing = False
        self._recent.clear()
        self._open_until_ns = now_ns + self._rest_ns
        self._rest_ns = min(2 * self._rest_ns, REST_MAX_NS)

    def _close(self) -> None:
        self._probing = False
        self._recent.clear()
        self._open_until_ns = None
        self._rest_ns = REST_FIRST_NS
