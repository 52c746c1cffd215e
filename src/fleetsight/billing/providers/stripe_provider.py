"""Stripe: cards, held with manual capture. Card data never comes near this house: a method is a customer and a payment method of theirs.

Every write carries the operation's key as idempotency key and in the metadata, so that an intent whose answer was lost is found again
by listing the customer's intents (the search API lags; lists do not). The library's own retries are off: `Payments` decides.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import stripe

from fleetsight.billing.provider import (
    Authorize,
    Authorized,
    Capabilities,
    Captured,
    Declined,
    Intent,
    IntentState,
    Lookup,
    ProviderUnavailableError,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from fleetsight.billing.providers import stripe_objects
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money

LOGGER = logging.getLogger(__name__)
NAME = "stripe"
TIMEOUT_S = 20.0
"""Stripe answers a card authorisation within a few seconds; a slower answer is read later."""
KEY_KEPT_S = 24 * 3600
HOLD_S = 7 * 24 * 3600
CLOCKS_APART_S = 600
"""Our clock and Stripe's may differ by this much when an intent is looked for by the time it was asked."""
PAGE = 100
_CHARGE = "latest_charge"
_ENDED = {
    IntentState.CAPTURED: "already_captured",
    IntentState.VOIDED: "hold_voided",
    IntentState.EXPIRED: "hold_expired",
    IntentState.DECLINED: "hold_missing",
}
_REASONS = {
    "charge_already_captured": "already_captured",
    "charge_already_refunded": "above_captured",
    "charge_disputed": "disputed",
    "charge_expired_for_capture": "hold_expired",
    "resource_missing": "missing",
}
Answer = TypeVar("Answer")


class StripeProvider:
    """One Stripe account.

    Args:
        client: with retries off.
    """

    name = NAME

    def __init__(self, client: stripe.StripeClient) -> None:
        self._api = client.v1

    def capabilities(self) -> Capabilities:
        return Capabilities(key_kept_s=KEY_KEPT_S, hold_s=HOLD_S, webhooks=True, disputes=True)

    def authorize(self, request: Authorize) -> Authorized | Captured | Declined | Refused | Unknown:
        amount = stripe_objects.amount_of(request.amount)
        customer, _, method = request.method_id.partition("/")
        if amount is None or amount <= 0:
            return Refused("zero" if request.amount.minor <= 0 else "unit")
        if not customer or not method:
            return Declined("method")
        answer = _asked(
            lambda: self._api.payment_intents.create(
                {
                    "amount": amount,
                    "currency": request.amount.currency.lower(),
                    "customer": customer,
                    "payment_method": method,
                    "allowed_payment_method_types": ["card"],
                    "capture_method": "automatic" if request.capture else "manual",
                    "confirm": True,
                    "off_session": True,
                    "metadata": {
                        stripe_objects.KEY: request.key,
                        stripe_objects.TENANT: request.tenant_id,
                        stripe_objects.SESSION: request.session_id,
                    },
                    "expand": [_CHARGE],
                },
                {"idempotency_key": request.key},
            ).to_dict()
        )
        if not isinstance(answer, Mapping):
            return answer
        intent = stripe_objects.intent_of(answer)
        if intent.state is IntentState.HELD:
            return Authorized(intent.ref, intent.authorized, intent.capture_before_ns)
        if intent.state is IntentState.CAPTURED:
            return Captured(intent.ref, intent.captured)
        if intent.state is IntentState.PENDING:
            return Unknown(f"{intent.ref} is {answer.get('status')}")
        return Declined(intent.reason or str(answer.get("status")))

    def capture(self, ref: str, amount: Money, *, key: str) -> Captured | Refused | Unknown:
        wanted = stripe_objects.amount_of(amount)
        if wanted is None or wanted <= 0:
            return Refused("zero" if amount.minor <= 0 else "unit")
        answer = _asked(
            lambda: self._api.payment_intents.capture(
                ref, {"amount_to_capture": wanted}, {"idempotency_key": key}
            ).to_dict(),
            words={"amount_too_large": "above_hold"},
        )
        if not isinstance(answer, Mapping):
            return Refused(answer.reason) if isinstance(answer, Declined) else answer
        intent = stripe_objects.intent_of(answer)
        captured = intent.state is IntentState.CAPTURED
        return Captured(intent.ref, intent.captured) if captured else Unknown(f"{ref} is {answer.get('status')}")

    def void(self, ref: str, *, key: str) -> Voided | Refused | Unknown:
        answer = _asked(lambda: self._api.payment_intents.cancel(ref, {}, {"idempotency_key": key}).to_dict())
        if isinstance(answer, Refused | Declined):
            ended = answer.reason in ("hold_voided", "hold_expired")
            return Voided() if ended else Refused(answer.reason)
        if isinstance(answer, Unknown):
            return answer
        return Voided() if answer.get("status") == "canceled" else Unknown(f"{ref} is {answer.get('status')}")

    def refund(self, ref: str, amount: Money, *, key: str) -> Refunded | Refused | Unknown:
        wanted = stripe_objects.amount_of(amount)
        if wanted is None or wanted <= 0:
            return Refused("zero" if amount.minor <= 0 else "unit")
        answer = _asked(
            lambda: self._api.refunds.create(
                {"payment_intent": ref, "amount": wanted, "metadata": {stripe_objects.KEY: key}},
                {"idempotency_key": key},
            ).to_dict(),
            words={"amount_too_large": "above_captured", "requires_capture": "not_captured"},
        )
        if not isinstance(answer, Mapping):
            return Refused(answer.reason) if isinstance(answer, Declined) else answer
        refund = stripe_objects.refund_of(answer)
        return Refused("refund_failed") if refund.failed else Refunded(refund.ref, refund.amount)

    def get(self, lookup: Lookup) -> Intent | Unknown | None:
        def read() -> Intent | None:
            if not lookup.ref:
                return self._found(lookup)
            return self._whole(self._api.payment_intents.retrieve(lookup.ref, {"expand": [_CHARGE]}).to_dict())

        answer: Intent | Declined | Refused | Unknown | None = _asked(read)
        if isinstance(answer, Declined | Refused):
            return None if answer.reason == "missing" else Unknown(answer.reason)
        return answer

    def list_since(self, at_ns: int) -> Iterator[Intent]:
        try:
            listed = self._api.payment_intents.list(
                {"created": {"gte": at_ns // SECOND_NS}, "limit": PAGE, "expand": [f"data.{_CHARGE}"]}
            )
            for payment_intent in listed.auto_paging_iter():
                yield self._whole(payment_intent.to_dict())
        except stripe.StripeError as error:
            raise ProviderUnavailableError(f"Stripe cannot be read: {error.user_message}", hint="try again") from error

    def _found(self, lookup: Lookup) -> Intent | None:
        """Look for the intent that a key made, among those of the customer; None when there is none."""
        earliest_s = max(0, lookup.asked_ns // SECOND_NS - CLOCKS_APART_S)
        customer = lookup.method_id.partition("/")[0]
        listed = self._api.payment_intents.list(
            {"customer": customer, "created": {"gte": earliest_s}, "limit": PAGE, "expand": [f"data.{_CHARGE}"]}
        )
        for payment_intent in listed.auto_paging_iter():
            found = payment_intent.to_dict()
            metadata = found.get("metadata") or {}
            if (
                metadata.get(stripe_objects.KEY) == lookup.key
                and metadata.get(stripe_objects.TENANT) == lookup.tenant_id
            ):
                return self._whole(found)
        return None

    def _whole(self, payment_intent: Mapping[str, Any]) -> Intent:
        """Add what Stripe keeps beside the intent: refunds and disputes."""
        charge, about = stripe_objects.charge_of(payment_intent), str(payment_intent["id"])
        refunds, disputes = [], []
        if stripe_objects.state_of(payment_intent) is IntentState.CAPTURED:
            listed = self._api.refunds.list({"payment_intent": about, "limit": PAGE})
            refunds = [refund.to_dict() for refund in listed.auto_paging_iter()]
        if charge.get("disputed"):
            opened = self._api.disputes.list({"payment_intent": about, "limit": PAGE})
            disputes = [dispute.to_dict() for dispute in opened.auto_paging_iter()]
        return stripe_objects.intent_of(payment_intent, refunds=refunds, disputes=disputes)


def connect(api_key: str) -> StripeProvider:
    """Open a Stripe account.

    Args:
        api_key: a secret or restricted key with rights to PaymentIntents, Refunds and (reading) Disputes.
    Returns:
        the provider; nothing is sent yet.
    """
    http = stripe.RequestsClient(timeout=TIMEOUT_S)
    return StripeProvider(stripe.StripeClient(api_key, http_client=http, max_network_retries=0))


def _asked(
    call: Callable[[], Answer], *, words: Mapping[str, str] | None = None
) -> Answer | Declined | Refused | Unknown:
    """Call Stripe and turn its errors into our words; some words depend on the call."""
    try:
        return call()
    except stripe.CardError as error:
        return Declined(_decline_code(error))
    except stripe.IdempotencyError:
        return Refused("key_reused")
    except stripe.InvalidRequestError as error:
        return _refused(error, words or {})
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        LOGGER.error("stripe refuses our key: %s", error.user_message)
        return Unknown("Stripe refuses our API key")
    except stripe.StripeError as error:  # 409, 429, 5xx, no connection: it may have happened
        LOGGER.warning("stripe unknown outcome status=%s request=%s", error.http_status, error.request_id)
        return Unknown(f"Stripe: {error.code or error.http_status or 'no answer'}")


def _decline_code(error: stripe.CardError) -> str:
    details: Any = error.json_body
    told = details.get("error") if isinstance(details, dict) else None
    code = told.get("decline_code") if isinstance(told, dict) else None
    return str(code or error.code or "declined")


def _refused(error: stripe.InvalidRequestError, words: Mapping[str, str]) -> Refused | Unknown:
    if error.code == "payment_intent_unexpected_state":
        details: Any = error.json_body
        shown = details["error"].get("payment_intent") if isinstance(details, dict) else None
        if not isinstance(shown, dict):
            return Unknown("the intent is in another state")
        reason = words.get(str(shown.get("status"))) or _ENDED.get(stripe_objects.state_of(shown))
        return Refused(reason) if reason else Unknown(f"the intent is {shown.get('status')}")
    code = error.code or "invalid_request"
    return Refused(words.get(code) or _REASONS.get(code, code))
