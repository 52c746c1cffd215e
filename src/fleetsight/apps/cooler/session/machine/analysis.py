"""The runs of the analysis: begun, failed, done."""

import math

from fleetsight.apps.cooler.session.machine import deciding, reviewing
from fleetsight.apps.cooler.session.machine.events import Analysed, AnalysisFailed, AnalysisStarted
from fleetsight.apps.cooler.session.machine.limits import Limits
from fleetsight.apps.cooler.session.machine.session import Proposal, Session
from fleetsight.apps.cooler.session.machine.states import (
    LOOKED_AT,
    Action,
    EvidenceState,
    Flag,
    ReviewReason,
    State,
    Verdict,
)
from fleetsight.apps.cooler.session.machine.transition import Draft, Refusal, Refused


def started(draft: Draft, event: AnalysisStarted) -> Refused | None:
    """A worker begins; a run too many ends in a review before it begins."""
    session = draft.session
    if not _wanted(session, event.run_id):
        return Refused(Refusal.STALE, f"run {event.run_id} is not wanted")
    if session.analysis_runs >= draft.limits.analysis_runs:
        if session.state is State.ANALYZING:
            reviewing.to_review(draft, ReviewReason.PIPELINE)
            return None
        return Refused(Refusal.LIMIT, f"{session.analysis_runs} runs brought nothing")
    draft.change(analysis_runs=session.analysis_runs + 1)
    if session.state is State.ANALYZING:
        draft.change(due_ns=draft.after(draft.limits.analysis_s + draft.limits.analysis_grace_s))
    return None


def failed(draft: Draft, event: AnalysisFailed) -> Refused | None:
    """A run brought nothing: another one, or a person."""
    session = draft.session
    if not _wanted(session, event.run_id):
        return Refused(Refusal.STALE, f"run {event.run_id} is not wanted")
    if event.unusable:
        draft.evidence(state=EvidenceState.UNUSABLE)
    retry = not event.unusable and session.analysis_runs < draft.limits.analysis_runs
    if session.state is State.ANALYZING:
        if retry:
            again(draft)
        else:
            reviewing.to_review(draft, ReviewReason.UNUSABLE if event.unusable else ReviewReason.PIPELINE)
    elif retry:
        reviewing.analyse(draft, enter=False)
    return None


def again(draft: Draft) -> None:
    """Want another run while the session waits for it."""
    draft.change(due_ns=draft.after(draft.limits.queue_s))
    reviewing.analyse(draft, enter=False)


def overdue(draft: Draft) -> None:
    """No worker began, or the one that did never came back."""
    if draft.session.analysis_runs >= draft.limits.analysis_runs:
        reviewing.to_review(draft, ReviewReason.PIPELINE)
    else:
        again(draft)


def analysed(draft: Draft, event: Analysed) -> Refused | None:
    """Take the result: decide, or let a person decide."""
    session = draft.session
    if not _wanted(session, event.run_id):
        return Refused(Refusal.STALE, f"run {event.run_id} is not wanted")
    fault = deciding.basket_fault(event.basket, draft.limits) or deciding.basket_fault(event.sure_basket, draft.limits)
    if fault or not (math.isfinite(event.confidence) and 0 <= event.confidence <= 1):
        return Refused(Refusal.LIMIT, fault or f"confidence {event.confidence}")
    draft.evidence(state=EvidenceState.VERIFIED)
    if event.usable_share < 1.0:
        draft.flag(Flag.SALVAGED)
    draft.change(
        proposal=Proposal(
            run_id=event.run_id,
            verdict=event.verdict,
            basket=event.basket,
            total_minor=event.total_minor,
            sure_basket=event.sure_basket,
            sure_total_minor=event.sure_total_minor,
            confidence=event.confidence,
            reason=event.reason,
        )
    )
    if session.state is not State.ANALYZING:
        return None
    reason = _why_review(draft.session, event, draft.limits)
    if reason is not None:
        reviewing.to_review(draft, reason)
    else:
        action = Action.CHARGE if event.verdict is Verdict.CHARGE else Action.RELEASE
        basket = event.basket if action is Action.CHARGE else ()
        total_minor = (event.total_minor or 0) if action is Action.CHARGE else 0
        deciding.decide(draft, action, basket=basket, total_minor=total_minor, by=(deciding.PIPELINE, event.reason))
    return None


def _wanted(session: Session, run_id: str) -> bool:
    deleted = session.evidence.state is EvidenceState.EXPIRED_DELETED
    return session.state in LOOKED_AT and run_id == session.run_id and session.proposal is None and not deleted


def _why_review(session: Session, event: Analysed, limits: Limits) -> ReviewReason | None:
    flags = set(session.flags)
    causes = (
        (Flag.TAMPER in flags, ReviewReason.TAMPER),
        (Flag.HELD_OPEN in flags, ReviewReason.HELD_OPEN),
        (bool(flags & {Flag.FORCED, Flag.REOPENED, Flag.SENSORS_DISAGREE, Flag.REBOOTED}), ReviewReason.SENSORS),
        (Flag.CAMERA_DEAD in flags or event.usable_share < limits.usable_share, ReviewReason.UNUSABLE),
        (event.verdict is Verdict.REVIEW, ReviewReason.DOUBT),
        (event.verdict is Verdict.CHARGE and event.total_minor is None, ReviewReason.NO_PRICE),
        (event.verdict is Verdict.CHARGE and (event.total_minor or 0) > session.cap_minor, ReviewReason.OVER_CAP),
    )
    return next((reason for holds, reason in causes if holds), None)
