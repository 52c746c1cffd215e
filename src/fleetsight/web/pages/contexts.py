"""What the shopper's pages show, and the nouns that the operator's pages share with them.

    view(request) -> context -> template (HTML) or `faces.as_json` (the twin at PATH.json)

A context holds facts and no words: the same values reach the template and the twin. Times are UTC nanoseconds.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from fleetsight.money import Money


class PageContext:
    """What one page shows; a frozen dataclass below names its template."""

    template: ClassVar[str]
    status: ClassVar[int] = 200


@dataclass(frozen=True)
class Strip:
    """Frames around one event, side by side in one picture.

    Attributes:
        url: of the picture.
        kind: `take`, `put_back`, …
        at_s: when the event happened, in the clip's own time.
    """

    url: str
    kind: str
    at_s: float


@dataclass(frozen=True)
class ReceiptLine:
    """One SKU of a receipt.

    Attributes:
        sku: its identifier.
        name: what the shopper reads.
        count: units, >= 1.
        each: gross price of one.
        amount: gross price of all.
        picture_url: of the product; None when the assortment keeps none.
        strips: the moments behind this line.
    """

    sku: str
    name: str
    count: int
    each: Money
    amount: Money
    picture_url: str | None = None
    strips: tuple[Strip, ...] = ()


@dataclass(frozen=True)
class TaxLine:
    """Tax of one rate, contained in the total. `rate_bp` is in hundredths of a percent."""

    rate_bp: int
    amount: Money


@dataclass(frozen=True)
class Refund:
    """Money given back after the receipt."""

    at_ns: int
    amount: Money
    reason: str


@dataclass(frozen=True)
class Receipt:
    """What was charged and why.

    Attributes:
        number: printed on it.
        settled_ns: when the payment was final.
        lines: by name.
        total: gross.
        taxes: contained in the total, by rate.
        paid_by: `wallet`, `stripe`, …
        refunds: in order of time.
        paid: what is left after the refunds.
        owed: still to be paid.
        waived: not asked for.
    """

    number: str
    settled_ns: int
    lines: tuple[ReceiptLine, ...]
    total: Money
    taxes: tuple[TaxLine, ...]
    paid_by: str
    refunds: tuple[Refund, ...]
    paid: Money
    owed: Money
    waived: Money


@dataclass(frozen=True)
class Contest:
    """A shopper's "this is wrong".

    Attributes:
        at_ns: when it was sent.
        skus: the lines that are contested; empty when something is missing.
        reason: one of `session.review.CONTEST_REASONS`.
        text: in the shopper's words.
        answered_ns: when an operator closed it; None while it is open.
        answer: `changed` or `confirmed`; empty while it is open.
    """

    at_ns: int
    skus: tuple[str, ...]
    reason: str
    text: str
    answered_ns: int | None = None
    answer: str = ""


@dataclass(frozen=True)
class Purse:
    """How a signed-in shopper pays.

    Attributes:
        name: the shopper's own.
        method: `wallet`, `stripe`, …
        balance: of the wallet; None for other methods.
    """

    name: str
    method: str
    balance: Money | None


class ScanState(StrEnum):
    """What a scanned code leads to."""

    READY = "ready"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    BUSY = "busy"
    MAINTENANCE = "maintenance"
    OFFLINE = "offline"
    ARREARS = "arrears"


@dataclass(frozen=True)
class ScanPage(PageContext):
    """`/q?t=TOKEN`: the page behind the cooler's QR code.

    Attributes:
        state: whether the door can be unlocked.
        cooler: name of the device; empty when the code is unknown.
        site: where it stands.
        hold: what is held while the door is open; None when the cooler is unknown.
        purse: of the signed-in shopper; None when nobody is signed in.
        sign_up: whether anyone may open an account here.
        token: the scanned code, sent back with the button.
        left_s: seconds for which the code stays valid.
        gift: play money that a new wallet starts with; None where money is real.
    """

    template = "shop/scan.html"

    state: ScanState
    cooler: str = ""
    site: str = ""
    hold: Money | None = None
    purse: Purse | None = None
    sign_up: bool = True
    token: str = ""
    left_s: int = 0
    gift: Money | None = None


class Stage(StrEnum):
    """What a shopper sees of a session."""

    UNLOCKING = "unlocking"
    UNLOCKED = "unlocked"
    OPEN = "open"
    UPLOADING = "uploading"
    WORKING = "working"
    REVIEW = "review"
    RECEIPT = "receipt"
    NOTHING_TAKEN = "nothing_taken"
    NEVER_OPENED = "never_opened"
    NOT_UNLOCKED = "not_unlocked"
    DECLINED = "declined"
    OWED = "owed"


@dataclass(frozen=True)
class ShopSessionPage(PageContext):
    """`/shop/sessions/ID`: a purchase while it happens, then its receipt.

    Attributes:
        session_id: of the session.
        stage: what to show.
        cooler: name of the device.
        site: where it stands.
        started_ns: when the code was redeemed.
        now_ns: when this was made.
        left_s: seconds until the door locks again; None when no clock runs.
        hold: what is held now or was held.
        held: whether the hold is still there.
        receipt: once there is one.
        contest: the shopper's, if any.
        contestable: whether the receipt may be contested now.
        purse: how the shopper pays.
    """

    template = "shop/session.html"

    session_id: str
    stage: Stage
    cooler: str
    site: str
    started_ns: int
    now_ns: int
    left_s: int | None = None
    hold: Money | None = None
    held: bool = False
    receipt: Receipt | None = None
    contest: Contest | None = None
    contestable: bool = False
    purse: Purse | None = None

    @property
    def live(self) -> bool:
        """Whether the page still changes by itself."""
        return self.stage in LIVE_STAGES or (self.contest is not None and self.contest.answered_ns is None)


LIVE_STAGES = frozenset(
    {Stage.UNLOCKING, Stage.UNLOCKED, Stage.OPEN, Stage.UPLOADING, Stage.WORKING, Stage.REVIEW, Stage.OWED}
)


@dataclass(frozen=True)
class Purchase:
    """One row of a shopper's history."""

    session_id: str
    cooler: str
    site: str
    at_ns: int
    stage: Stage
    total: Money | None


@dataclass(frozen=True)
class ShopHomePage(PageContext):
    """`/shop`: wallet and purchases.

    Attributes:
        purse: of the shopper; None when nobody is signed in.
        purchases: newest first.
        top_ups: amounts that the wallet may be filled with here; empty when it may not.
        sign_up: whether anyone may open an account here.
        now_ns: when this was made.
        top_up_key: makes a top-up happen once however often the form is sent.
    """

    template = "shop/home.html"

    purse: Purse | None
    purchases: tuple[Purchase, ...]
    top_ups: tuple[Money, ...]
    sign_up: bool
    now_ns: int
    top_up_key: str = ""


@dataclass(frozen=True)
class ProblemPage(PageContext):
    """Any refusal, as a page: the same facts as the problem body of the API."""

    template = "problem.html"

    code: str
    http_status: int
    message: str
    hint: str
