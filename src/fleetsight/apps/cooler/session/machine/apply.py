"""The machine: one event, one moment, one session in; one step or a refusal out.

    apply(session, event, now_ns=…) -> Transition(session, commands, path) | Refused(code, reason)

Each kind of event has one rule, in `door`, `evidence`, `analysis`, `deciding`, `corrections` or `payment`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fleetsight.apps.cooler.session.machine import (
    analysis,
    corrections,
    deadlines,
    deciding,
    door,
    events,
    evidence,
    payment,
)
from fleetsight.apps.cooler.session.machine.events import AuthorizationRequested, Event
from fleetsight.apps.cooler.session.machine.limits import DEFAULT_LIMITS, Limits
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.machine.transition import Draft, Refusal, Refused, Transition

Rule = Callable[[Draft, Any], Refused | None]


def apply(session: Session, event: Event, *, now_ns: int, limits: Limits = DEFAULT_LIMITS) -> Transition | Refused:
    """Take one step.

    Args:
        session: before.
        event: what happened.
        now_ns: server time, UTC nanoseconds.
        limits: timeouts and sizes.
    Returns:
        The session afterwards with what is wanted done, or why nothing changes.
    """
    draft = Draft(session, now_ns, limits)
    return RULES[type(event)](draft, event) or draft.result()


def begin(session: Session, *, now_ns: int, limits: Limits = DEFAULT_LIMITS) -> Session:
    """A new session, as it stands before its first event.

    Args:
        session: what is known about it.
        now_ns: server time.
        limits: timeouts.
    Returns:
        The session in state CREATED, version 0, with its deadline.
    """
    draft = Draft(session, now_ns, limits)
    draft.enter(State.CREATED, due_ns=draft.after(limits.created_s))
    return draft.session


def _authorization_requested(draft: Draft, _event: AuthorizationRequested) -> Refused | None:
    if draft.session.state is not State.CREATED:
        return Refused(Refusal.NOT_NOW, f"the session is {draft.session.state}")
    limits = draft.limits
    draft.enter(State.AUTHORIZING, due_ns=draft.after(limits.authorize_s + limits.authorize_query_s))
    payment.request_authorization(draft)
    return None


RULES: Mapping[type, Rule] = {
    events.AuthorizationRequested: _authorization_requested,
    events.PaymentAnswered: payment.answered,
    events.UnlockIssued: door.unlock_issued,
    events.UnlockAcknowledged: door.acknowledged,
    events.DoorOpened: door.opened,
    events.DoorClosed: door.closed,
    events.DoorLocked: door.locked,
    events.DoorForced: door.opened,
    events.CameraChanged: door.camera_changed,
    events.IntrusionSeen: door.intrusion_seen,
    events.ManifestReceived: evidence.manifest_received,
    events.SegmentStored: evidence.segment_stored,
    events.SegmentConflicted: evidence.segment_conflicted,
    events.AnalysisStarted: analysis.started,
    events.Analysed: analysis.analysed,
    events.AnalysisFailed: analysis.failed,
    events.ReviewDecided: deciding.review_decided,
    events.SettlementStarted: deciding.settlement_started,
    events.DecisionRevised: corrections.decision_revised,
    events.RefundRequested: corrections.refund_requested,
    events.CollectionRequested: payment.collection_requested,
    events.DisputeOpened: corrections.dispute_opened,
    events.DisputeClosed: corrections.dispute_closed,
    events.ContestOpened: corrections.contest_opened,
    events.ContestClosed: corrections.contest_closed,
    events.DeadlinePassed: deadlines.passed,
}
"""The rule of each kind of event."""
