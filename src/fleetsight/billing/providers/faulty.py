"""A provider that fails in every way we know, before a bank whose truth is known. For tests and the chaos command."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fleetsight.billing.provider import (
    Authorize,
    Authorized,
    Capabilities,
    Captured,
    Declined,
    Intent,
    IntentRefund,
    Lookup,
    ProviderUnavailableError,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from fleetsight.billing.providers.bank import Bank, No
from fleetsight.billing.providers.desk import (
    BROKEN,
    CONFLICT,
    DECLINED,
    KEY_KEPT_S,
    OK,
    REFUSED,
    Desk,
    Faults,
    Reply,
    no_faults,
)
from fleetsight.money import Money

NAME = "faulty"
_LOST = Unknown("the connection was cut")
_RELEASED = frozenset({"hold_voided", "hold_expired"})


class FaultyProvider:
    """One front of a bank.

    Args:
        bank: the money; several processes may share its file.
        faults: what goes wrong.
        key_kept_s: a key is forgotten after this.
        wait: lets time pass, given seconds.
    """

    name = NAME

    def __init__(
        self,
        bank: Bank,
        *,
        faults: Faults = no_faults,
        key_kept_s: int = KEY_KEPT_S,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.bank = bank
        self._desk = Desk(bank, faults=faults, wait=wait, key_kept_s=key_kept_s)

    def capabilities(self) -> Capabilities:
        return Capabilities(key_kept_s=self._desk.key_kept_s, hold_s=self.bank.hold_s, webhooks=True, disputes=True)

    def authorize(self, request: Authorize) -> Authorized | Captured | Declined | Refused | Unknown:
        if request.amount.minor <= 0:
            return Refused("zero")
        who = {"tenant_id": request.tenant_id, "session_id": request.session_id, "method_id": request.method_id}
        question = {**who, "amount": str(request.amount), "capture": request.capture}

        def effect() -> Reply:
            return _reply(self.bank.authorize(request.key, who=who, amount=request.amount, capture=request.capture))

        reply = self._desk.write("authorize", request.key, question=question, effect=effect)
        if reply is not None and reply.status == OK:
            body = reply.body
            if request.capture:
                return Captured(body["ref"], request.amount)
            return Authorized(body["ref"], request.amount, body["capture_before_ns"])
        return _failure(reply)

    def capture(self, ref: str, amount: Money, *, key: str) -> Captured | Refused | Unknown:
        question = {"ref": ref, "amount": str(amount)}
        reply = self._desk.write(
            "capture", key, question=question, effect=lambda: _reply(self.bank.capture(ref, amount))
        )
        if reply is not None and reply.status == OK:
            return Captured(ref, amount)
        return _no_decline(_failure(reply))

    def void(self, ref: str, *, key: str) -> Voided | Refused | Unknown:
        reply = self._desk.write("void", key, question={"ref": ref}, effect=lambda: _reply(self.bank.void(ref)))
        if reply is not None and (reply.status == OK or reply.body.get("code") in _RELEASED):
            return Voided()
        return _no_decline(_failure(reply))

    def refund(self, ref: str, amount: Money, *, key: str) -> Refunded | Refused | Unknown:
        question = {"ref": ref, "amount": str(amount)}
        reply = self._desk.write(
            "refund", key, question=question, effect=lambda: _reply(self.bank.refund(ref, amount, key=key))
        )
        if reply is not None and reply.status == OK:
            return Refunded(reply.body["ref"], amount)
        return _no_decline(_failure(reply))

    def get(self, lookup: Lookup) -> Intent | Unknown | None:
        if not self._desk.reads(lookup.ref or lookup.key):
            return _LOST
        if lookup.ref:
            return self.bank.intent(lookup.ref)
        found = self.bank.intents("key = ?", lookup.key)
        return next((intent for intent in found if intent.tenant_id == lookup.tenant_id), None)

    def list_since(self, at_ns: int) -> Iterator[Intent]:
        if not self._desk.reads("list"):
            raise ProviderUnavailableError("the connection was cut", hint="try again")
        yield from self.bank.intents("created_ns >= ?", at_ns)


def _reply(answer: Intent | IntentRefund | No) -> Reply:
    if isinstance(answer, No):
        return Reply(DECLINED if answer.declined else REFUSED, {"code": answer.code})
    body: Mapping[str, Any] = {"ref": answer.ref}
    if isinstance(answer, Intent):
        body = {**body, "capture_before_ns": answer.capture_before_ns}
    return Reply(OK, dict(body))


def _failure(reply: Reply | None) -> Declined | Refused | Unknown:
    if reply is None:
        return _LOST
    code = str(reply.body.get("code"))
    if reply.status == DECLINED:
        return Declined(code)
    if reply.status == REFUSED:
        return Refused(code)
    return Unknown({CONFLICT: "another request with the key is at work", BROKEN: "error of the provider"}[reply.status])


def _no_decline(failure: Declined | Refused | Unknown) -> Refused | Unknown:
    return Refused(failure.reason) if isinstance(failure, Declined) else failure
