"""Stripe's amounts and objects in our words. Pure; plain dictionaries as Stripe's API documents them, no library."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleetsight.billing.provider import DisputeState, Intent, IntentRefund, IntentState
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money

KEY, TENANT, SESSION = "fleetsight_key", "fleetsight_tenant", "fleetsight_session"
"""Names in the metadata of what we make."""

# docs.stripe.com/currencies, special cases: whole units only, written with two more digits.
_TWO_MORE_DIGITS = frozenset({"ISK", "UGX"})
# ISO 4217 has two decimals, Stripe none.
_TWO_FEWER_DIGITS = frozenset({"MGA"})
# docs.stripe.com/currencies, three-decimal currencies: the last digit must be 0.
_LAST_DIGIT_ZERO = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
_UNSUPPORTED = frozenset({"IQD", "LYD", "UYI"})

_STATES: Mapping[str, IntentState] = {
    "requires_capture": IntentState.HELD,
    "succeeded": IntentState.CAPTURED,
    "processing": IntentState.PENDING,
    "requires_payment_method": IntentState.DECLINED,
    "requires_action": IntentState.DECLINED,  # nobody stands at a screen who could act
    "requires_confirmation": IntentState.DECLINED,
}
_ENDED_BY_ITSELF = frozenset({"automatic", "expired"})
_DISPUTES: Mapping[str, DisputeState] = {
    "needs_response": DisputeState.OPEN,
    "under_review": DisputeState.OPEN,
    "appeal_needs_response": DisputeState.OPEN,
    "appeal_under_review": DisputeState.OPEN,
    "won": DisputeState.WON,
    "lost": DisputeState.LOST,
}
"""Inquiries (``warning_…``) and ``prevented`` ones take no money back, so they are no disputes here."""


def amount_of(money: Money) -> int | None:
    """Write an amount as Stripe wants it.

    Args:
        money: an amount in the minor units of ISO 4217.
    Returns:
        Stripe's whole number; None when Stripe cannot express the amount.
    """
    currency, minor = money.currency, money.minor
    if currency in _UNSUPPORTED or (currency in _LAST_DIGIT_ZERO and minor % 10):
        return None
    if currency in _TWO_MORE_DIGITS:
        return minor * 100
    if currency in _TWO_FEWER_DIGITS:
        return None if minor % 100 else minor // 100
    return minor


def money_of(amount: int, currency: str) -> Money:
    """Read an amount of Stripe's.

    Args:
        amount: whole number.
        currency: in any case.
    Returns:
        the amount.
    """
    unit = currency.upper()
    if unit in _TWO_MORE_DIGITS:
        return Money(amount // 100, unit)
    return Money(amount * 100 if unit in _TWO_FEWER_DIGITS else amount, unit)


def state_of(payment_intent: Mapping[str, Any]) -> IntentState:
    """Where a PaymentIntent stands.

    Args:
        payment_intent: the object.
    Returns:
        an unknown status counts as pending: nothing is concluded from it.
    """
    status = payment_intent.get("status")
    if status == "canceled":
        by_itself = payment_intent.get("cancellation_reason") in _ENDED_BY_ITSELF
        return IntentState.EXPIRED if by_itself else IntentState.VOIDED
    return _STATES.get(str(status), IntentState.PENDING)


def capture_before_ns(payment_intent: Mapping[str, Any]) -> int | None:
    """When the hold ends by itself, as the card's network promised it to Stripe.

    Args:
        payment_intent: with `latest_charge` expanded.
    Returns:
        UTC nanoseconds; None when the charge does not say.
    """
    charge = charge_of(payment_intent)
    details = charge.get("payment_method_details") or {}
    card = details.get("card") or details.get("card_present") or {}
    at_s = card.get("capture_before")
    return None if at_s is None else int(at_s) * SECOND_NS


def charge_of(payment_intent: Mapping[str, Any]) -> Mapping[str, Any]:
    """The latest charge, when it was expanded.

    Args:
        payment_intent: the object.
    Returns:
        the charge; empty when there is none or only its name.
    """
    charge = payment_intent.get("latest_charge")
    return charge if isinstance(charge, Mapping) else {}


def refund_of(refund: Mapping[str, Any]) -> IntentRefund:
    """Read a Refund.

    Args:
        refund: the object.
    Returns:
        the refund; one that is still under way counts as made.
    """
    key = (refund.get("metadata") or {}).get(KEY, "")
    failed = refund.get("status") in ("failed", "canceled")
    return IntentRefund(str(refund["id"]), key, money_of(refund["amount"], refund["currency"]), failed=failed)


def intent_of(
    payment_intent: Mapping[str, Any],
    *,
    refunds: Sequence[Mapping[str, Any]] = (),
    disputes: Sequence[Mapping[str, Any]] = (),
) -> Intent:
    """Read a PaymentIntent.

    Args:
        payment_intent: with `latest_charge` expanded.
        refunds: Refund objects about it.
        disputes: Dispute objects about it; the newest that takes money counts.
    Returns:
        the intent.
    """
    metadata, unit = payment_intent.get("metadata") or {}, payment_intent["currency"]
    failure = payment_intent.get("last_payment_error") or {}
    standing = [dispute for dispute in disputes if dispute.get("status") in _DISPUTES]
    dispute = max(standing, key=lambda found: int(found.get("created") or 0), default=None)
    state = state_of(payment_intent)
    return Intent(
        ref=str(payment_intent["id"]),
        key=metadata.get(KEY, ""),
        tenant_id=metadata.get(TENANT, ""),
        session_id=metadata.get(SESSION, ""),
        state=state,
        authorized=money_of(payment_intent["amount"], unit),
        captured=money_of(payment_intent.get("amount_received") or 0, unit),
        refunds=tuple(refund_of(refund) for refund in refunds),
        capture_before_ns=capture_before_ns(payment_intent) if state is IntentState.HELD else None,
        created_ns=int(payment_intent["created"]) * SECOND_NS,
        dispute=None if dispute is None else _DISPUTES[dispute["status"]],
        disputed=None if dispute is None else money_of(dispute["amount"], dispute["currency"]),
        reason=str(failure.get("decline_code") or failure.get("code") or ""),
    )
