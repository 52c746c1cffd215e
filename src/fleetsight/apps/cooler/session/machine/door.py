"""The door of a session: what a device event means for it, and for the session.

A device counts its events within one boot and the fleet hands them on in that order, each once; still nothing here relies on it.
"""

from fleetsight.apps.cooler.session.machine import evidence, payment, reviewing
from fleetsight.apps.cooler.session.machine.events import (
    CameraChanged,
    DoorClosed,
    DoorForced,
    DoorLocked,
    DoorOpened,
    IntrusionSeen,
    UnlockAcknowledged,
    UnlockIssued,
)
from fleetsight.apps.cooler.session.machine.limits import span_ns
from fleetsight.apps.cooler.session.machine.states import UNDECIDED, DoorState, Flag, ReviewReason, State
from fleetsight.apps.cooler.session.machine.transition import Draft, Refusal, Refused

_UNEXPECTED = Refused(Refusal.NOT_NOW, "the session does not expect this of its door")


def unlock_issued(draft: Draft, event: UnlockIssued) -> Refused | None:
    """The command was signed: only a session with a hold may have one."""
    if draft.session.state is not State.AUTHORIZED or not draft.session.payment.held_minor:
        return Refused(Refusal.NOT_NOW, f"an unlock needs a hold; the session is {draft.session.state}")
    if event.expires_ns > draft.after(draft.limits.acknowledge_s):
        return Refused(Refusal.LIMIT, f"an unlock command lives at most {draft.limits.acknowledge_s} s")
    draft.door(state=DoorState.UNLOCK_SENT)
    draft.enter(State.UNLOCKING, due_ns=draft.after(draft.limits.acknowledge_s))
    return None


def acknowledged(draft: Draft, event: UnlockAcknowledged) -> Refused | None:
    """The device unlocked or refused."""
    state = draft.session.state
    if state is State.ABORTED and draft.session.door.state is DoorState.UNKNOWN and event.unlocked:
        draft.door(boot_id=event.boot_id)  # too late: it locks again by itself, or opens and comes back as a review
        draft.change(due_ns=draft.after(draft.limits.door_check_s))
        return None
    if state is not State.UNLOCKING:
        return Refused(Refusal.NOT_NOW, f"no unlock is under way; the session is {state}")
    draft.door(boot_id=event.boot_id)
    if event.unlocked:
        draft.door(state=DoorState.UNLOCKED)
        draft.enter(State.OPEN, due_ns=draft.after(draft.limits.never_opened_s))
    else:
        abort(draft, "refused", door=DoorState.LOCKED)
    return None


def opened(draft: Draft, event: DoorOpened | DoorForced) -> Refused | None:
    """The leaf left the frame."""
    state, door = draft.session.state, draft.session.door
    if state not in UNDECIDED and state not in (State.UNLOCKING, State.ABORTED):
        return _UNEXPECTED
    if isinstance(event, DoorForced):
        draft.flag(Flag.FORCED)
        draft.tell("operator", "forced")
    _same_boot(draft, event.boot_id)
    draft.door(ajar=True, opened_ns=door.opened_ns if door.opened_ns is not None else draft.now_ns)
    if state in (State.UNLOCKING, State.OPEN):
        if door.state is not DoorState.HELD_OPEN:
            draft.door(state=DoorState.OPEN)
        if state is State.UNLOCKING:  # the acknowledgement was lost or is late
            draft.enter(State.OPEN, due_ns=None)
        draft.change(due_ns=open_due_ns(draft))
    elif state is State.ABORTED:
        draft.door(state=DoorState.OPEN)
        reopen(draft)
    else:
        draft.flag(Flag.REOPENED)
        draft.door(state=DoorState.OPEN)
    if isinstance(event, DoorForced):
        draft.door(state=DoorState.FORCED)
    return None


def closed(draft: Draft, event: DoorClosed) -> Refused | None:
    """The leaf is back in the frame; only the lock ends the visit."""
    if draft.session.state not in UNDECIDED and draft.session.state is not State.UNLOCKING:
        return _shut_at_last(draft)
    _same_boot(draft, event.boot_id)
    if draft.session.door.opened_ns is None:
        draft.flag(Flag.SENSORS_DISAGREE)
    draft.door(ajar=False)
    return None


def locked(draft: Draft, event: DoorLocked) -> Refused | None:
    """The lock caught."""
    state, door = draft.session.state, draft.session.door
    if state is State.ABORTED and door.state in (DoorState.UNKNOWN, DoorState.NEVER_OPENED):
        draft.door(state=DoorState.LOCKED)
        draft.change(due_ns=None)
        return None
    if state not in UNDECIDED and state is not State.UNLOCKING:
        return _shut_at_last(draft)
    _same_boot(draft, event.boot_id)
    if door.opened_ns is None:
        if state in (State.UNLOCKING, State.OPEN):
            abort(draft, "never_opened", door=DoorState.LOCKED)
        else:
            draft.door(state=DoorState.LOCKED)
        return None
    if door.ajar:
        draft.flag(Flag.SENSORS_DISAGREE)
    draft.door(state=DoorState.CLOSED_LOCKED, ajar=False, closed_ns=draft.now_ns)
    if state is State.OPEN:
        draft.enter(State.CLOSED, due_ns=draft.after(draft.limits.manifest_s))
        evidence.proceed(draft)
    return None


def camera_changed(draft: Draft, event: CameraChanged) -> Refused | None:
    """A camera fell silent while the session had the door."""
    if draft.session.state not in (State.UNLOCKING, State.OPEN):
        return _UNEXPECTED
    if not event.alive:
        draft.flag(Flag.CAMERA_DEAD)
        draft.tell("operator", "camera_dead")
    return None


def intrusion_seen(draft: Draft, _event: IntrusionSeen) -> Refused | None:
    """The device says that its door opened for nobody while this session has it: its sensors cannot be believed."""
    if draft.session.state not in UNDECIDED and draft.session.state is not State.UNLOCKING:
        return _UNEXPECTED
    draft.flag(Flag.SENSORS_DISAGREE)
    draft.tell("operator", "intrusion")
    return None


def abort(draft: Draft, outcome: str, *, door: DoorState) -> None:
    """End a session whose door never opened, and let its hold go."""
    draft.door(state=door)
    unsure = door in (DoorState.UNKNOWN, DoorState.NEVER_OPENED)
    draft.enter(State.ABORTED, due_ns=draft.after(draft.limits.door_check_s) if unsure else None, outcome=outcome)
    payment.let_go(draft)


def reopen(draft: Draft) -> None:
    """An aborted session whose door opened after all, or that left video: a person decides."""
    draft.flag(Flag.SENSORS_DISAGREE)
    reviewing.to_review(draft, ReviewReason.LATE)


def open_due_ns(draft: Draft) -> int:
    """When the next thing is due while the door stands open: a reminder, an alert, a review."""
    limits, alerts = draft.limits, draft.session.alerts
    if "close_door" not in alerts:
        wait_s = limits.nag_s
    elif "held_open" not in alerts:
        wait_s = limits.held_open_s
    else:
        wait_s = limits.open_max_s
    opened_ns = draft.session.door.opened_ns
    return (draft.now_ns if opened_ns is None else opened_ns) + span_ns(wait_s)


def overdue(draft: Draft) -> None:
    """The door is open, or was unlocked, for too long."""
    if draft.session.door.opened_ns is None:
        abort(draft, "never_opened", door=DoorState.NEVER_OPENED)
    elif "close_door" not in draft.session.alerts:
        draft.tell("shopper", "close_door")
        draft.change(due_ns=open_due_ns(draft))
    elif "held_open" not in draft.session.alerts:
        draft.flag(Flag.HELD_OPEN)
        draft.door(state=DoorState.HELD_OPEN)
        draft.tell("operator", "held_open")
        draft.change(due_ns=open_due_ns(draft))
    else:
        reviewing.to_review(draft, ReviewReason.HELD_OPEN)


def _shut_at_last(draft: Draft) -> Refused | None:
    """The door of a session that was decided without waiting for it: nothing follows, but the device may be used again."""
    if not draft.session.door.ajar:
        return _UNEXPECTED
    draft.door(ajar=False)
    return None


def _same_boot(draft: Draft, boot_id: str) -> None:
    known = draft.session.door.boot_id
    if known and boot_id != known:
        draft.flag(Flag.REBOOTED)
    elif not known:
        draft.door(boot_id=boot_id)
