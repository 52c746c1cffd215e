"""Only what Stripe signed, lately, for us, is a hint."""

import json
from typing import Any

import pytest
import stripe

from fleetsight.billing.provider import BadWebhook, Hint
from fleetsight.billing.providers.stripe_webhook import (
    BODY_MAX_BYTES,
    TOLERANCE_S,
    StripeWebhook,
    WebhookSecretError,
)
from fleetsight.clock import SECOND_NS, VirtualClock
from tests.contracts.payment_provider_contract import NOON_NS

PRESENT, BEFORE, STRANGE = "whsec_present", "whsec_before", "whsec_strange"
NOON_S = NOON_NS // SECOND_NS


def event(**changes: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": NOON_S - 5,
        "livemode": False,
        "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
        **changes,
    }


def signed(body: bytes, secret: str = PRESENT, at_s: int = NOON_S) -> str:
    header = stripe.WebhookSignature.generate_signature_header(body.decode("utf-8", "replace"), secret, timestamp=at_s)
    assert isinstance(header, str)
    return header


def raw(**changes: Any) -> bytes:
    return json.dumps(event(**changes)).encode()


@pytest.fixture
def webhook(clock: VirtualClock) -> StripeWebhook:
    return StripeWebhook([PRESENT, BEFORE], clock, live=False)


def read(webhook: StripeWebhook, body: bytes, secret: str = PRESENT) -> Hint | BadWebhook:
    return webhook.read(body, signed(body, secret))


@pytest.mark.parametrize("secret", [PRESENT, BEFORE])
def test_both_secrets_of_a_rotation_are_good(webhook: StripeWebhook, secret: str) -> None:
    assert read(webhook, raw(), secret) == Hint(
        "stripe", "evt_1", "payment_intent.succeeded", "pi_1", (NOON_S - 5) * SECOND_NS
    )


def test_a_header_with_signatures_of_both_secrets_is_good(webhook: StripeWebhook) -> None:
    body = raw()
    second = signed(body).split("v1=")[1]
    assert isinstance(webhook.read(body, f"{signed(body, STRANGE)},v1={second}"), Hint)


@pytest.mark.parametrize(
    ("kind", "about", "ref"),
    [
        ("charge.refunded", {"id": "ch_1", "object": "charge", "payment_intent": "pi_7"}, "pi_7"),
        ("charge.dispute.created", {"id": "du_1", "object": "dispute", "payment_intent": "pi_7"}, "pi_7"),
        ("refund.failed", {"id": "re_1", "object": "refund", "payment_intent": "pi_7"}, "pi_7"),
        ("payout.paid", {"id": "po_1", "object": "payout"}, ""),
        ("an.event.of.the.future", {"id": "x_1", "object": "x", "payment_intent": {"id": "pi_7"}}, ""),
    ],
)
def test_an_event_says_where_to_look(webhook: StripeWebhook, kind: str, about: dict[str, Any], ref: str) -> None:
    hint = read(webhook, raw(type=kind, data={"object": about}))
    assert isinstance(hint, Hint)
    assert (hint.kind, hint.ref) == (kind, ref)


@pytest.mark.parametrize("header", [None, "", "t=1", "v1=abc", "t=x,v1=y", "nonsense", "t=1,v1=", "t=,v1=,", "é=1"])
def test_a_header_that_is_no_signature_is_refused(webhook: StripeWebhook, header: str | None) -> None:
    assert webhook.read(raw(), header) == BadWebhook("signature")


@pytest.mark.bad_input(54)
def test_a_strange_secret_and_a_changed_byte_are_refused(webhook: StripeWebhook) -> None:
    assert read(webhook, raw(), STRANGE) == BadWebhook("signature")
    body = raw()
    assert webhook.read(body + b" ", signed(body)) == BadWebhook("signature")
    assert webhook.read(body.replace(b"pi_1", b"pi_2"), signed(body)) == BadWebhook("signature")


@pytest.mark.parametrize(
    ("offset_s", "is_good"),
    [(-TOLERANCE_S, True), (-TOLERANCE_S - 1, False), (TOLERANCE_S, True), (TOLERANCE_S + 1, False)],
)
def test_signatures_of_another_time_are_refused(webhook: StripeWebhook, offset_s: int, *, is_good: bool) -> None:
    answer = webhook.read(raw(), signed(raw(), at_s=NOON_S + offset_s))
    assert isinstance(answer, Hint) if is_good else answer == BadWebhook("too_old")


@pytest.mark.bad_input(54)
def test_a_replayed_webhook_becomes_too_old(webhook: StripeWebhook, clock: VirtualClock) -> None:
    header = signed(raw())
    assert isinstance(webhook.read(raw(), header), Hint)
    clock.advance((TOLERANCE_S + 1) * SECOND_NS)
    assert webhook.read(raw(), header) == BadWebhook("too_old")


@pytest.mark.bad_input(54)
def test_a_megabyte_is_refused_unread(webhook: StripeWebhook) -> None:
    body = b'"' + b"x" * BODY_MAX_BYTES
    assert read(webhook, body) == BadWebhook("too_large")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"1e999",
        b"[" * 100_000,
        raw(object="v2.core.event"),
        raw(id=""),
        raw(id=5),
        raw(type=None),
        raw(created="today"),
        raw(created=True),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(webhook: StripeWebhook, body: bytes) -> None:
    assert read(webhook, body) == BadWebhook("format")


@pytest.mark.parametrize("data", [None, [], {}, {"object": None}, {"object": []}, {"object": {"id": 5}}])
def test_an_event_about_nothing_points_nowhere(webhook: StripeWebhook, data: object) -> None:
    hint = read(webhook, raw(data=data))
    assert isinstance(hint, Hint)
    assert hint.ref == ""


def test_a_body_that_is_no_text_is_refused(webhook: StripeWebhook) -> None:
    assert webhook.read(b"\xff\xfe", signed(b"{}")) == BadWebhook("signature")


@pytest.mark.parametrize("changes", [{"account": "acct_other"}, {"livemode": True}, {"livemode": None}])
@pytest.mark.bad_input(54)
def test_events_of_other_accounts_and_modes_are_refused(webhook: StripeWebhook, changes: dict[str, Any]) -> None:
    assert read(webhook, raw(**changes)) == BadWebhook("account")


def test_a_connected_account_takes_its_own_events_only(clock: VirtualClock) -> None:
    webhook = StripeWebhook([PRESENT], clock, account="acct_1", live=False)
    assert isinstance(read(webhook, raw(account="acct_1")), Hint)
    assert read(webhook, raw()) == BadWebhook("account")


@pytest.mark.parametrize("secrets", [[], [""], [" "], ["a", ""], ["a", "b", "c"]])
def test_secrets_are_one_or_two(clock: VirtualClock, secrets: list[str]) -> None:
    with pytest.raises(WebhookSecretError, match="secrets"):
        StripeWebhook(secrets, clock)
