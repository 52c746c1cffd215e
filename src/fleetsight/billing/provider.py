"""What is asked of those who move money, and what they may answer. Values only; nothing here calls anyone.

A provider's answer is a value also when it is "no" or "nobody knows". `Unknown` means that the effect may or may not have happened;
only reading the provider tells. Nothing else may be taken from silence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from fleetsight.errors import Error
from fleetsight.money import Money


class ProviderUnavailableError(Error):
    """The provider could not be read; try again later."""

    code = "provider_unavailable"


class OutcomeFormatError(Error):
    """A stored outcome that no version of this program wrote."""

    code = "outcome_format"


class IntentState(StrEnum):
    """Where one payment stands at the provider."""

    PENDING = "pending"
    """Neither held nor refused yet."""
    HELD = "held"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"
    DECLINED = "declined"


class DisputeState(StrEnum):
    """A shopper's bank takes the money back until someone decides."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Authorized:
    """The amount is held.

    Attributes:
        ref: the provider's name of the intent.
        amount: held.
        capture_before_ns: the hold ends by itself at this time; None when the provider names none.
    """

    ref: str
    amount: Money
    capture_before_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider said no; nothing is held and nothing was taken. Final.

    Attributes:
        reason: the provider's code, for example ``insufficient_funds``.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Captured:
    """The money was taken.

    Attributes:
        ref: the provider's name of the intent.
        amount: taken.
    """

    ref: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Voided:
    """Nothing is held any more."""


@dataclass(frozen=True, slots=True)
class Refunded:
    """Money went back.

    Attributes:
        ref: the provider's name of the refund.
        amount: given back.
    """

    ref: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be done, and nothing changed. Final.

    Attributes:
        reason: ``above_captured``, ``above_hold``, ``already_captured``, ``currency``, ``disputed``, ``hold_ended``, ``hold_expired``,
            ``hold_missing``, ``hold_voided``, ``key_reused``, ``missing`` (the provider knows no such intent), ``not_captured``,
            ``owed`` (more than is owed), ``provider`` (none of this name is set up), ``refund_failed``, ``too_old``, ``unit`` (the
            provider cannot express the amount), ``zero``, or the provider's own code.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The provider shows something that we did not ask for. Frozen until a person looks; never tried again.

    Attributes:
        expected: what we asked for, in words.
        found: what the provider shows, in words.
    """

    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The effect may have happened. Read before anything else, and never take a new key.

    Attributes:
        reason: what came instead of an answer, for people.
    """

    reason: str


Outcome: TypeAlias = Authorized | Declined | Captured | Voided | Refunded | Refused | Mismatch | Unknown
Final: TypeAlias = Authorized | Declined | Captured | Voided | Refunded | Refused | Mismatch

_KINDS: Mapping[str, type[Any]] = {
    kind.__name__.lower(): kind
    for kind in (Authorized, Declined, Captured, Voided, Refunded, Refused, Mismatch, Unknown)
}


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome as plain JSON.

    Args:
        outcome: any.
    Returns:
        ``kind`` and the attributes; money as text (``2.50 EUR``).
    """
    values = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
    plain = {name: str(value) if isinstance(value, Money) else value for name, value in values.items()}
    return {"kind": type(outcome).__name__.lower(), **plain}


def outcome_from_json(value: Mapping[str, Any]) -> Outcome:
    """Read what `outcome_to_json` wrote.

    Args:
        value: the JSON.
    Returns:
        the outcome.
    Raises:
        OutcomeFormatError: it is something else.
    """
    kind = _KINDS.get(str(value.get("kind")))
    if kind is None or set(value) - {"kind"} != {field.name for field in fields(kind)}:
        raise OutcomeFormatError(f"{dict(value)!r} is no stored outcome", hint="was it written by a newer version?")
    read = {name: entry for name, entry in value.items() if name != "kind"}
    if "amount" in read:
        read["amount"] = Money.parse(read["amount"])
    outcome: Outcome = kind(**read)
    return outcome


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do.

    Attributes:
        key_kept_s: it answers a repeated key with the first answer for this long; None for ever.
        hold_s: a hold usually lasts so long; `Authorized.capture_before_ns` is the truth.
        webhooks: it tells us by itself.
        disputes: a bank may take money back.
        multicapture: one hold may be captured in parts.
        incremental: a hold may grow.
    """

    key_kept_s: int | None
    hold_s: int
    webhooks: bool
    disputes: bool
    multicapture: bool = False
    incremental: bool = False


@dataclass(frozen=True, slots=True)
class Authorize:
    """Hold an amount, or take it at once.

    Attributes:
        key: names the request for ever; at most 200 characters.
        tenant_id: whose money it becomes.
        session_id: what it is for.
        method_id: the shopper's means of payment, as the provider names it.
        amount: > 0.
        capture: take it at once instead of holding it.
    """

    key: str
    tenant_id: str
    session_id: str
    method_id: str
    amount: Money
    capture: bool = False


@dataclass(frozen=True, slots=True)
class Lookup:
    """Which intent to read: by the provider's own name, or by the key that would have made it.

    Attributes:
        ref: the provider's name; empty when we never heard it.
        key: of the `Authorize` request.
        tenant_id: of that request.
        method_id: of that request.
        asked_ns: when it was first asked, UTC nanoseconds.
    """

    ref: str
    key: str
    tenant_id: str
    method_id: str
    asked_ns: int


@dataclass(frozen=True, slots=True)
class IntentRefund:
    """One refund as the provider shows it.

    Attributes:
        ref: the provider's name.
        key: the key it was asked with; empty when somebody else asked.
        amount: given back.
        failed: the provider could not give it back after all.
    """

    ref: str
    key: str
    amount: Money
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """One payment as the provider shows it: the truth about money outside of this house.

    Attributes:
        ref: the provider's name.
        key: the key it was asked with; empty when somebody else asked.
        tenant_id: as asked.
        session_id: as asked.
        state: where it stands.
        authorized: held, or asked for.
        captured: taken.
        refunds: given back, failed ones included.
        capture_before_ns: the hold ends by itself at this time.
        created_ns: UTC nanoseconds.
        dispute: None when there never was one.
        disputed: what the bank took back; zero without a dispute.
        reason: why it was declined; empty otherwise.
    """

    ref: str
    key: str
    tenant_id: str
    session_id: str
    state: IntentState
    authorized: Money
    captured: Money
    refunds: tuple[IntentRefund, ...]
    capture_before_ns: int | None
    created_ns: int
    dispute: DisputeState | None = None
    disputed: Money | None = None
    reason: str = ""

    @property
    def refunded(self) -> Money:
        """What was given back."""
        total = Money(0, self.authorized.currency)
        for refund in self.refunds:
            total = total if refund.failed else total + refund.amount
        return total


@dataclass(frozen=True, slots=True)
class Hint:
    """A webhook, checked: something happened to an intent. It says where to look, never what is true.

    Attributes:
        provider: name of the provider.
        event_id: the provider's name of the event; the same event comes more than once.
        kind: the provider's word for it.
        ref: the intent to read; empty when the event is about nothing of ours.
        created_ns: when it happened, by the provider's clock.
    """

    provider: str
    event_id: str
    kind: str
    ref: str
    created_ns: int


@dataclass(frozen=True, slots=True)
class BadWebhook:
    """A webhook that cannot be trusted or read. Nothing happened.

    Attributes:
        reason: one of ``signature``, ``too_old``, ``too_large``, ``format``, ``account``.
    """

    reason: str


class Provider(Protocol):
    """One who moves money. Each write names a key: the same key again has no second effect while the provider remembers it."""

    @property
    def name(self) -> str:
        """What it is called in keys, accounts and rows."""
        ...

    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    def authorize(self, request: Authorize) -> Authorized | Captured | Declined | Refused | Unknown:
        """Hold an amount, or take it at once.

        Args:
            request: what to hold.
        Returns:
            `Captured` when it was to be taken at once and was, else `Authorized`, or why not.
        """
        ...

    def capture(self, ref: str, amount: Money, *, key: str) -> Captured | Refused | Unknown:
        """Take held money, once; the rest of the hold is released.

        Args:
            ref: the intent.
            amount: above zero, at most the hold.
            key: names the request for ever.
        Returns:
            what was taken, or why not.
        """
        ...

    def void(self, ref: str, *, key: str) -> Voided | Refused | Unknown:
        """Give a hold back.

        Args:
            ref: the intent.
            key: names the request for ever.
        Returns:
            `Voided` also when the hold had ended by itself.
        """
        ...

    def refund(self, ref: str, amount: Money, *, key: str) -> Refunded | Refused | Unknown:
        """Give taken money back, in parts if wanted.

        Args:
            ref: the intent.
            amount: above zero, at most what was taken and not given back.
            key: names the request for ever.
        Returns:
            what was given back, or why not.
        """
        ...

    def get(self, lookup: Lookup) -> Intent | Unknown | None:
        """Read one intent; no effect.

        Args:
            lookup: which one.
        Returns:
            the intent as it is now; None when the provider is sure that there is none.
        """
        ...

    def list_since(self, at_ns: int) -> Iterator[Intent]:
        """Read every intent that was made since a moment; no effect.

        Args:
            at_ns: UTC nanoseconds.
        Returns:
            intents, oldest or newest first.
        Raises:
            ProviderUnavailableError: it cannot be read now.
        """
        ...
