"""What can happen to a session: facts from devices, providers, people, the analysis and the clock.

Times in an event are the device's own and serve the record only; every deadline runs on the server's clock.
"""

from dataclasses import dataclass

from fleetsight.apps.cooler.session.machine.session import Basket, Segment
from fleetsight.apps.cooler.session.machine.states import Action, Answer, Verdict


@dataclass(frozen=True, slots=True)
class AuthorizationRequested:
    """The hold is asked for."""


@dataclass(frozen=True, slots=True)
class PaymentAnswered:
    """The provider said, or was read to have said, what became of a call.

    Attributes:
        key: of the call.
        answer: what it brought.
        amount_minor: as the provider has it.
        ref: the provider's name for the hold or charge.
        capture_before_ns: of an authorisation; None when it never ends.
        reason: the provider's word.
    """

    key: str
    answer: Answer
    amount_minor: int = 0
    ref: str = ""
    capture_before_ns: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UnlockIssued:
    """The signed command lies ready for the device.

    Attributes:
        seq: of the device's commands.
        expires_ns: the device refuses it from then on.
    """

    seq: int
    expires_ns: int


@dataclass(frozen=True, slots=True)
class UnlockAcknowledged:
    """The device acted on the command.

    Attributes:
        boot_id: run of the device.
        unlocked: False: it refused.
        at_ns: device time.
        reason: why it refused.
    """

    boot_id: str
    unlocked: bool
    at_ns: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DoorOpened:
    """The leaf left the frame."""

    boot_id: str
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class DoorClosed:
    """The leaf is back; the lock has not caught yet."""

    boot_id: str
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class DoorLocked:
    """The lock caught."""

    boot_id: str
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class DoorForced:
    """The door opened while locked."""

    boot_id: str
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class CameraChanged:
    """A camera fell silent or came back."""

    boot_id: str
    alive: bool
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class IntrusionSeen:
    """The door of this device opened for no session while this one had it."""

    boot_id: str
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class ManifestReceived:
    """The device lists what it recorded.

    Attributes:
        digest: of the list.
        segments: of all cameras; `stored` is ignored.
    """

    digest: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class SegmentStored:
    """The bytes of a segment are durable and have the digest."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class SegmentConflicted:
    """Other bytes came under the name of a known segment; they were put aside."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class AnalysisStarted:
    """A worker begins a run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Analysed:
    """The analysis is done.

    Attributes:
        run_id: of the run; another than the current one is refused.
        verdict: charge, review or release.
        basket: all it saw.
        total_minor: priced at the frozen list; None when a SKU has no price.
        sure_basket: the lines over the threshold.
        sure_total_minor: their price.
        confidence: that the basket is exact, 0 to 1.
        reason: in words.
        usable_share: of the video that could be decoded, 0 to 1.
    """

    run_id: str
    verdict: Verdict
    basket: Basket
    total_minor: int | None
    sure_basket: Basket
    sure_total_minor: int
    confidence: float
    reason: str
    usable_share: float = 1.0


@dataclass(frozen=True, slots=True)
class AnalysisFailed:
    """A run brought nothing.

    Attributes:
        run_id: of the run.
        unusable: the video itself is at fault, so another run would not help.
        reason: in words.
    """

    run_id: str
    unusable: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ReviewDecided:
    """A person decided a session in review.

    Attributes:
        operator_id: who.
        action: charge, release, or waive.
        basket: what was taken; empty for a release.
        total_minor: its price.
        reason: code of the reason.
    """

    operator_id: str
    action: Action
    basket: Basket
    total_minor: int
    reason: str


@dataclass(frozen=True, slots=True)
class SettlementStarted:
    """Carry the decision out."""

    version: int


@dataclass(frozen=True, slots=True)
class DecisionRevised:
    """A person replaces a decision that was carried out.

    Attributes:
        operator_id: who.
        version: the new one, one above the present.
        action: charge, release, or waive.
        basket: what was taken.
        total_minor: its price.
        reason: code of the reason.
    """

    operator_id: str
    version: int
    action: Action
    basket: Basket
    total_minor: int
    reason: str


@dataclass(frozen=True, slots=True)
class RefundRequested:
    """A person gives money back without another decision.

    Attributes:
        refund_id: unique in the session.
        operator_id: who.
        amount_minor: > 0.
        reason: code of the reason.
    """

    refund_id: str
    operator_id: str
    amount_minor: int
    reason: str


@dataclass(frozen=True, slots=True)
class CollectionRequested:
    """Try now to collect what is owed; the shopper topped up."""


@dataclass(frozen=True, slots=True)
class DisputeOpened:
    """The shopper's bank disputes the charge."""

    dispute_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class DisputeClosed:
    """The bank decided."""

    dispute_id: str
    won: bool


@dataclass(frozen=True, slots=True)
class ContestOpened:
    """The shopper says that the receipt is wrong."""

    contest_id: str
    skus: tuple[str, ...]
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class ContestClosed:
    """A person answered the objection; the decision stands."""

    operator_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The clock; safe to send at any time and any number of times.

    Attributes:
        online: the device was heard of lately.
    """

    online: bool = False


Event = (
    AuthorizationRequested
    | PaymentAnswered
    | UnlockIssued
    | UnlockAcknowledged
    | DoorOpened
    | DoorClosed
    | DoorLocked
    | DoorForced
    | CameraChanged
    | IntrusionSeen
    | ManifestReceived
    | SegmentStored
    | SegmentConflicted
    | AnalysisStarted
    | Analysed
    | AnalysisFailed
    | ReviewDecided
    | SettlementStarted
    | DecisionRevised
    | RefundRequested
    | CollectionRequested
    | DisputeOpened
    | DisputeClosed
    | ContestOpened
    | ContestClosed
    | DeadlinePassed
)
