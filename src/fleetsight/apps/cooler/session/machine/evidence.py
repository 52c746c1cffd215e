"""The video of a session: what was announced, what came, and when it can be looked at."""

from dataclasses import replace

from fleetsight.apps.cooler.session.machine import reviewing
from fleetsight.apps.cooler.session.machine.events import ManifestReceived, SegmentConflicted, SegmentStored
from fleetsight.apps.cooler.session.machine.limits import span_ns
from fleetsight.apps.cooler.session.machine.session import Segment
from fleetsight.apps.cooler.session.machine.states import (
    AFTER_MONEY,
    ENDED,
    UNDECIDED,
    EvidenceState,
    Flag,
    ReviewReason,
    State,
)
from fleetsight.apps.cooler.session.machine.transition import Draft, Refusal, Refused

NEVER_RECORDS = frozenset({State.CREATED, State.AUTHORIZING, State.AUTHORIZED, State.UNLOCKING, State.DENIED})
"""No door was open: there is nothing to upload."""


def manifest_received(draft: Draft, event: ManifestReceived) -> Refused | None:
    """The device lists what it recorded."""
    evidence, fault = draft.session.evidence, _refusal(draft)
    if fault is not None:
        return fault
    if len(event.segments) > draft.limits.segments:
        return Refused(Refusal.LIMIT, f"{len(event.segments)} segments, at most {draft.limits.segments}")
    if evidence.manifest == event.digest:
        return Refused(Refusal.DUPLICATE, "this manifest is known")
    if evidence.manifest:
        _tampered(draft)
        return None
    known = {(segment.camera, segment.index): segment for segment in evidence.segments}
    for declared in event.segments:
        there = known.get((declared.camera, declared.index))
        if there is not None and there.sha256 != declared.sha256:
            _tampered(draft)
            return None
        stored = there is not None and there.stored
        known[declared.camera, declared.index] = replace(declared, stored=stored, declared=True)
    draft.evidence(manifest=event.digest)
    _keep(draft, known)
    if draft.session.state is State.ABORTED and not event.segments:
        return Refused(Refusal.NOT_NOW, "nothing was recorded, and nothing was expected")
    _arrived(draft)
    return None


def segment_stored(draft: Draft, event: SegmentStored) -> Refused | None:
    """A piece is here."""
    fault = _refusal(draft)
    if fault is not None:
        return fault
    piece = event.segment
    if piece.length > draft.limits.segment_bytes or piece.index < 0:
        return Refused(Refusal.LIMIT, f"a segment of {piece.length} bytes, at most {draft.limits.segment_bytes}")
    known = {(segment.camera, segment.index): segment for segment in draft.session.evidence.segments}
    there = known.get((piece.camera, piece.index))
    if there is not None and there.sha256 != piece.sha256:
        return Refused(Refusal.CONFLICT, f"segment {piece.camera}/{piece.index} has other bytes")
    if there is not None and there.stored:
        return Refused(Refusal.DUPLICATE, f"segment {piece.camera}/{piece.index} is here")
    if there is None and len(known) >= draft.limits.segments:
        return Refused(Refusal.LIMIT, f"at most {draft.limits.segments} segments")
    known[piece.camera, piece.index] = replace(there or piece, stored=True)
    _keep(draft, known)
    draft.evidence(progress_ns=draft.now_ns)
    _arrived(draft)
    return None


def segment_conflicted(draft: Draft, _event: SegmentConflicted) -> Refused | None:
    """Other bytes under a known name: somebody or something forges."""
    fault = _refusal(draft)
    if fault is None:
        _tampered(draft)
    return fault


def proceed(draft: Draft) -> None:
    """After the lock: analyse what is complete, wait for what is announced."""
    session = draft.session
    if Flag.TAMPER in session.flags:
        reviewing.to_review(draft, ReviewReason.TAMPER)
    elif session.evidence.complete:
        reviewing.analyse(draft, enter=True)
    elif session.evidence.manifest and not session.evidence.segments:
        reviewing.to_review(draft, ReviewReason.NO_EVIDENCE)
    elif session.evidence.manifest and session.state is State.CLOSED:
        wait(draft)


def wait(draft: Draft) -> None:
    """Wait for the rest of the video."""
    draft.enter(State.WAITING_EVIDENCE, due_ns=None)
    draft.change(due_ns=_waiting_due_ns(draft, draft.now_ns))


def overdue(draft: Draft, *, online: bool) -> None:
    """The wait is over when a device that is online brings nothing new, or the hold will not last."""
    session = draft.session
    if not online:
        draft.evidence(offline_ns=draft.now_ns)
    evidence = draft.session.evidence
    last_ns = max(session.entered_ns, evidence.progress_ns or 0, evidence.offline_ns or 0)
    stuck = online and last_ns + span_ns(draft.limits.evidence_online_s) <= draft.now_ns
    if stuck or draft.now_ns >= _latest_ns(draft):
        if not any(segment.stored for segment in evidence.segments):
            draft.flag(Flag.STOCK_TAKE)
            draft.tell("operator", "stock_take")
        reviewing.to_review(draft, ReviewReason.NO_EVIDENCE)
    elif online:
        draft.change(due_ns=_waiting_due_ns(draft, last_ns))
    else:
        draft.change(due_ns=min(draft.after(draft.limits.offline_look_s), _latest_ns(draft)))


def _refusal(draft: Draft) -> Refused | None:
    if draft.session.state in NEVER_RECORDS:
        return Refused(Refusal.NOT_NOW, f"no video is expected of a session that is {draft.session.state}")
    if draft.session.evidence.state is EvidenceState.EXPIRED_DELETED:
        return Refused(Refusal.NOT_NOW, "the video of this session was deleted")
    return None


def _keep(draft: Draft, known: dict[tuple[str, int], Segment]) -> None:
    draft.evidence(segments=tuple(known[name] for name in sorted(known)))
    if draft.session.evidence.state in (EvidenceState.NONE, EvidenceState.PARTIAL):
        complete = draft.session.evidence.complete
        state = EvidenceState.COMPLETE if complete else EvidenceState.PARTIAL
        draft.evidence(state=state if draft.session.evidence.segments else EvidenceState.NONE)


def _arrived(draft: Draft) -> None:
    """Something new is here: go on where the session waits for it."""
    session = draft.session
    if session.state is State.WAITING_EVIDENCE:
        draft.change(due_ns=_waiting_due_ns(draft, draft.now_ns))
    if session.state in (State.CLOSED, State.WAITING_EVIDENCE):
        proceed(draft)
    elif session.state is State.ABORTED:
        draft.flag(Flag.SENSORS_DISAGREE)
        reviewing.to_review(draft, ReviewReason.LATE)
    elif session.state not in UNDECIDED:
        draft.flag(Flag.LATE_EVIDENCE)
        draft.tell("operator", "late_evidence")
        if session.state in ENDED and session.due_ns is None:
            draft.change(due_ns=draft.after(draft.limits.retention_s))
    late = session.state is State.REVIEW or session.state in AFTER_MONEY
    if late and session.evidence.complete and session.proposal is None and not session.run_id:
        reviewing.analyse(draft, enter=False)


def _tampered(draft: Draft) -> None:
    draft.flag(Flag.TAMPER)
    draft.tell("operator", "tamper")
    if draft.session.state in (State.CLOSED, State.WAITING_EVIDENCE, State.ANALYZING, State.ABORTED):
        reviewing.to_review(draft, ReviewReason.TAMPER)


def _latest_ns(draft: Draft) -> int:
    session, limits = draft.session, draft.limits
    latest_ns = session.entered_ns + span_ns(limits.evidence_offline_s)
    if session.payment.held_minor and session.payment.capture_before_ns is not None:
        latest_ns = min(latest_ns, session.payment.capture_before_ns - span_ns(limits.evidence_margin_s))
    return latest_ns


def _waiting_due_ns(draft: Draft, from_ns: int) -> int:
    return min(from_ns + span_ns(draft.limits.evidence_online_s), _latest_ns(draft))
