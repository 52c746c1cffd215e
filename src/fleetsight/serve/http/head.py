"""What the head of a request asks for: deadline, class, key. Wrong values are refused, never guessed."""

import math
import time
from dataclasses import dataclass

from fleetsight.serve.http.exchange import Exchange
from fleetsight.serve.queueing.request import ASKED, MS_NS, Priority, Reason, Refusal

DEADLINE_MS = 1000.0
"""When none is given: above any frame's time, below any person's patience."""
DEADLINE_MS_MAX = 60_000.0
KEY_CHARS_MAX = 128
CAMERA_CHARS_MAX = 128
SCORE_MIN = 0.3


@dataclass(frozen=True, slots=True)
class Head:
    """What a caller wants.

    Attributes:
        deadline_ns: monotonic.
        priority: its class.
        key: idempotency key, empty for none.
        camera: empty for none.
        score_min: detections below it are left out, 0-1.
    """

    deadline_ns: int
    priority: Priority
    key: str
    camera: str
    score_min: float


def read_head(exchange: Exchange) -> Head | Refusal:
    """Read the head of a request for a frame.

    Args:
        exchange: the request.
    Returns:
        what it asks for, or what is wrong with it.
    """
    deadline_ms = _number(exchange.header(b"x-deadline-ms"), DEADLINE_MS)
    if not 0 < deadline_ms <= DEADLINE_MS_MAX:
        said = exchange.header(b"x-deadline-ms")[:40]
        return Refusal(Reason.BAD_REQUEST, f"X-Deadline-Ms is {said!r}, expected above 0 to {DEADLINE_MS_MAX:g}")
    word = exchange.header(b"x-priority").strip().lower() or "question"
    priority = ASKED.get(word)
    if priority is None:
        return Refusal(Reason.BAD_REQUEST, f"X-Priority is {word[:40]!r}, expected one of {', '.join(ASKED)}")
    score_min = _number(exchange.header(b"x-score-min"), SCORE_MIN)
    if not 0 <= score_min <= 1:
        return Refusal(Reason.BAD_REQUEST, "X-Score-Min must lie between 0 and 1")
    key, camera = exchange.header(b"idempotency-key"), exchange.header(b"x-camera")
    if len(key) > KEY_CHARS_MAX or len(camera) > CAMERA_CHARS_MAX:
        return Refusal(Reason.BAD_REQUEST, f"Idempotency-Key and X-Camera have at most {KEY_CHARS_MAX} characters")
    return Head(time.monotonic_ns() + int(deadline_ms * MS_NS), priority, key, camera, score_min)


def _number(text: str, default: float) -> float:
    """A number, the default for nothing, NaN for nonsense, which fits no range."""
    try:
        return float(text) if text else default
    except ValueError:
        return math.nan
