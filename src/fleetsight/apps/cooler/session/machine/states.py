"""The states of a session and of its three parts, and the paths between them.

Source of the states: the state table of the reliability reference, section 4. `GRAPH` is what tests, the shell and the database hold
every step against.
"""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a session stands as a whole."""

    CREATED = "created"
    AUTHORIZING = "authorizing"
    DENIED = "denied"
    AUTHORIZED = "authorized"
    UNLOCKING = "unlocking"
    OPEN = "open"
    CLOSED = "closed"
    WAITING_EVIDENCE = "waiting_evidence"
    ANALYZING = "analyzing"
    REVIEW = "review"
    DECIDED = "decided"
    SETTLING = "settling"
    SETTLED = "settled"
    RELEASED = "released"
    OWED = "owed"
    WRITTEN_OFF = "written_off"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    ABORTED = "aborted"


GRAPH: Mapping[State, frozenset[State]] = {
    State.CREATED: frozenset({State.AUTHORIZING, State.ABORTED}),
    State.AUTHORIZING: frozenset({State.AUTHORIZED, State.DENIED}),
    State.DENIED: frozenset(),
    State.AUTHORIZED: frozenset({State.UNLOCKING, State.ABORTED}),
    State.UNLOCKING: frozenset({State.OPEN, State.ABORTED}),
    State.OPEN: frozenset({State.CLOSED, State.REVIEW, State.ABORTED}),
    State.CLOSED: frozenset({State.WAITING_EVIDENCE, State.ANALYZING, State.REVIEW}),
    State.WAITING_EVIDENCE: frozenset({State.ANALYZING, State.REVIEW}),
    State.ANALYZING: frozenset({State.DECIDED, State.REVIEW}),
    State.REVIEW: frozenset({State.DECIDED}),
    State.DECIDED: frozenset({State.SETTLING}),
    State.SETTLING: frozenset({State.SETTLED, State.RELEASED, State.OWED, State.REFUNDING}),
    State.SETTLED: frozenset({State.SETTLING, State.REFUNDING, State.DISPUTED}),
    State.RELEASED: frozenset({State.SETTLING}),
    State.OWED: frozenset({State.SETTLED, State.RELEASED, State.REFUNDING, State.REFUNDED, State.WRITTEN_OFF}),
    State.WRITTEN_OFF: frozenset(),
    State.REFUNDING: frozenset({State.SETTLED, State.REFUNDED, State.OWED, State.DISPUTED}),
    State.REFUNDED: frozenset({State.SETTLING, State.DISPUTED}),
    State.DISPUTED: frozenset({State.SETTLED, State.REFUNDED}),
    State.ABORTED: frozenset({State.REVIEW}),
}
"""Which states may follow which; a step to the same state is always allowed."""

ENDED = frozenset(
    {
        State.DENIED,
        State.ABORTED,
        State.SETTLED,
        State.RELEASED,
        State.WRITTEN_OFF,
        State.REFUNDED,
        State.DISPUTED,
    }
)
"""Nothing more happens by itself, apart from what a payment call that is under way still brings."""

BEFORE_CLOSE = frozenset({State.CREATED, State.AUTHORIZING, State.AUTHORIZED, State.UNLOCKING, State.OPEN})
"""The session has the device for itself."""

UNDECIDED = frozenset({State.OPEN, State.CLOSED, State.WAITING_EVIDENCE, State.ANALYZING, State.REVIEW})
"""The door was released and nothing is decided yet: device events and evidence still count."""

AFTER_MONEY = frozenset({State.SETTLED, State.RELEASED, State.OWED, State.REFUNDED})
"""A decision was carried out; an operator may replace it by a new version."""

LOOKED_AT = frozenset({State.ANALYZING, State.REVIEW, *AFTER_MONEY})
"""A result of the analysis is of use: it decides, proposes, or explains afterwards."""


class DoorState(StrEnum):
    """What is known about the door."""

    LOCKED = "locked"
    UNLOCK_SENT = "unlock_sent"
    UNLOCKED = "unlocked"
    OPEN = "open"
    CLOSED_LOCKED = "closed_locked"
    NEVER_OPENED = "never_opened"
    HELD_OPEN = "held_open"
    FORCED = "forced"
    UNKNOWN = "unknown"


class EvidenceState(StrEnum):
    """How much of the video is here."""

    NONE = "none"
    PARTIAL = "partial"
    COMPLETE = "complete"
    VERIFIED = "verified"
    UNUSABLE = "unusable"
    EXPIRED_DELETED = "expired_deleted"


class PaymentState(StrEnum):
    """Where the money is. `*_PENDING` means that a call may have happened; only what the provider says leads out."""

    NONE = "none"
    AUTH_PENDING = "auth_pending"
    AUTH_DECLINED = "auth_declined"
    AUTHORIZED = "authorized"
    CAPTURE_PENDING = "capture_pending"
    CAPTURED = "captured"
    VOID_PENDING = "void_pending"
    VOIDED = "voided"
    EXPIRED = "expired"
    CAPTURE_FAILED = "capture_failed"
    OWED = "owed"
    PAID_LATER = "paid_later"
    WRITTEN_OFF = "written_off"
    REFUND_PENDING = "refund_pending"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    WON = "won"
    LOST = "lost"


class Flag(StrEnum):
    """What speaks against deciding without a person, or what an operator should know."""

    HELD_OPEN = "held_open"
    FORCED = "forced"
    REOPENED = "reopened"
    SENSORS_DISAGREE = "sensors_disagree"
    REBOOTED = "rebooted"
    CAMERA_DEAD = "camera_dead"
    TAMPER = "tamper"
    SALVAGED = "salvaged"
    LATE_EVIDENCE = "late_evidence"
    STOCK_TAKE = "stock_take"


UNTRUSTED = frozenset(
    {Flag.HELD_OPEN, Flag.FORCED, Flag.REOPENED, Flag.SENSORS_DISAGREE, Flag.REBOOTED, Flag.CAMERA_DEAD, Flag.TAMPER}
)
"""With one of these nothing is charged without a person."""


class ReviewReason(StrEnum):
    """Why a person has to look."""

    DOUBT = "doubt"
    OVER_CAP = "over_cap"
    NO_PRICE = "no_price"
    NO_EVIDENCE = "no_evidence"
    UNUSABLE = "unusable"
    PIPELINE = "pipeline"
    HELD_OPEN = "held_open"
    SENSORS = "sensors"
    TAMPER = "tamper"
    LATE = "late"


class Action(StrEnum):
    """What a decision says. `WAIVE`: things were taken, and nothing is asked for them."""

    CHARGE = "charge"
    RELEASE = "release"
    WAIVE = "waive"


class Verdict(StrEnum):
    """What the analysis proposes."""

    CHARGE = "charge"
    REVIEW = "review"
    RELEASE = "release"


class Operation(StrEnum):
    """A kind of payment call. `EXTRA` buys what exceeds the hold, `COLLECT` what is owed; both without a hold of their own."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    EXTRA = "extra"
    COLLECT = "collect"
    REFUND = "refund"


class Answer(StrEnum):
    """What became of a payment call.

    `EXPIRED`: a capture came too late. `MISMATCH`: the provider shows something else than we asked for; nobody tries again.
    `UNKNOWN`: it may have happened.
    """

    AUTHORIZED = "authorized"
    DECLINED = "declined"
    CAPTURED = "captured"
    VOIDED = "voided"
    REFUNDED = "refunded"
    REFUSED = "refused"
    EXPIRED = "expired"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"
