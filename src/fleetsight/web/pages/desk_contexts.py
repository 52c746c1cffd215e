"""What the operator's pages show. Facts and no words; times are UTC nanoseconds."""

from dataclasses import dataclass

from fleetsight.money import Money
from fleetsight.web.pages.contexts import Contest, PageContext, Receipt


@dataclass(frozen=True)
class SignInPage(PageContext):
    """`/operator/sign-in`.

    Attributes:
        to: the page that was asked for, a path of ours.
        problem: why the last attempt was refused; empty at first.
    """

    template = "operator/sign_in.html"

    to: str
    problem: str = ""


@dataclass(frozen=True)
class SessionRow:
    """One line of the live list.

    Attributes:
        session_id: of the session.
        state: of the session.
        door: its sub-state.
        payment: its sub-state.
        cooler: name of the device.
        site: where it stands.
        shopper: name.
        created_ns: when the code was redeemed.
        closed_ns: when the door was closed; None before.
        settled_ns: when the receipt was there; None before.
        decision: `charge`, `review`, `release`; None before.
        confidence: of the basket, 0 to 1; None before.
        total: of the basket; None before.
        reason: why a person must look, one of `ReviewReason` or `contest`; empty when nobody must.
    """

    session_id: str
    state: str
    door: str
    payment: str
    cooler: str
    site: str
    shopper: str
    created_ns: int
    closed_ns: int | None = None
    settled_ns: int | None = None
    decision: str | None = None
    confidence: float | None = None
    total: Money | None = None
    reason: str = ""


SESSION_FILTERS = ("all", "live", "review", "settled", "released", "owed", "ended")


@dataclass(frozen=True)
class SessionsPage(PageContext):
    """`/operator/sessions`: the live list.

    Attributes:
        rows: newest first.
        shown: which of `SESSION_FILTERS`.
        cursor: of this page; empty for the newest.
        next_cursor: leads to older sessions; None at the end.
        now_ns: when this was made.
    """

    template = "operator/sessions.html"

    rows: tuple[SessionRow, ...]
    shown: str
    cursor: str
    next_cursor: str | None
    now_ns: int


@dataclass(frozen=True)
class Alternative:
    """Another reading of an event. `sku` is None for a product that is not in the catalog."""

    sku: str | None
    name: str
    score: float
    picture_url: str | None = None


@dataclass(frozen=True)
class ClipEvent:
    """One act seen on the clip.

    Attributes:
        kind: `take`, `put_back`, `move`, `foreign_item`, `unknown`.
        sku: None when it is not in the catalog.
        name: of the SKU.
        count: units.
        at_s: when, in the clip's own time.
        window_s: the interval in which it must have happened.
        confidence: 0 to 1.
        rule: the rule that fired.
        alternatives: by probability, the chosen one first.
        strip_url: frames around the event; None when none were kept.
    """

    kind: str
    sku: str | None
    name: str
    count: int
    at_s: float
    window_s: tuple[float, float]
    confidence: float
    rule: str
    alternatives: tuple[Alternative, ...] = ()
    strip_url: str | None = None


@dataclass(frozen=True)
class BasketLine:
    """One SKU of the basket.

    Attributes:
        sku: its identifier.
        name: of the SKU.
        count: units.
        each: price of one; None when the price list lacks it.
        amount: price of all.
        picture_url: of the product.
        events: indexes into the clip's events.
        contested: whether the shopper says that this line is wrong.
    """

    sku: str
    name: str
    count: int
    each: Money | None
    amount: Money | None
    picture_url: str | None = None
    events: tuple[int, ...] = ()
    contested: bool = False


@dataclass(frozen=True)
class Clip:
    """The pictures of a session. `duration_s` is the length of the clip's own time."""

    url: str
    duration_s: float


@dataclass(frozen=True)
class Verdict:
    """What the analysis proposed, and why.

    Attributes:
        decision: `charge`, `review`, `release`.
        reason: in words.
        confidence: that the basket is exact, 0 to 1.
    """

    decision: str
    reason: str
    confidence: float


@dataclass(frozen=True)
class DecisionRow:
    """One decision that counted. `who` is a person's name, `pipeline` or `deadline`; `reason` is a code or words."""

    at_ns: int
    who: str
    action: str
    total: Money
    reason: str


@dataclass(frozen=True)
class HistoryRow:
    """One transition of a session.

    Attributes:
        at_ns: when it was recorded.
        event: its kind.
        before: state before.
        after: state after.
        facts: what it carried, as name and value.
    """

    at_ns: int
    event: str
    before: str
    after: str
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class MoneyRow:
    """One operation with the payment provider.

    Attributes:
        at_ns: when it was asked for.
        kind: `authorize`, `capture`, `void`, `refund`, …
        amount: in question.
        state: `requested`, `done`, `failed`, `unknown`.
        key: its idempotency key.
        ref: the provider's reference; empty when it gave none.
        session_id: whose.
        note: reason or error in words.
    """

    at_ns: int
    kind: str
    amount: Money
    state: str
    key: str
    ref: str = ""
    session_id: str = ""
    note: str = ""


@dataclass(frozen=True)
class ReviewRow:
    """One decision by a person. `seconds` is the time that the case was on the screen."""

    at_ns: int
    who: str
    action: str
    reason_code: str
    seconds: float
    basket: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class SessionFacts:
    """Everything about one session.

    Attributes:
        row: the line of the live list.
        evidence: sub-state of the pictures.
        opened_ns: when the door was opened.
        version: of the row; a decision names it.
        hold: what is or was held.
        captured: what was taken.
        refundable: what may still be given back.
        clip: None while there is none.
        events: of the clip, in order of time.
        basket: lines with their evidence.
        verdict: None before the analysis.
        contest: of the shopper.
        receipt: once there is one.
        degraded: why the pictures are incomplete.
        flags: what else speaks against deciding alone.
        versions: of pipeline, assortment, prices, by name.
    """

    row: SessionRow
    evidence: str
    opened_ns: int | None
    version: int
    hold: Money | None
    captured: Money | None
    refundable: Money | None
    clip: Clip | None
    events: tuple[ClipEvent, ...]
    basket: tuple[BasketLine, ...]
    verdict: Verdict | None
    contest: Contest | None = None
    receipt: Receipt | None = None
    degraded: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()


REFUND_CODES = ("not_taken", "wrong_product", "wrong_count", "quality", "goodwill", "other")


@dataclass(frozen=True)
class SessionPage(PageContext):
    """`/operator/sessions/ID`.

    Attributes:
        facts: of the session.
        history: every transition, oldest first.
        money: every operation, oldest first.
        decisions: every version that counted, oldest first.
        reviews: what people decided.
        log_whole: whether the log is what was written.
        can_refund: whether this operator may give money back.
        can_review: whether this operator may decide.
        now_ns: when this was made.
        refund_key: makes a refund happen once however often the form is sent.
        live: whether the page still changes by itself.
        problem: why the last form was refused; empty when it was not.
    """

    template = "operator/session.html"

    facts: SessionFacts
    history: tuple[HistoryRow, ...]
    money: tuple[MoneyRow, ...]
    decisions: tuple[DecisionRow, ...]
    reviews: tuple[ReviewRow, ...]
    log_whole: bool
    can_refund: bool
    can_review: bool
    now_ns: int
    refund_key: str = ""
    live: bool = False
    problem: str = ""


@dataclass(frozen=True)
class SkuChoice:
    """A SKU that may be added to a basket."""

    sku: str
    name: str
    each: Money | None
    picture_url: str | None = None


CORRECT_CODES = ("wrong_product", "wrong_count", "missed_take", "missed_put_back", "hidden", "not_in_catalog", "other")
WAIVE_CODES = ("no_evidence", "device_fault", "goodwill", "test", "other")


@dataclass(frozen=True)
class ReviewPage(PageContext):
    """`/operator/reviews`: the case that is next, or none.

    Attributes:
        case: None when nothing waits.
        waiting: cases in the queue, this one included.
        oldest_ns: since when the oldest waits; None when nothing waits.
        choices: SKUs that may be added.
        done: the last decision of this operator, for the confirmation line; None at first.
        median_s: this operator's median time on a case in the last 24 hours; None before the first.
        now_ns: when this was made.
        digits: of the currency's fraction, for the running total.
        problem: why the last decision was refused; empty when it was not.
    """

    template = "operator/review.html"

    case: SessionFacts | None
    waiting: int
    oldest_ns: int | None
    choices: tuple[SkuChoice, ...]
    done: ReviewRow | None
    median_s: float | None
    now_ns: int
    digits: int = 2
    problem: str = ""


@dataclass(frozen=True)
class DeviceRow:
    """One cooler of the fleet.

    Attributes:
        device_id: of the device.
        name: of the cooler.
        site: where it stands.
        state: `online`, `offline`, `never_seen`, `revoked`.
        door: its door; empty when unknown.
        troubles: what is wrong, worst first; empty when nothing is.
        seen_ns: last sign of life.
        last_session_ns: last time that a code was redeemed.
        sessions: of the last 24 hours.
        automatic: share of these sessions that no person looked at, 0 to 1; None without sessions.
        reviews: cases that wait.
        receipt_p95_s: from upload to receipt; None without receipts.
        temperature_c: inside; None without a sensor.
        spooled: sessions that wait on the device.
    """

    device_id: str
    name: str
    site: str
    state: str
    door: str
    troubles: tuple[str, ...]
    seen_ns: int | None
    last_session_ns: int | None
    sessions: int
    automatic: float | None
    reviews: int
    receipt_p95_s: float | None
    temperature_c: float | None = None
    spooled: int = 0


@dataclass(frozen=True)
class FleetPage(PageContext):
    """`/operator/fleet`: every cooler, trouble first.

    Attributes:
        rows: coolers, those with trouble first.
        sessions: of the last 24 hours.
        revenue: of the last 24 hours, by currency.
        automatic: share that no person looked at; None without sessions.
        reviews: cases that wait.
        contested: share of receipts that were contested; None without receipts.
        receipt_p50_s: from upload to receipt.
        receipt_p95_s: from upload to receipt.
        now_ns: when this was made.
    """

    template = "operator/fleet.html"

    rows: tuple[DeviceRow, ...]
    sessions: int
    revenue: tuple[Money, ...]
    automatic: float | None
    reviews: int
    contested: float | None
    receipt_p50_s: float | None
    receipt_p95_s: float | None
    now_ns: int


@dataclass(frozen=True)
class Screen:
    """What the screen of a simulated cooler shows. `url` is the text of its QR code."""

    url: str
    left_s: int


@dataclass(frozen=True)
class AlertRow:
    """Something that a person should look at. `times` is how often it was seen."""

    kind: str
    detail: str
    last_ns: int
    times: int


@dataclass(frozen=True)
class DevicePage(PageContext):
    """`/operator/devices/ID`: one cooler.

    Attributes:
        row: its line of the fleet table.
        maintenance: why nobody may open it; empty when shoppers may.
        alerts: newest first.
        sessions: newest first.
        screen: of a simulated cooler; None for a real one, which shows its code itself.
        now_ns: when this was made.
    """

    template = "operator/device.html"

    row: DeviceRow
    maintenance: str
    alerts: tuple[AlertRow, ...]
    sessions: tuple[SessionRow, ...]
    screen: Screen | None
    now_ns: int


@dataclass(frozen=True)
class OpenHold:
    """Money that is reserved and not yet taken. `until_ns` is when the provider lets go by itself."""

    session_id: str
    shopper: str
    amount: Money
    since_ns: int
    until_ns: int | None


@dataclass(frozen=True)
class OwedRow:
    """A purchase that could not be charged."""

    session_id: str
    shopper: str
    amount: Money
    since_ns: int
    next_try_ns: int | None


@dataclass(frozen=True)
class Difference:
    """Something on which our books and the provider do not agree."""

    what: str
    provider: str
    ours: str
    theirs: str
    explanation: str
    session_id: str = ""


@dataclass(frozen=True)
class MoneyPage(PageContext):
    """`/operator/money`.

    Attributes:
        holds: open, oldest first.
        held: their sum, by currency.
        owed: oldest first.
        owed_total: their sum, by currency.
        differences: with the provider.
        operations: the latest, newest first.
        captured: of the last 24 hours, by currency.
        refunded: of the last 24 hours, by currency.
        faults: why the books do not add up or do not replay to the same balances; empty when all is well.
        checked_ns: when that was last checked; None before.
        now_ns: when this was made.
    """

    template = "operator/money.html"

    holds: tuple[OpenHold, ...]
    held: tuple[Money, ...]
    owed: tuple[OwedRow, ...]
    owed_total: tuple[Money, ...]
    differences: tuple[Difference, ...]
    operations: tuple[MoneyRow, ...]
    captured: tuple[Money, ...]
    refunded: tuple[Money, ...]
    faults: tuple[str, ...]
    checked_ns: int | None
    now_ns: int
