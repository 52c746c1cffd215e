"""After the money moved: a new version of the decision, a refund, a dispute, an objection."""

from fleetsight.apps.cooler.session.machine import deciding, payment
from fleetsight.apps.cooler.session.machine.commands import FreezeDecision
from fleetsight.apps.cooler.session.machine.events import (
    ContestClosed,
    ContestOpened,
    DecisionRevised,
    DisputeClosed,
    DisputeOpened,
    RefundRequested,
)
from fleetsight.apps.cooler.session.machine.limits import span_ns
from fleetsight.apps.cooler.session.machine.session import Decided
from fleetsight.apps.cooler.session.machine.states import AFTER_MONEY, Action, Flag, PaymentState, State
from fleetsight.apps.cooler.session.machine.transition import Draft, Refusal, Refused


def decision_revised(draft: Draft, event: DecisionRevised) -> Refused | None:
    """Replace the decision: the difference is refunded, asked for once more, or waived."""
    session, money = draft.session, draft.session.payment
    fault = _still(draft) or deciding.amount_fault(draft, event)
    if fault is not None:
        return fault
    version = session.decision.version + 1 if session.decision else 1
    if event.version != version:
        return Refused(Refusal.STALE, f"the next version is {version}")
    due_minor = event.total_minor if event.action is Action.CHARGE else 0
    forgiven_minor = min(money.waived_minor, max(0, due_minor - money.kept_minor))
    collect_minor = max(0, due_minor - money.kept_minor - forgiven_minor)
    if collect_minor and session.state is not State.OWED and (money.extra_tried or money.capture_failed):
        return Refused(Refusal.LIMIT, "this session was charged beyond its hold already; waive the difference")
    decision = Decided(
        version, event.action, event.basket, event.total_minor, event.operator_id, event.reason, draft.now_ns
    )
    draft.change(decision=decision, contest="")
    draft.unflag(Flag.LATE_EVIDENCE)
    draft.commands.append(FreezeDecision(f"{session.id}:decision:{version}", decision))
    if session.state is State.OWED:
        payment.drop_debt(draft)
    back_minor = max(0, money.kept_minor - due_minor)
    waived_minor = forgiven_minor if event.action is Action.CHARGE else event.total_minor
    draft.payment(waived_minor=waived_minor, unreturned_minor=back_minor)
    if back_minor:
        draft.enter(State.REFUNDING, due_ns=None)
        payment.give_back(draft, f"v{version}", amount_minor=back_minor, reason=event.reason)
        payment.book_stock(draft)
    elif collect_minor and session.state is State.OWED:
        payment.owe(draft, collect_minor)
    elif collect_minor:
        draft.enter(State.SETTLING, due_ns=None)
        payment.carry_out(draft)
    else:
        payment.finish(draft)
    return None


def refund_requested(draft: Draft, event: RefundRequested) -> Refused | None:
    """Give money back without another decision."""
    fault = _still(draft)
    if fault is not None:
        return fault
    kept_minor = draft.session.payment.kept_minor
    if not 0 < event.amount_minor <= kept_minor:
        return Refused(Refusal.LIMIT, f"a refund of {event.amount_minor}, 1 to {kept_minor} are possible")
    newest_ns = max(charge.at_ns for charge in draft.session.payment.charges)
    if draft.now_ns > newest_ns + span_ns(draft.limits.refund_window_s):
        return Refused(Refusal.LIMIT, "the charge is too old to be refunded")
    draft.enter(State.REFUNDING, due_ns=None)
    payment.give_back(draft, event.refund_id, amount_minor=event.amount_minor, reason=event.reason)
    return None


def dispute_opened(draft: Draft, event: DisputeOpened) -> Refused | None:
    """The bank disputes the charge: refunds freeze, video stays."""
    session = draft.session
    if not session.payment.charges or session.payment.disputed:
        return Refused(Refusal.NOT_NOW, f"nothing to dispute, or disputed already ({event.dispute_id})")
    draft.payment(disputed=True)
    draft.tell("operator", "disputed")
    if session.state in (State.SETTLED, State.REFUNDED):
        draft.payment(state=PaymentState.DISPUTED)
        draft.enter(State.DISPUTED, due_ns=None)
    return None


def dispute_closed(draft: Draft, event: DisputeClosed) -> Refused | None:
    """The bank decided."""
    session = draft.session
    if not session.payment.disputed or session.payment.state is PaymentState.LOST:
        return Refused(Refusal.NOT_NOW, f"no dispute is open ({event.dispute_id})")
    if session.state is not State.DISPUTED:
        draft.payment(disputed=not event.won)
        return None
    if event.won:
        draft.payment(disputed=False, state=PaymentState.WON)
        kept = session.payment.kept_minor > 0
        draft.enter(State.SETTLED if kept else State.REFUNDED, due_ns=None)
    else:
        draft.payment(state=PaymentState.LOST)
        draft.enter(State.DISPUTED, due_ns=None, outcome="dispute_lost")
    return None


def contest_opened(draft: Draft, event: ContestOpened) -> Refused | None:
    """The shopper objects."""
    session = draft.session
    if session.decision is None or session.state not in (*AFTER_MONEY, State.REFUNDING, State.SETTLING):
        return Refused(Refusal.NOT_NOW, f"there is no receipt to contest; the session is {session.state}")
    if session.contest:
        return Refused(Refusal.DUPLICATE, "an objection is open")
    draft.change(contest=event.contest_id)
    draft.tell("operator", "contest")
    return None


def contest_closed(draft: Draft, _event: ContestClosed) -> Refused | None:
    """A person looked at the objection, or at video that came late: the decision stands."""
    if not draft.session.contest and Flag.LATE_EVIDENCE not in draft.session.flags:
        return Refused(Refusal.NOT_NOW, "no question is open")
    draft.change(contest="")
    draft.unflag(Flag.LATE_EVIDENCE)
    return None


def _still(draft: Draft) -> Refused | None:
    """Money that is under way, frozen or disputed is not touched."""
    session = draft.session
    if session.state not in AFTER_MONEY:
        return Refused(Refusal.NOT_NOW, f"the session is {session.state}")
    if session.payment.pending or session.payment.frozen or session.payment.disputed:
        return Refused(Refusal.NOT_NOW, "a payment is under way, frozen or disputed")
    return None
