"""The nouns that pass through the service: a request, and what becomes of it.

A request ends in exactly one outcome: an `Answer`, or a `Refusal` with a `Reason` out of a closed list. Both are values; nothing that
is expected to happen under load is an exception. Times are nanoseconds of this machine's monotonic clock; between machines only the
time that is left travels.
"""

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TypeAlias

MS_NS = 1_000_000
SECOND_NS = 1_000_000_000


class Priority(IntEnum):
    """Who goes first. Strict: a charge never waits behind, and never loses its place to, a pet question."""

    CHARGE = 0
    ALERT = 1
    QUESTION = 2
    BULK = 3
    MIRROR = 4  # copies made by a trial of a new variant: they take what nobody else wants


ASKED = {priority.name.lower(): priority for priority in Priority if priority is not Priority.MIRROR}
"""Classes a caller may ask for, by the word in the header."""


class Reason(Enum):
    """Why there is no answer; the word is the label of the counter, the number the HTTP status."""

    UNKNOWN_MODEL = ("unknown_model", 404)
    BAD_REQUEST = ("bad_request", 400)
    TOO_LARGE = ("too_large", 413)
    NOT_AN_IMAGE = ("not_an_image", 422)
    KEY_REUSED = ("key_reused", 422)
    SLOW_BODY = ("slow_body", 408)
    WOULD_BE_LATE = ("would_be_late", 429)
    QUEUE_FULL = ("queue_full", 429)
    DISPLACED = ("displaced", 429)
    MEMORY_FULL = ("memory_full", 503)
    NO_BACKEND = ("no_backend", 503)
    BACKEND_LOST = ("backend_lost", 502)
    ENGINE_FAILED = ("engine_failed", 502)
    BAD_RESULT = ("bad_result", 502)
    EXPIRED = ("expired", 504)
    ABANDONED = ("abandoned", 499)

    def __init__(self, word: str, status: int) -> None:
        self.word = word
        self.status = status


REASONS = {reason.word: reason for reason in Reason}

AGAIN = frozenset({Reason.BACKEND_LOST, Reason.ENGINE_FAILED, Reason.BAD_RESULT, Reason.QUEUE_FULL, Reason.NO_BACKEND})
"""What one backend may say and another may do better: these refusals are worth the one re-dispatch."""


@dataclass(slots=True, eq=False)
class Request:
    """One frame to be answered.

    Attributes:
        model: name the caller used.
        body: the JPEG as it came; kept until the outcome is known, so that a death of the backend loses nothing.
        deadline_ns: when the answer is worthless, monotonic.
        priority: its class.
        key: idempotency key of the caller, empty for none.
        camera: of the caller, for logs; empty for none.
        arrived_ns: when it was accepted, monotonic.
        number: unique in this process.
        tries: how often it was handed to a backend.
        lane: variant it waits for or runs on.
        score_min: detections below it are left out, 0-1.
    """

    model: str
    body: bytes | bytearray | memoryview
    deadline_ns: int
    priority: Priority = Priority.QUESTION
    key: str = ""
    camera: str = ""
    arrived_ns: int = 0
    number: int = 0
    tries: int = 0
    lane: str = ""
    score_min: float = 0.3

    def is_expired(self, now_ns: int) -> bool:
        """Whether nobody waits for the answer any more."""
        return now_ns >= self.deadline_ns


@dataclass(frozen=True, slots=True)
class Times:
    """Where the time of one answer went, milliseconds.

    Attributes:
        queue: from arrival at the replica to the start of its batch.
        service: of the batch, decode and engine together.
        batch: frames in the batch.
    """

    queue: float = 0.0
    service: float = 0.0
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine said about one frame.

    Attributes:
        result: a JSON value, written by the process that ran the engine.
        variant: that answered.
        backend: that answered.
        version: of the model.
        times: where the time went.
    """

    result: bytes
    variant: str = ""
    backend: str = ""
    version: str = ""
    times: Times = field(default_factory=Times)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer.

    Attributes:
        reason: one of a closed list.
        detail: what happened, with the value and what was expected.
        retry_after_ms: when it may be worth asking again; None when it never is.
    """

    reason: Reason
    detail: str = ""
    retry_after_ms: float | None = None


Outcome: TypeAlias = Answer | Refusal
