"""What the provider's object says about an operation of ours. Pure.

After a crash or silence nobody knows whether a call had its effect. The provider's object does: it is read, and compared with what
was asked. Three things can come of it: the effect is there (an outcome), the effect is not there (None: the same request may be
sent again, under the same key), or it cannot be told yet (`Unknown`).
"""

from fleetsight.billing.operations import Operation, OperationKind
from fleetsight.billing.provider import (
    Authorized,
    Captured,
    Declined,
    DisputeState,
    Intent,
    IntentState,
    Mismatch,
    Outcome,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from fleetsight.clock import SECOND_NS

SEND_WITHIN_NS = 30 * SECOND_NS
"""A call that was begun earlier is not sent any more: its process stood still meanwhile, and others may have gone on."""
QUIET_NS = 60 * SECOND_NS
"""A call that was begun this long ago is not on its way any more: `SEND_WITHIN_NS` and the 20 s that we wait for an answer."""
KEY_SAFE_NS = 23 * 3600 * SECOND_NS
"""A key may be forgotten after 24 h (Stripe): past this age nothing is sent before reading."""
REFUND_MAX_NS = 180 * 24 * 3600 * SECOND_NS
"""Card networks carry refunds for about this long; later ones are paid in another way."""
_RELEASED = frozenset({IntentState.VOIDED, IntentState.EXPIRED, IntentState.DECLINED})


def judge(operation: Operation, root: Operation, *, intent: Intent | None, now_ns: int) -> Outcome | None:
    """Compare an operation with what the provider shows.

    Args:
        operation: ours; a call may have been made.
        root: the hold or charge that asked for the intent; the operation itself when it is one.
        intent: as read a moment ago; None when the provider is sure that there is none.
        now_ns: now.
    Returns:
        the outcome; None when the effect is not there and the request may be sent again under its key.
    """
    if intent is None:
        return _absent(operation, root, now_ns=now_ns)
    if operation.kind is OperationKind.VOID:
        return _void(intent)  # whatever its amount: nothing shall be held
    if intent.authorized != root.amount:
        return Mismatch(f"{root.kind} of {root.amount}", f"{intent.state} of {intent.authorized} ({intent.ref})")
    if operation.kind is OperationKind.HOLD:
        return _hold(intent)
    if operation.kind is OperationKind.REFUND:
        return _refund(operation, intent)
    return _taken(operation, intent)


def _absent(operation: Operation, root: Operation, *, now_ns: int) -> Outcome | None:
    if operation.kind in (OperationKind.HOLD, OperationKind.CHARGE):
        too_late = now_ns - operation.created_ns > KEY_SAFE_NS
        return Declined("too_late") if too_late else None
    if operation.kind is OperationKind.VOID and not root.provider_ref:
        on_its_way = root.attempts > 0 and now_ns - root.touched_ns < QUIET_NS
        return Unknown("the hold may still be on its way") if on_its_way else Voided()
    return Mismatch(f"an intent for {root.key}", "none")


def _hold(intent: Intent) -> Outcome:
    if intent.state in (IntentState.HELD, IntentState.CAPTURED):
        return Authorized(intent.ref, intent.authorized, intent.capture_before_ns)
    if intent.state is IntentState.PENDING:
        return Unknown("the provider is at work")
    return Declined(intent.reason or str(intent.state))


def _taken(operation: Operation, intent: Intent) -> Outcome | None:
    """Judge a capture or a charge."""
    if intent.state is IntentState.CAPTURED:
        if intent.captured == operation.amount:
            return Captured(intent.ref, intent.captured)
        return Mismatch(f"{operation.kind} of {operation.amount}", f"captured {intent.captured} ({intent.ref})")
    if intent.state is IntentState.PENDING:
        return Unknown("the provider is at work")
    if operation.kind is OperationKind.CHARGE:
        if intent.state is IntentState.HELD:
            return Mismatch(f"{operation.kind} of {operation.amount}", f"held, not captured ({intent.ref})")
        return Declined(intent.reason or str(intent.state))
    if intent.state is IntentState.HELD:
        return None
    return Refused("hold_expired" if intent.state is IntentState.EXPIRED else "hold_voided")


def _void(intent: Intent) -> Outcome | None:
    if intent.state in _RELEASED:
        return Voided()
    return Refused("already_captured") if intent.state is IntentState.CAPTURED else None


def _refund(operation: Operation, intent: Intent) -> Outcome | None:
    for refund in intent.refunds:
        if refund.key == operation.key:
            if refund.failed:
                return Refused("refund_failed")
            if refund.amount != operation.amount:
                return Mismatch(f"refund of {operation.amount}", f"refunded {refund.amount} ({refund.ref})")
            return Refunded(refund.ref, refund.amount)
    if intent.dispute in (DisputeState.OPEN, DisputeState.LOST):
        return Refused("disputed")
    left = intent.captured.minor - intent.refunded.minor
    return Refused("above_captured") if operation.amount.minor > left else None
