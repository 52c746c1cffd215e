"""What may be asked of a provider, and how far it got. Values only.

An `Operation` is one wish to move money. It is written before the provider is called, in the transaction of the state change that
wants it, under a key that follows from the session; so whoever comes after a crash finds what may have happened.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from fleetsight.billing.provider import Outcome, Unknown
from fleetsight.errors import Error
from fleetsight.money import Money

KEY_CHARACTERS = 200
"""Stripe takes 255 characters as idempotency key, 500 as metadata value."""


class OperationError(Error):
    """A request that no correct program makes: a key that is none, or stands for another request."""

    code = "operation"


class OperationKind(StrEnum):
    """What is asked."""

    HOLD = "hold"
    CHARGE = "charge"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


class OperationState(StrEnum):
    """How far it got."""

    REQUESTED = "requested"
    """Written; the call may have begun when `Operation.attempts` is above zero."""
    UNKNOWN = "unknown"
    """A call was made and nobody knows its effect."""
    DONE = "done"
    FAILED = "failed"
    FROZEN = "frozen"
    """The provider shows something else than we asked for; a person must look."""


OPEN = frozenset({OperationState.REQUESTED, OperationState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Hold:
    """Reserve money before a door opens.

    Attributes:
        key: ``{session}:auth:{n}``.
        tenant_id: whose money it may become.
        session_id: what it is for.
        shopper_id: who buys.
        provider: name of the provider.
        method_id: the shopper's means of payment as the provider names it; the shopper_id for the wallet.
        amount: > 0.
    """

    key: str
    tenant_id: str
    session_id: str
    shopper_id: str
    provider: str
    method_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Charge:
    """Take money without a hold: what a basket costs above its hold, or what is owed.

    Attributes:
        key: ``{session}:extra`` or ``{session}:retry:{n}``.
        tenant_id: whose money it becomes.
        session_id: what it is for.
        shopper_id: who pays.
        provider: name of the provider.
        method_id: as in `Hold`.
        amount: > 0.
        debt_key: key of the `Debt` it pays; empty when it pays none.
    """

    key: str
    tenant_id: str
    session_id: str
    shopper_id: str
    provider: str
    method_id: str
    amount: Money
    debt_key: str = ""


@dataclass(frozen=True, slots=True)
class Capture:
    """Take held money, once; the rest of the hold is released.

    Attributes:
        key: ``{session}:capture:{v}``.
        of: key of the `Hold`.
        amount: > 0, at most the hold.
    """

    key: str
    of: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Void:
    """Give a hold back.

    Attributes:
        key: ``{session}:void``.
        of: key of the `Hold`.
    """

    key: str
    of: str


@dataclass(frozen=True, slots=True)
class Refund:
    """Give taken money back.

    Attributes:
        key: ``{session}:refund:{id}``.
        of: key of the `Capture` or `Charge`.
        amount: > 0, at most what is left of it.
        reason: for people.
    """

    key: str
    of: str
    amount: Money
    reason: str


Request: TypeAlias = Hold | Charge | Capture | Void | Refund


@dataclass(frozen=True, slots=True)
class Debt:
    """What a shopper took and could not be charged for.

    Attributes:
        key: ``{session}:owe:{v}``.
        tenant_id: who is owed.
        session_id: what for.
        shopper_id: who owes.
        amount: > 0.
        reason: for people.
    """

    key: str
    tenant_id: str
    session_id: str
    shopper_id: str
    amount: Money
    reason: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One request and how far it got.

    Attributes:
        key: names it for ever, here and at the provider.
        tenant_id: whose money.
        session_id: what it is for.
        shopper_id: who pays.
        kind: what is asked.
        provider: who is asked.
        method_id: of a hold or charge.
        of_key: the operation it follows; empty for a hold or charge.
        root_key: the hold or charge that made the provider's intent; its own key for these two.
        debt_key: of a charge that pays a debt.
        amount: asked.
        note: for people.
        state: how far it got.
        attempts: calls that were begun.
        provider_ref: the provider's name of the intent (of a refund: of the refund); empty while unknown.
        capture_before_ns: a hold ends by itself at this time.
        outcome: the last one; None before the first.
        created_ns: when it was asked, UTC nanoseconds.
        touched_ns: when it last changed.
    """

    key: str
    tenant_id: str
    session_id: str
    shopper_id: str
    kind: OperationKind
    provider: str
    method_id: str
    of_key: str
    root_key: str
    debt_key: str
    amount: Money
    note: str
    created_ns: int
    touched_ns: int
    state: OperationState = OperationState.REQUESTED
    attempts: int = 0
    provider_ref: str = ""
    capture_before_ns: int | None = None
    outcome: Outcome | None = None

    @property
    def is_open(self) -> bool:
        """Whether its end is not known yet."""
        return self.state in OPEN

    @property
    def end(self) -> Outcome | None:
        """How it ended; None while it is open."""
        return None if self.is_open or isinstance(self.outcome, Unknown) else self.outcome

    def asks_the_same(self, other: "Operation") -> bool:
        """Whether two operations are one request.

        Args:
            other: any, however far it got.
        Returns:
            True when everything that was asked is equal.
        """
        return self._asked() == other._asked()

    def _asked(self) -> tuple[object, ...]:
        who = (self.key, self.tenant_id, self.session_id, self.shopper_id)
        return (*who, self.kind, self.provider, self.method_id, self.of_key, self.debt_key, self.amount)


@dataclass(frozen=True, slots=True)
class Planned:
    """The request is written and may be performed.

    Attributes:
        key: of the operation.
        outcome: how it ended, when no call is needed any more; else None.
    """

    key: str
    outcome: Outcome | None = None


def asked(request: Hold | Charge, *, now_ns: int) -> Operation:
    """The operation of a request that makes a new intent.

    Args:
        request: what is asked.
        now_ns: now.
    Returns:
        the operation, not begun.
    """
    return Operation(
        key=request.key,
        tenant_id=request.tenant_id,
        session_id=request.session_id,
        shopper_id=request.shopper_id,
        kind=OperationKind.HOLD if isinstance(request, Hold) else OperationKind.CHARGE,
        provider=request.provider,
        method_id=request.method_id,
        of_key="",
        root_key=request.key,
        debt_key=request.debt_key if isinstance(request, Charge) else "",
        amount=request.amount,
        note="",
        created_ns=now_ns,
        touched_ns=now_ns,
    )


def following(request: Capture | Void | Refund, of: Operation, *, now_ns: int) -> Operation:
    """The operation of a request about an intent that was asked for before.

    Args:
        request: what is asked.
        of: the operation it follows.
        now_ns: now.
    Returns:
        the operation, not begun.
    """
    kinds = {Capture: OperationKind.CAPTURE, Void: OperationKind.VOID, Refund: OperationKind.REFUND}
    return Operation(
        key=request.key,
        tenant_id=of.tenant_id,
        session_id=of.session_id,
        shopper_id=of.shopper_id,
        kind=kinds[type(request)],
        provider=of.provider,
        method_id=of.method_id,
        of_key=of.key,
        root_key=of.root_key,
        debt_key="",
        amount=of.amount if isinstance(request, Void) else request.amount,
        note=request.reason if isinstance(request, Refund) else "",
        created_ns=now_ns,
        touched_ns=now_ns,
    )
