"""Webhooks of Stripe: checked on the raw bytes, then used as a hint where to look.

Stripe sends an event again for three days, more than once, and in no order; so what an event says is never booked. Its id is kept
(`fleetsight.billing.observing.take_hint`), and the object it names is read.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import stripe

from fleetsight.billing.provider import BadWebhook, Hint
from fleetsight.billing.providers.stripe_provider import NAME
from fleetsight.clock import SECOND_NS, Clock
from fleetsight.errors import Error

TOLERANCE_S = 300
"""As in Stripe's libraries; their check lets signatures from the future pass, ours does not."""
BODY_MAX_BYTES = 256 * 1024
"""Events about payments are a few kB."""
SECRETS_MAX = 2
"""The present one and, while it is rotated, the one before."""


class WebhookSecretError(Error):
    """No secret to check webhooks with, or too many."""

    code = "webhook_secret"


class StripeWebhook:
    """Checks what claims to come from Stripe.

    Args:
        secrets: of the endpoint, ``whsec_…``: the present one, and while it is rotated also the one before.
        clock: the time.
        account: the connected account whose events are ours; empty takes those of the platform itself only.
        live: whether events of the live mode are ours, or those of the test mode.
    Raises:
        WebhookSecretError: none, an empty one, or more than two.
    """

    def __init__(self, secrets: Sequence[str], clock: Clock, *, account: str = "", live: bool = True) -> None:
        if not 1 <= len(secrets) <= SECRETS_MAX or not all(secret.strip() for secret in secrets):
            raise WebhookSecretError(f"{len(secrets)} webhook secrets", hint="give one, or two while rotating")
        self._secrets = tuple(secrets)
        self._clock = clock
        self._account = account
        self._live = live

    def read(self, raw: bytes, signature: str | None) -> Hint | BadWebhook:
        """Check a webhook and see what it is about.

        Args:
            raw: the body, byte for byte.
            signature: the header ``Stripe-Signature``; None when it was not sent.
        Returns:
            the hint, with an empty `ref` when the event is about no payment.
        """
        if len(raw) > BODY_MAX_BYTES:
            return BadWebhook("too_large")
        signed_s = self._signed_s(raw, signature or "")
        if signed_s is None:
            return BadWebhook("signature")
        if abs(self._clock.now_ns() // SECOND_NS - signed_s) > TOLERANCE_S:
            return BadWebhook("too_old")
        return self._hint(raw)

    def _signed_s(self, raw: bytes, signature: str) -> int | None:
        """When one of our secrets signed the body; None when none did."""
        for secret in self._secrets:
            try:
                stripe.WebhookSignature.verify_header(raw, signature, secret, tolerance=None)
            except (stripe.SignatureVerificationError, UnicodeError):
                continue
            stamps = [part[2:] for part in signature.split(",") if part.startswith("t=")]
            return int(stamps[0]) if stamps and stamps[0].isascii() and stamps[0].isdigit() else None
        return None

    def _hint(self, raw: bytes) -> Hint | BadWebhook:
        try:
            event = json.loads(raw)
        except (ValueError, RecursionError):
            return BadWebhook("format")
        if not isinstance(event, dict) or event.get("object") != "event":
            return BadWebhook("format")
        if str(event.get("account") or "") != self._account or event.get("livemode") is not self._live:
            return BadWebhook("account")
        event_id, kind, created, data = (event.get(name) for name in ("id", "type", "created", "data"))
        if not (isinstance(event_id, str) and event_id and isinstance(kind, str) and type(created) is int):
            return BadWebhook("format")
        about = data.get("object") if isinstance(data, dict) else None
        return Hint(NAME, event_id, kind, _ref(about if isinstance(about, dict) else {}), created * SECOND_NS)


def _ref(about: Mapping[str, Any]) -> str:
    """The payment intent that an object is, or belongs to."""
    name = about.get("id") if about.get("object") == "payment_intent" else about.get("payment_intent")
    return name if isinstance(name, str) else ""
