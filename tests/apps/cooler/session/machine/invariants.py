"""What must hold after every step of a session, whatever happened (reliability reference, section 5)."""

from fleetsight.apps.cooler.session.machine.commands import FreezeDecision, MoveStock, Unlock
from fleetsight.apps.cooler.session.machine.events import Event, PaymentAnswered, UnlockIssued
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import (
    ENDED,
    GRAPH,
    DoorState,
    EvidenceState,
    PaymentState,
    State,
)
from fleetsight.apps.cooler.session.machine.transition import Transition

PENDING = frozenset(
    {
        PaymentState.AUTH_PENDING,
        PaymentState.CAPTURE_PENDING,
        PaymentState.VOID_PENDING,
        PaymentState.REFUND_PENDING,
    }
)
MONEY_STATES = frozenset({State.SETTLED, State.RELEASED, State.OWED, State.REFUNDED, State.WRITTEN_OFF, State.DISPUTED})
UNMOVED = ("id", "tenant_id", "device_id", "shopper_id", "currency", "hold_minor", "price_list_id", "assortment")


def check_step(before: Session, event: Event, step: Transition) -> None:
    """Hold one step against the invariants that need no view of the outside."""
    after = step.session
    assert after.version == before.version + 1
    at = before.state
    for state in step.path:
        assert state is at or state in GRAPH[at], f"{at} -> {state}"
        at = state
    assert at is after.state
    assert all(getattr(before, name) == getattr(after, name) for name in UNMOVED)
    keys = [command.key for command in step.commands]
    assert len(keys) == len(set(keys))
    assert all(key.startswith((after.id, after.run_id or after.id)) for key in keys)
    check_session(after)
    _check_money_moved_by_answers_only(before, event, after)
    _check_decisions(before, step)
    if isinstance(event, UnlockIssued) or State.UNLOCKING in step.path:
        assert before.state is State.AUTHORIZED
        assert before.payment.state is PaymentState.AUTHORIZED
        assert before.payment.held_minor > 0
    if any(isinstance(command, Unlock) for command in step.commands):
        assert after.state is State.AUTHORIZED
    if after.evidence.state is EvidenceState.EXPIRED_DELETED and before.evidence.state is not after.evidence.state:
        assert after.state in ENDED
        assert not after.contest
        assert not after.payment.disputed or after.payment.state is PaymentState.LOST
        assert after.evidence.segments == before.evidence.segments  # the digests stay


def check_session(session: Session) -> None:
    """Hold one session against the invariants of a single moment."""
    payment = session.payment
    kinds = [charge.key.removeprefix(f"{session.id}:").split(":")[0] for charge in payment.charges]
    assert kinds.count("capture") <= 1
    assert kinds.count("extra") <= 1
    assert len({charge.key for charge in payment.charges}) == len(kinds)
    for charge, kind in zip(payment.charges, kinds, strict=True):
        assert charge.amount_minor > 0
        assert 0 <= charge.refunded_minor <= charge.amount_minor
        assert kind != "capture" or charge.amount_minor <= payment.authorized_minor
    assert (payment.pending is not None) == (payment.state in PENDING), (payment.state, payment.pending)
    assert min(payment.held_minor, payment.owed_minor, payment.waived_minor, payment.unreturned_minor) >= 0
    assert bool(payment.owed_minor) == bool(payment.debt_key)
    still = payment.pending is None and session.state in MONEY_STATES
    if still:
        asked = session.total_minor - payment.waived_minor - payment.owed_minor + payment.unreturned_minor
        assert payment.kept_minor == asked, (payment, session.decision)
        assert not payment.held_minor
        assert session.stocked == (session.decision.basket if session.decision else ())
    if session.state is State.OWED and still:
        assert payment.owed_minor > 0
    if session.state is State.SETTLED:
        assert payment.kept_minor > 0
    if session.state in (State.RELEASED, State.DENIED, State.ABORTED):
        assert not payment.charges
        assert payment.state is not PaymentState.AUTHORIZED
    if session.state in (State.CREATED, State.AUTHORIZING, State.AUTHORIZED, State.DENIED):
        assert session.door.state is DoorState.LOCKED
        assert session.door.opened_ns is None
    if session.state not in ENDED and not payment.frozen:
        assert session.deadline_ns is not None, f"{session.state} waits for ever"


def _check_money_moved_by_answers_only(before: Session, event: Event, after: Session) -> None:
    old, new = before.payment, after.payment
    moved = (old.charges, old.held_minor) != (new.charges, new.held_minor)
    assert not moved or isinstance(event, PaymentAnswered)
    if old.pending is not None and (new.pending is None or new.pending.key != old.pending.key):
        gave_up_hold = old.state is PaymentState.AUTH_PENDING and new.state is PaymentState.VOID_PENDING
        assert gave_up_hold or (isinstance(event, PaymentAnswered) and event.key == old.pending.key)


def _check_decisions(before: Session, step: Transition) -> None:
    frozen = [command.decision for command in step.commands if isinstance(command, FreezeDecision)]
    if before.decision != step.session.decision:
        old = before.decision.version if before.decision else 0
        assert step.session.decision is not None
        assert step.session.decision.version == old + 1
        assert frozen == [step.session.decision]
    else:
        assert not frozen
    booked = dict(before.stocked)
    for command in step.commands:
        if isinstance(command, MoveStock):
            for sku, delta in command.deltas:
                booked[sku] = booked.get(sku, 0) - delta
    assert {sku: count for sku, count in booked.items() if count} == dict(step.session.stocked)
