"""From a proposal to a decision: by the pipeline, by a person, or by the clock; then it is carried out."""

from fleetsight.apps.cooler.session.machine import payment, reviewing
from fleetsight.apps.cooler.session.machine.commands import FreezeDecision, StartSettlement
from fleetsight.apps.cooler.session.machine.events import DecisionRevised, ReviewDecided, SettlementStarted
from fleetsight.apps.cooler.session.machine.limits import Limits, span_ns
from fleetsight.apps.cooler.session.machine.session import Basket, Decided
from fleetsight.apps.cooler.session.machine.states import UNTRUSTED, Action, State
from fleetsight.apps.cooler.session.machine.transition import Draft, Refusal, Refused

PIPELINE = "pipeline"
DEADLINE = "deadline"


def decide(draft: Draft, action: Action, *, basket: Basket, total_minor: int, by: tuple[str, str]) -> None:
    """Freeze a decision.

    Args:
        draft: where the step is written down.
        action: charge, release or waive.
        basket: what was taken.
        total_minor: its price.
        by: who, and why.
    """
    version = draft.session.decision.version + 1 if draft.session.decision else 1
    decision = Decided(version, action, basket, total_minor, by[0], by[1], draft.now_ns)
    draft.change(decision=decision, review_reason=None)
    draft.enter(State.DECIDED, due_ns=draft.after(draft.limits.decided_s))
    draft.commands.append(FreezeDecision(f"{draft.session.id}:decision:{version}", decision))
    draft.commands.append(StartSettlement(f"{draft.session.id}:settle:{version}", version))


def review_decided(draft: Draft, event: ReviewDecided) -> Refused | None:
    """A person decided; the first one wins."""
    if draft.session.state is not State.REVIEW:
        return Refused(Refusal.NOT_NOW, f"the session is {draft.session.state}, it waits for no decision")
    fault = amount_fault(draft, event)
    if fault is not None:
        return fault
    decide(
        draft,
        event.action,
        basket=event.basket,
        total_minor=event.total_minor,
        by=(event.operator_id, event.reason),
    )
    return None


def review_overdue(draft: Draft) -> None:
    """Alert; in the end charge the sure lines, or nothing when the door or the cameras cannot be believed."""
    session, limits, now_ns = draft.session, draft.limits, draft.now_ns
    ends = [session.entered_ns + span_ns(limits.review_max_s)]
    if now_ns >= session.entered_ns + span_ns(limits.review_sla_s):
        draft.tell("operator", "review_late")
    if session.payment.held_minor and session.payment.capture_before_ns is not None:
        ends.append(session.payment.capture_before_ns - span_ns(limits.hold_policy_s))
        if now_ns >= session.payment.capture_before_ns - span_ns(limits.hold_alarm_s):
            draft.tell("operator", "hold_ending")
    if now_ns < min(ends):
        draft.change(due_ns=reviewing.review_due_ns(draft))
        return
    proposal = session.proposal
    chargeable = (
        proposal is not None
        and proposal.sure_basket
        and session.payment.held_minor
        and proposal.sure_total_minor <= session.cap_minor
        and not UNTRUSTED.intersection(session.flags)
    )
    if proposal is not None and chargeable:
        by = (DEADLINE, "sure_lines")
        decide(draft, Action.CHARGE, basket=proposal.sure_basket, total_minor=proposal.sure_total_minor, by=by)
    else:
        decide(draft, Action.RELEASE, basket=(), total_minor=0, by=(DEADLINE, "nothing_sure"))


def settlement_started(draft: Draft, event: SettlementStarted) -> Refused | None:
    """Carry the decision out."""
    decision = draft.session.decision
    if draft.session.state is not State.DECIDED or decision is None or decision.version != event.version:
        return Refused(Refusal.STALE, f"decision {event.version} is not waiting")
    if decision.action is Action.WAIVE:
        draft.payment(waived_minor=decision.total_minor)
    draft.enter(State.SETTLING, due_ns=None)
    payment.carry_out(draft)
    return None


def basket_fault(basket: Basket, limits: Limits) -> str:
    """What is wrong with a basket.

    Args:
        basket: any.
        limits: sizes.
    Returns:
        Words; empty when nothing is wrong.
    """
    if len(basket) > limits.skus:
        return f"{len(basket)} SKUs, at most {limits.skus}"
    if [sku for sku, _ in basket] != sorted({sku for sku, _ in basket}):
        return "SKUs are not sorted or come twice"
    wrong = [count for _, count in basket if not 1 <= count <= limits.units]
    return f"{wrong[0]} units of one SKU, 1 to {limits.units} are possible" if wrong else ""


def amount_fault(draft: Draft, event: ReviewDecided | DecisionRevised) -> Refused | None:
    """What is wrong with a person's basket and its price; None when nothing is."""
    fault = basket_fault(event.basket, draft.limits)
    if fault:
        return Refused(Refusal.LIMIT, fault)
    empty = event.action is Action.RELEASE
    if event.total_minor < 0 or (empty and (event.basket or event.total_minor)):
        return Refused(Refusal.CONFLICT, f"a {event.action} of {event.total_minor} for {len(event.basket)} SKUs")
    return None
