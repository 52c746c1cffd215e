"""A session as one immutable value, with its three parts and what was proposed and decided."""

from dataclasses import dataclass, field

from fleetsight.apps.cooler.session.machine.states import (
    BEFORE_CLOSE,
    Action,
    DoorState,
    EvidenceState,
    Flag,
    Operation,
    PaymentState,
    ReviewReason,
    State,
    Verdict,
)

Basket = tuple[tuple[str, int], ...]
"""Pairs of SKU and units >= 1, sorted by SKU."""


@dataclass(frozen=True, slots=True)
class Door:
    """What is known about the door.

    Attributes:
        state: as the device said last.
        boot_id: the run of the device that acknowledged or opened; empty before.
        opened_ns: server time of the first opening.
        closed_ns: server time of the lock after it.
        ajar: the leaf is away from the frame, as the sensor said last.
    """

    state: DoorState = DoorState.LOCKED
    boot_id: str = ""
    opened_ns: int | None = None
    closed_ns: int | None = None
    ajar: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A piece of one camera's video.

    Attributes:
        camera: its name.
        index: position, from 0.
        sha256: of its bytes, 64 hexadecimal digits.
        length: bytes.
        pts_start_ns: presentation time of the first picture, on the device's clock within the boot.
        pts_end_ns: of the end of the last picture.
        stored: its bytes are here and have this digest.
        declared: the manifest lists it.
    """

    camera: str
    index: int
    sha256: str
    length: int
    pts_start_ns: int = 0
    pts_end_ns: int = 0
    stored: bool = False
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """The video of a session.

    Attributes:
        state: how much is here.
        manifest: digest of the device's list; empty before it came.
        segments: sorted by camera and index.
        progress_ns: server time of the last new piece.
        offline_ns: when the device was last found to be offline while its video was awaited.
        deleted_ns: when the raw video was given up.
    """

    state: EvidenceState = EvidenceState.NONE
    manifest: str = ""
    segments: tuple[Segment, ...] = ()
    progress_ns: int | None = None
    offline_ns: int | None = None
    deleted_ns: int | None = None

    @property
    def missing(self) -> tuple[Segment, ...]:
        """Listed by the device and not here."""
        return tuple(segment for segment in self.segments if segment.declared and not segment.stored)

    @property
    def complete(self) -> bool:
        """Everything that the device listed is here, and it listed something."""
        return bool(self.manifest) and any(s.declared for s in self.segments) and not self.missing


@dataclass(frozen=True, slots=True)
class Pending:
    """A payment call that may have happened.

    Attributes:
        key: its idempotency key.
        kind: of call.
        amount_minor: asked for; 0 for a void.
        since_ns: when it was planned.
        queries: how often the provider was asked what became of it.
        due_ns: when to ask next; None while frozen.
        refund_id: for a refund: which one.
        of: key of the charge that a refund is about.
        parts: calls of this refund so far.
        rest_minor: for a refund: what other charges still have to give back.
        reason: of a refund.
    """

    key: str
    kind: Operation
    amount_minor: int
    since_ns: int
    queries: int = 0
    due_ns: int | None = None
    refund_id: str = ""
    of: str = ""
    parts: int = 0
    rest_minor: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """Money that was taken.

    Attributes:
        key: of the call that took it.
        ref: the provider's name for it.
        amount_minor: > 0.
        refunded_minor: given back of it.
        at_ns: when.
    """

    key: str
    ref: str
    amount_minor: int
    at_ns: int
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class Payment:
    """The money of a session; amounts in minor units of the session's currency.

    Attributes:
        state: where it is.
        ref: the provider's name for the hold; empty when unknown.
        auth_key: of the authorisation; empty before one was planned.
        attempt: authorisations so far.
        voids: voids so far.
        retries: attempts to collect what is owed.
        scheduled: of these, the ones that the timetable made.
        held_minor: the hold, while it stands.
        authorized_minor: the hold as it was granted; stays.
        capture_before_ns: when the provider lets it go; None when it never does.
        charges: in order: capture, extra, paid later.
        waived_minor: decided and deliberately not collected.
        owed_minor: decided and not collected yet.
        debt_key: under which it is booked; empty when nothing is owed.
        unreturned_minor: taken beyond the decision and not given back yet.
        extra_tried: the one purchase beyond the hold was tried.
        capture_failed: the provider refused the capture.
        pending: the call under way.
        frozen: what the provider shows that we did not ask for; nothing moves until a person looked. Empty as a rule.
        disputed: a dispute is open.
    """

    state: PaymentState = PaymentState.NONE
    ref: str = ""
    auth_key: str = ""
    attempt: int = 0
    voids: int = 0
    retries: int = 0
    scheduled: int = 0
    held_minor: int = 0
    authorized_minor: int = 0
    capture_before_ns: int | None = None
    charges: tuple[Charge, ...] = ()
    waived_minor: int = 0
    owed_minor: int = 0
    debt_key: str = ""
    unreturned_minor: int = 0
    extra_tried: bool = False
    capture_failed: bool = False
    pending: Pending | None = None
    frozen: str = ""
    disputed: bool = False

    @property
    def charged_minor(self) -> int:
        """All that was taken."""
        return sum(charge.amount_minor for charge in self.charges)

    @property
    def refunded_minor(self) -> int:
        """All that was given back."""
        return sum(charge.refunded_minor for charge in self.charges)

    @property
    def kept_minor(self) -> int:
        """Taken and not given back."""
        return self.charged_minor - self.refunded_minor


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the analysis found.

    Attributes:
        run_id: of the analysis.
        verdict: charge, review or release.
        basket: all it saw.
        total_minor: its price; None when a SKU has none.
        sure_basket: the lines over the threshold, charged when time runs out.
        sure_total_minor: their price.
        confidence: probability that the basket is exact.
        reason: in words.
    """

    run_id: str
    verdict: Verdict
    basket: Basket
    total_minor: int | None
    sure_basket: Basket
    sure_total_minor: int
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision; never changed, only followed by a higher version.

    Attributes:
        version: from 1.
        action: charge or release.
        basket: what is paid for.
        total_minor: at the frozen price list.
        decided_by: `pipeline`, `deadline`, or the operator's id.
        reason: code or words.
        at_ns: when.
    """

    version: int
    action: Action
    basket: Basket
    total_minor: int
    decided_by: str
    reason: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Session:
    """One visit to one cooler.

    Attributes:
        id: UUIDv7.
        tenant_id: owner of everything below.
        site_id: where.
        device_id: which cooler.
        shopper_id: who.
        provider: who moves the money.
        method_id: their means of payment, as the provider names it.
        currency: of every amount.
        hold_minor: what is asked to be held.
        cap_minor: a higher total is looked at by a person.
        price_list_id: frozen when the code is redeemed.
        assortment: version of catalog and planogram, frozen at the same time.
        pipeline: name of the models and rules that analyse.
        created_ns: UTC.
        state: as a whole.
        version: rises by one with each event.
        entered_ns: when this state began.
        due_ns: when this state must be left or looked at; None: never.
        door: what is known about it.
        evidence: the video.
        payment: the money.
        flags: what speaks against deciding alone, sorted.
        alerts: what was already reported, sorted.
        review_reason: why a person has to look; None outside of reviews.
        reviews: rounds so far.
        analyses: runs asked for so far.
        analysis_runs: runs that a worker began so far.
        run_id: of the analysis under way or last done; empty before.
        proposal: of the analysis.
        decision: the newest.
        stocked: the basket that was booked out of stock.
        contest: the shopper's open objection; empty when there is none.
        ended_ns: when an end state was reached last; None before.
        outcome: why an end was reached, in one word: declined, never_opened, no_acknowledgement, refused, late_unlock, …
    """

    id: str
    tenant_id: str
    site_id: str
    device_id: str
    shopper_id: str
    provider: str
    method_id: str
    currency: str
    hold_minor: int
    cap_minor: int
    price_list_id: str
    assortment: str
    pipeline: str
    created_ns: int
    state: State = State.CREATED
    version: int = 0
    entered_ns: int = 0
    due_ns: int | None = None
    door: Door = field(default_factory=Door)
    evidence: Evidence = field(default_factory=Evidence)
    payment: Payment = field(default_factory=Payment)
    flags: tuple[Flag, ...] = ()
    alerts: tuple[str, ...] = ()
    review_reason: ReviewReason | None = None
    reviews: int = 0
    analyses: int = 0
    analysis_runs: int = 0
    run_id: str = ""
    proposal: Proposal | None = None
    decision: Decided | None = None
    stocked: Basket = ()
    contest: str = ""
    ended_ns: int | None = None
    outcome: str = ""

    @property
    def deadline_ns(self) -> int | None:
        """The next moment at which something is due: of the state or of a payment call."""
        payment_due = self.payment.pending.due_ns if self.payment.pending else None
        dues = [due for due in (self.due_ns, payment_due) if due is not None]
        return min(dues, default=None)

    @property
    def occupies_device(self) -> bool:
        """No other session may begin on the device: it has the door, or an aborted one may still have opened it."""
        return self.state in BEFORE_CLOSE or (
            self.state is State.ABORTED and self.door.state in (DoorState.UNKNOWN, DoorState.NEVER_OPENED)
        )

    @property
    def total_minor(self) -> int:
        """What the newest decision asks for; 0 before one."""
        return self.decision.total_minor if self.decision else 0
