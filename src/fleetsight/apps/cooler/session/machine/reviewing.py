"""How a session comes to a person, and how a run of the analysis is asked for."""

import hashlib

from fleetsight.apps.cooler.session.machine.commands import Analyse
from fleetsight.apps.cooler.session.machine.limits import span_ns
from fleetsight.apps.cooler.session.machine.states import ReviewReason, State
from fleetsight.apps.cooler.session.machine.transition import Draft


def to_review(draft: Draft, reason: ReviewReason) -> None:
    """A person has to look; what is complete is analysed, to propose something."""
    session = draft.session
    draft.change(review_reason=reason, reviews=session.reviews + 1)
    draft.enter(State.REVIEW, due_ns=None)
    draft.change(due_ns=review_due_ns(draft))
    draft.tell("operator", "review")
    if session.evidence.complete and session.proposal is None and not session.run_id:
        analyse(draft, enter=False)


def analyse(draft: Draft, *, enter: bool) -> None:
    """Want a run of the analysis.

    Args:
        draft: where the step is written down.
        enter: whether the session waits for it; a session in review only gets a proposal.
    """
    session = draft.session
    parts = (session.id, session.evidence.manifest, session.pipeline, session.assortment)
    run_id = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    draft.change(run_id=run_id)
    if enter:
        draft.enter(State.ANALYZING, due_ns=draft.after(draft.limits.queue_s))
    asked = session.analyses + 1
    draft.change(analyses=asked)
    draft.commands.append(Analyse(f"{run_id}:{asked}", run_id))


def review_due_ns(draft: Draft) -> int:
    """When something is due in a review: the alert, the alarm before the hold ends, the decision without a person."""
    session, limits = draft.session, draft.limits
    dues = [session.entered_ns + span_ns(limits.review_max_s)]
    if "review_late" not in session.alerts:
        dues.append(session.entered_ns + span_ns(limits.review_sla_s))
    if session.payment.held_minor and session.payment.capture_before_ns is not None:
        dues.append(session.payment.capture_before_ns - span_ns(limits.hold_policy_s))
        if "hold_ending" not in session.alerts:
            dues.append(session.payment.capture_before_ns - span_ns(limits.hold_alarm_s))
    return min(dues)
