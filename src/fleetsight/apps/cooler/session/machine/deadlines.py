"""What is due when nobody did anything: one rule for each state that has a deadline, and one for payment calls."""

from collections.abc import Callable, Mapping

from fleetsight.apps.cooler.session.machine import analysis, deciding, door, evidence, payment
from fleetsight.apps.cooler.session.machine.commands import DeleteVideo
from fleetsight.apps.cooler.session.machine.events import DeadlinePassed, SettlementStarted
from fleetsight.apps.cooler.session.machine.limits import DAY_S
from fleetsight.apps.cooler.session.machine.states import ENDED, DoorState, EvidenceState, PaymentState, State
from fleetsight.apps.cooler.session.machine.transition import Draft, Refusal, Refused


def passed(draft: Draft, event: DeadlinePassed) -> Refused | None:
    """Do what is due; nothing when nothing is."""
    due_ns, pending = draft.session.due_ns, draft.session.payment.pending
    if due_ns is not None and due_ns <= draft.now_ns:
        _state_overdue(draft, event)
        return None
    if pending is not None and pending.due_ns is not None and pending.due_ns <= draft.now_ns:
        payment.ask(draft)
        return None
    return Refused(Refusal.NOTHING_DUE, "no deadline has passed")


def _state_overdue(draft: Draft, event: DeadlinePassed) -> None:
    state = draft.session.state
    if state in ENDED:
        _after_the_end(draft)
    elif state is State.WAITING_EVIDENCE:
        evidence.overdue(draft, online=event.online)
    else:
        _RULES[state](draft)


def _settle(draft: Draft) -> None:
    """Nobody began to settle: begin."""
    version = draft.session.decision.version if draft.session.decision else 0
    deciding.settlement_started(draft, SettlementStarted(version))


def _after_the_end(draft: Draft) -> None:
    """A door that was in doubt is taken for locked; video past its time is given up, unless somebody argues about it."""
    session = draft.session
    draft.change(due_ns=None)
    if session.state is State.ABORTED and session.door.state in (DoorState.UNKNOWN, DoorState.NEVER_OPENED):
        draft.door(state=DoorState.LOCKED)
        return
    argued = session.contest or (session.payment.disputed and session.payment.state is not PaymentState.LOST)
    if argued:
        draft.change(due_ns=draft.after(DAY_S))
    elif session.evidence.segments and session.evidence.state is not EvidenceState.EXPIRED_DELETED:
        draft.evidence(state=EvidenceState.EXPIRED_DELETED, deleted_ns=draft.now_ns)
        draft.commands.append(DeleteVideo(f"{session.id}:delete"))


def _denied(draft: Draft) -> None:
    draft.enter(State.DENIED, due_ns=None, outcome="no_answer")
    payment.let_go(draft)


def _not_acknowledged(draft: Draft) -> None:
    door.abort(draft, "no_acknowledgement", door=DoorState.UNKNOWN)
    draft.tell("operator", "door_check")


_RULES: Mapping[State, Callable[[Draft], None]] = {
    State.CREATED: lambda draft: door.abort(draft, "hold_never_asked", door=DoorState.LOCKED),
    State.AUTHORIZING: _denied,
    State.AUTHORIZED: lambda draft: door.abort(draft, "late_unlock", door=DoorState.LOCKED),
    State.UNLOCKING: _not_acknowledged,
    State.OPEN: door.overdue,
    State.CLOSED: evidence.wait,
    State.ANALYZING: analysis.overdue,
    State.REVIEW: deciding.review_overdue,
    State.DECIDED: _settle,
    State.OWED: lambda draft: payment.collect(draft, scheduled=True),
}
