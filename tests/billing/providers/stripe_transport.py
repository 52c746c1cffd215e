"""Stripe's API without a network: an HTTP client for Stripe's own library that answers from the made-up bank.

Paths, parameters, headers, error bodies and pages follow docs.stripe.com/api for version 2026-10-28.endive; parameters that this
version does not take are refused as Stripe refuses them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import stripe

from fleetsight.billing.provider import DisputeState, Intent, IntentRefund, IntentState
from fleetsight.billing.providers.bank import Bank, No
from fleetsight.billing.providers.desk import DECLINED, OK, REFUSED, Desk, Fault, Faults, Reply, Visit, no_faults
from fleetsight.billing.providers.stripe_objects import KEY, SESSION, TENANT, amount_of, money_of
from fleetsight.clock import SECOND_NS

API_KEY = "sk_test_of_nobody"
PAGE = 3
"""Fewer than anyone asks for, so that reading every page is needed."""
METHODS = {
    "pm_card_visa": "card",
    "pm_card_chargeDeclined": "card_declined",
    "pm_card_chargeDeclinedInsufficientFunds": "card_insufficient",
    "pm_card_chargeDeclinedExpiredCard": "card_expired",
}
CREATES = frozenset(
    [
        "amount",
        "currency",
        "customer",
        "payment_method",
        "allowed_payment_method_types",
        "capture_method",
        "confirm",
        "off_session",
        "metadata",
        "expand",
    ]
)
STATUS = {
    IntentState.HELD: "requires_capture",
    IntentState.CAPTURED: "succeeded",
    IntentState.VOIDED: "canceled",
    IntentState.EXPIRED: "canceled",
    IntentState.DECLINED: "requires_payment_method",
    IntentState.PENDING: "processing",
}
Parameters = Mapping[str, str]
Answer = tuple[str, int, Mapping[str, str]]


class StripeTransport(stripe.HTTPClient):
    """In the place of the network."""

    name: ClassVar[str] = "nowhere"

    def __init__(self, bank: Bank, *, faults: Faults = no_faults) -> None:
        super().__init__()
        self.bank = bank
        self.asked: list[tuple[str, str, str | None]] = []
        self.disputes: dict[str, str] = {}
        """Status of a dispute, where it is another than the bank's."""
        self.faults = faults
        """What goes wrong; may be changed at any time."""
        self._desk = Desk(bank, faults=self._fault, wait=lambda _: None)
        self._customers: dict[str, tuple[str, str]] = {}

    def _fault(self, visit: Visit) -> Fault | None:
        return self.faults(visit)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: object
    ) -> Answer:
        parts = urlsplit(url)
        key = (headers or {}).get("Idempotency-Key")
        self.asked.append((method, parts.path, key))
        if (headers or {}).get("Authorization") != f"Bearer {API_KEY}":
            return answer(401, error("invalid_request_error", "api_key_invalid"))
        given = dict(parse_qsl(parts.query if method == "get" else post_data or "", keep_blank_values=True))
        path = [part for part in parts.path.split("/") if part][1:]
        if method == "get":
            if not self._desk.reads("/".join(path)):
                raise cut()
            return self._read(path, given)
        assert key is not None, "every write names its key"
        reply = self._desk.write(
            _kind(path), key, question={"path": path, **given}, effect=lambda: self._written(path, given, key)
        )
        if reply is None:
            raise cut()
        if reply.body.get("code") == "key_reused":
            return answer(400, error("idempotency_error", ""))
        if "error" not in reply.body and "code" in reply.body:
            return answer(reply.status, error("api_error", reply.body["code"]))
        return answer(reply.status, reply.body)

    def _written(self, path: Sequence[str], given: Parameters, key: str) -> Reply:
        try:
            return self._write(path, given, key)
        except KeyError as missing:
            return Reply(REFUSED, error("invalid_request_error", "parameter_missing", param=str(missing)))

    def _write(self, path: Sequence[str], given: Parameters, key: str) -> Reply:
        if path == ["payment_intents"]:
            return self._create(given)
        if path == ["refunds"]:
            ref, paid = given["payment_intent"], self.bank.intent(given["payment_intent"])
            unit = paid.authorized.currency if paid else "USD"
            refund = self.bank.refund(ref, money_of(int(given["amount"]), unit), key=given[f"metadata[{KEY}]"])
            return self._refused(refund, paid) if isinstance(refund, No) else Reply(OK, refund_json(refund, ref))
        (_, ref, verb) = path
        before = self.bank.intent(ref)
        if verb == "cancel":
            done = self.bank.void(ref)
        else:
            unit = before.authorized.currency if before else "USD"
            done = self.bank.capture(ref, money_of(int(given["amount_to_capture"]), unit))
        return self._refused(done, before) if isinstance(done, No) else Reply(OK, self._json(done, given))

    def _create(self, given: Parameters) -> Reply:
        for name in given:
            if name == "payment_method_types[0]":
                return Reply(REFUSED, error("invalid_request_error", "payment_method_types_no_longer_supported"))
            if name.partition("[")[0] not in CREATES:
                return Reply(REFUSED, error("invalid_request_error", "parameter_unknown", param=name))
        amount = money_of(int(given["amount"]), given["currency"])
        if int(given["amount"]) < 50 and given["currency"] in ("usd", "eur") and given["customer"] == "cus_minimum":
            return Reply(REFUSED, error("invalid_request_error", "amount_too_small"))
        assert (given["confirm"], given["off_session"]) == ("true", "true")
        who = {
            "tenant_id": given[f"metadata[{TENANT}]"],
            "session_id": given[f"metadata[{SESSION}]"],
            "method_id": METHODS[given["payment_method"]],
        }
        capture = given["capture_method"] == "automatic"
        made = self.bank.authorize(given[f"metadata[{KEY}]"], who=who, amount=amount, capture=capture)
        newest = self.bank.intents()[-1]
        self._customers[newest.ref] = (given["customer"], given["payment_method"])
        if isinstance(made, No):
            code = "expired_card" if made.code == "expired_card" else "card_declined"
            shown = self._json(newest, given)
            return Reply(DECLINED, error("card_error", code, decline_code=made.code, payment_intent=shown))
        return Reply(OK, self._json(made, given))

    def _refused(self, no: No, intent: Intent | None) -> Reply:
        if no.code == "missing":
            return Reply(REFUSED, error("invalid_request_error", "resource_missing", param="intent"))
        if no.code == "disputed":
            return Reply(REFUSED, error("invalid_request_error", "charge_disputed"))
        if no.code == "above_captured" and intent and intent.refunded == intent.captured:
            return Reply(REFUSED, error("invalid_request_error", "charge_already_refunded"))
        if no.code in ("above_hold", "above_captured"):
            return Reply(REFUSED, error("invalid_request_error", "amount_too_large"))
        assert intent is not None
        shown = self._json(intent, {})
        return Reply(REFUSED, error("invalid_request_error", "payment_intent_unexpected_state", payment_intent=shown))

    def _read(self, path: Sequence[str], given: Parameters) -> Answer:
        if path == ["payment_intents"]:
            since_ns = int(given.get("created[gte]", "0")) * SECOND_NS
            found = self.bank.intents("created_ns >= ? ORDER BY ref DESC --", since_ns)
            mine = [i for i in found if given.get("customer") in (None, self._customers[i.ref][0])]
            return answer(200, page("/v1/payment_intents", [self._json(i, given) for i in mine], given))
        if path[0] == "payment_intents":
            intent = self.bank.intent(path[1])
            if intent is None:
                return answer(404, error("invalid_request_error", "resource_missing", param="intent"))
            return answer(200, self._json(intent, given))
        intent = self.bank.intent(given["payment_intent"])
        assert intent is not None
        if path == ["refunds"]:
            shown = [refund_json(refund, intent.ref) for refund in reversed(intent.refunds)]
            return answer(200, page("/v1/refunds", shown, given))
        return answer(200, page("/v1/disputes", [self._dispute_json(intent)] if intent.dispute else [], given))

    def _dispute_json(self, intent: Intent) -> dict[str, Any]:
        assert intent.disputed is not None
        statuses = {DisputeState.OPEN: "needs_response", DisputeState.WON: "won", DisputeState.LOST: "lost"}
        return {
            "id": f"du_{intent.ref}",
            "object": "dispute",
            "amount": amount_of(intent.disputed),
            "currency": intent.disputed.currency.lower(),
            "created": intent.created_ns // SECOND_NS,
            "payment_intent": intent.ref,
            "reason": "product_not_received",
            "status": self.disputes.get(intent.ref) or statuses[intent.dispute or DisputeState.OPEN],
        }

    def _json(self, intent: Intent, given: Parameters) -> dict[str, Any]:
        expanded = any(value in ("latest_charge", "data.latest_charge") for value in given.values())
        customer, method = self._customers.get(intent.ref, ("cus_1", "pm_card_visa"))
        unit = intent.authorized.currency.lower()
        charge: dict[str, Any] = {
            "id": f"ch_{intent.ref}",
            "object": "charge",
            "amount": amount_of(intent.authorized),
            "amount_captured": amount_of(intent.captured),
            "amount_refunded": amount_of(intent.refunded),
            "captured": intent.state is IntentState.CAPTURED,
            "currency": unit,
            "disputed": intent.dispute is not None,
            "payment_method_details": {"type": "card", "card": {"brand": "visa", "last4": "4242"}},
        }
        if intent.capture_before_ns is not None:
            charge["payment_method_details"]["card"]["capture_before"] = intent.capture_before_ns // SECOND_NS
        failed = intent.state is IntentState.DECLINED
        return {
            "id": intent.ref,
            "object": "payment_intent",
            "amount": amount_of(intent.authorized),
            "amount_capturable": amount_of(intent.authorized) if intent.state is IntentState.HELD else 0,
            "amount_received": amount_of(intent.captured),
            "canceled_at": None,
            "cancellation_reason": "automatic" if intent.state is IntentState.EXPIRED else None,
            "capture_method": "automatic" if intent.capture_before_ns is None else "manual",
            "created": intent.created_ns // SECOND_NS,
            "currency": unit,
            "customer": customer,
            "last_payment_error": {"code": "card_declined", "decline_code": intent.reason} if failed else None,
            "latest_charge": charge if expanded else charge["id"],
            "livemode": False,
            "metadata": {KEY: intent.key, TENANT: intent.tenant_id, SESSION: intent.session_id},
            "payment_method": method,
            "payment_method_types": ["card"],
            "status": STATUS[intent.state],
        }


def cut() -> Exception:
    return stripe.APIConnectionError("the connection was cut")  # type: ignore[no-untyped-call]


def refund_json(refund: IntentRefund, ref: str) -> dict[str, Any]:
    return {
        "id": refund.ref,
        "object": "refund",
        "amount": amount_of(refund.amount),
        "currency": refund.amount.currency.lower(),
        "payment_intent": ref,
        "metadata": {KEY: refund.key} if refund.key else {},
        "status": "failed" if refund.failed else "succeeded",
    }


def page(url: str, objects: list[dict[str, Any]], given: Parameters) -> dict[str, Any]:
    ids = [found["id"] for found in objects]
    start = ids.index(given["starting_after"]) + 1 if "starting_after" in given else 0
    shown = objects[start : start + min(PAGE, int(given.get("limit", "10")))]
    return {"object": "list", "url": url, "has_more": start + len(shown) < len(objects), "data": shown}


def error(kind: str, code: str, **more: Any) -> dict[str, Any]:
    told = {"type": kind, "code": code, "message": f"nowhere: {code or kind}", **more}
    return {"error": {name: value for name, value in told.items() if value != ""}}


def answer(status: int, body: Mapping[str, Any]) -> Answer:
    return json.dumps(body), status, {"request-id": "req_nowhere", "content-type": "application/json"}


def _kind(path: Sequence[str]) -> str:
    if path == ["payment_intents"]:
        return "authorize"
    return "refund" if path == ["refunds"] else {"cancel": "void"}.get(path[-1], path[-1])
