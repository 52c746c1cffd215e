"""The money of a session: which call is planned, and what its answer means.

At most one call is under way. It is planned here with a key that follows from the session, and left only by what the
provider says about that key: never by a timeout, never with another key.

    hold:    authorize -> capture | void
    beyond:  extra, at most one purchase without a hold; what it cannot get is owed
    owed:    collect by the timetable, then written off
    back:    refund, part by part from the charges in their order
"""

from dataclasses import replace

from fleetsight.apps.cooler.session.machine.commands import (
    AskProvider,
    MoveStock,
    Owe,
    Pay,
    Unlock,
    WriteOff,
    WriteReceipt,
)
from fleetsight.apps.cooler.session.machine.events import CollectionRequested, PaymentAnswered
from fleetsight.apps.cooler.session.machine.limits import span_ns
from fleetsight.apps.cooler.session.machine.session import Charge, Pending
from fleetsight.apps.cooler.session.machine.states import Action, Answer, Operation, PaymentState, State
from fleetsight.apps.cooler.session.machine.transition import Draft, Refusal, Refused

PENDING_STATE = {
    Operation.AUTHORIZE: PaymentState.AUTH_PENDING,
    Operation.CAPTURE: PaymentState.CAPTURE_PENDING,
    Operation.EXTRA: PaymentState.CAPTURE_PENDING,
    Operation.COLLECT: PaymentState.CAPTURE_PENDING,
    Operation.VOID: PaymentState.VOID_PENDING,
    Operation.REFUND: PaymentState.REFUND_PENDING,
}


def request_authorization(draft: Draft) -> None:
    """Plan the hold; the next attempt when there was one."""
    attempt = draft.session.payment.attempt + 1
    key = f"{draft.session.id}:auth:{attempt}"
    draft.payment(attempt=attempt, auth_key=key)
    _plan(draft, Pending(key, Operation.AUTHORIZE, draft.session.hold_minor, draft.now_ns), draft.limits.authorize_s)


def let_go(draft: Draft) -> None:
    """Void the hold, or what may have become one; nothing when no hold was ever asked for or it is gone."""
    payment = draft.session.payment
    if payment.state not in (PaymentState.AUTH_PENDING, PaymentState.AUTHORIZED) and not payment.held_minor:
        return
    voids = payment.voids + 1
    key = f"{draft.session.id}:void" + (f":{voids}" if voids > 1 else "")
    draft.payment(voids=voids)
    _plan(draft, Pending(key, Operation.VOID, 0, draft.now_ns, of=payment.auth_key))


def carry_out(draft: Draft) -> None:
    """Go on settling as far as possible without an answer: the hold first, then what is beyond it, then the end."""
    session, payment = draft.session, draft.session.payment
    if payment.pending is not None or payment.frozen:
        return
    rest_minor = session.total_minor - payment.kept_minor - payment.waived_minor
    if payment.held_minor and (rest_minor <= 0 or payment.capture_failed):
        let_go(draft)
    elif payment.held_minor:
        version = session.decision.version if session.decision else 0
        part_minor = min(rest_minor, payment.held_minor)
        key = f"{session.id}:capture:{version}"
        _plan(draft, Pending(key, Operation.CAPTURE, part_minor, draft.now_ns, of=payment.auth_key))
    elif rest_minor <= 0:
        finish(draft)
    elif payment.capture_failed or payment.extra_tried:
        owe(draft, rest_minor)
    else:
        draft.payment(extra_tried=True)
        _plan(draft, Pending(f"{session.id}:extra", Operation.EXTRA, rest_minor, draft.now_ns))


def finish(draft: Draft) -> None:
    """The money is where the decision wants it: book the stock, write the receipt, end."""
    session, payment = draft.session, draft.session.payment
    book_stock(draft)
    if payment.kept_minor > 0:
        draft.enter(State.SETTLED, due_ns=None, outcome="charged")
    elif payment.charged_minor > 0:
        draft.payment(state=PaymentState.REFUNDED)
        draft.enter(State.REFUNDED, due_ns=None, outcome="refunded")
    else:
        waived = session.decision is not None and session.decision.action is Action.WAIVE
        draft.enter(State.RELEASED, due_ns=None, outcome="waived" if waived else "nothing_charged")
    draft.commands.append(WriteReceipt(f"{session.id}:receipt:{session.version + 1}"))
    if payment.disputed and payment.charged_minor:
        draft.payment(state=PaymentState.DISPUTED)
        draft.enter(State.DISPUTED, due_ns=None)


def book_stock(draft: Draft) -> None:
    """Book the difference between what was booked before and the newest decision."""
    session = draft.session
    if session.decision is None or session.stocked == session.decision.basket:
        return
    before, after = dict(session.stocked), dict(session.decision.basket)
    deltas = tuple(
        (sku, before.get(sku, 0) - after.get(sku, 0))
        for sku in sorted({*before, *after})
        if before.get(sku, 0) != after.get(sku, 0)
    )
    version = session.decision.version
    draft.commands.append(MoveStock(f"{session.id}:stock:{version}", version, deltas))
    draft.change(stocked=session.decision.basket)


def owe(draft: Draft, amount_minor: int) -> None:
    """Book what could not be taken as a debt, and try again by the timetable."""
    session = draft.session
    book_stock(draft)
    version = session.decision.version if session.decision else 0
    key = f"{session.id}:owed:{version}"
    draft.payment(state=PaymentState.OWED, owed_minor=amount_minor, debt_key=key, scheduled=0)
    draft.commands.append(Owe(key, amount_minor))
    draft.enter(State.OWED, due_ns=draft.after(draft.limits.retries_s[0]))
    draft.tell("shopper", "owed")
    draft.tell("operator", "owed")


def drop_debt(draft: Draft) -> None:
    """Give up what is open of the debt, in the books too."""
    key = draft.session.payment.debt_key
    draft.payment(owed_minor=0, debt_key="")
    draft.commands.append(WriteOff(f"{key}:writeoff", key))


def collect(draft: Draft, *, scheduled: bool) -> None:
    """Plan one attempt to collect the debt."""
    payment = draft.session.payment
    retries = payment.retries + 1
    draft.payment(retries=retries, scheduled=payment.scheduled + scheduled)
    draft.change(due_ns=None)
    key = f"{draft.session.id}:retry:{retries}"
    _plan(draft, Pending(key, Operation.COLLECT, payment.owed_minor, draft.now_ns))


def collection_requested(draft: Draft, _event: CollectionRequested) -> Refused | None:
    """Collect now."""
    if draft.session.state is not State.OWED or draft.session.payment.pending or draft.session.payment.frozen:
        return Refused(Refusal.NOT_NOW, "nothing is owed, or it is being collected")
    collect(draft, scheduled=False)
    return None


def give_back(draft: Draft, refund_id: str, *, amount_minor: int, reason: str, parts: int = 0) -> None:
    """Plan the next part of a refund: from the first charge that has something left.

    Args:
        draft: where the step is written down.
        refund_id: which refund.
        amount_minor: all that is still to be given back; at most what is kept.
        reason: code.
        parts: calls of this refund so far.
    """
    session = draft.session
    charge = next(c for c in session.payment.charges if c.amount_minor > c.refunded_minor)
    part_minor = min(amount_minor, charge.amount_minor - charge.refunded_minor)
    key = f"{session.id}:refund:{refund_id}" + (f":{parts + 1}" if parts else "")
    pending = Pending(
        key,
        Operation.REFUND,
        part_minor,
        draft.now_ns,
        refund_id=refund_id,
        of=charge.key,
        parts=parts + 1,
        rest_minor=amount_minor - part_minor,
        reason=reason,
    )
    _plan(draft, pending)


def ask(draft: Draft) -> None:
    """Ask the provider what became of the call under way, and set the time of the next question."""
    pending = draft.session.payment.pending
    if pending is None:
        return
    queries = pending.queries + 1
    pause_s = min(draft.limits.query_first_s * 2**queries, draft.limits.query_max_s)
    draft.payment(pending=replace(pending, queries=queries, due_ns=draft.after(pause_s)))
    draft.commands.append(AskProvider(f"{pending.key}:query:{queries}", pending.key))
    if draft.now_ns - pending.since_ns >= span_ns(draft.limits.payment_alert_s):
        draft.tell("operator", "payment_unknown")


def answered(draft: Draft, event: PaymentAnswered) -> Refused | None:
    """Take what became of a call."""
    payment = draft.session.payment
    if event.key == payment.auth_key and (payment.pending is None or payment.pending.key != event.key):
        return _beside_the_call(draft, event)
    if payment.pending is None or payment.pending.key != event.key:
        return Refused(Refusal.DUPLICATE, f"no call {event.key} is under way")
    if event.answer is Answer.UNKNOWN:
        return None
    pending = payment.pending
    expects = pending.amount_minor if pending.kind is not Operation.VOID else 0
    differs = event.answer in (Answer.CAPTURED, Answer.REFUNDED) and event.amount_minor != expects
    if event.answer is Answer.MISMATCH or differs:
        _freeze(draft, event.reason or f"{event.answer} {event.amount_minor} instead of {expects}")
        return None
    draft.payment(pending=None)
    handler = {
        Operation.AUTHORIZE: _authorization,
        Operation.CAPTURE: _captured,
        Operation.VOID: _voided,
        Operation.EXTRA: _extra,
        Operation.COLLECT: _collected,
        Operation.REFUND: _refunded,
    }[pending.kind]
    handler(draft, event, pending)
    return None


def _plan(draft: Draft, pending: Pending, first_s: float | None = None) -> None:
    """Put a call under way and want it done."""
    due_ns = draft.after(draft.limits.query_first_s if first_s is None else first_s)
    draft.payment(state=PENDING_STATE[pending.kind], pending=replace(pending, due_ns=due_ns))
    draft.commands.append(Pay(pending.key, pending.kind, pending.amount_minor, of=pending.of, reason=pending.reason))


def _freeze(draft: Draft, what: str) -> None:
    """Stop all automatic money of this session and page a person; the call stays pending for ever."""
    pending = draft.session.payment.pending
    draft.payment(frozen=what, pending=replace(pending, due_ns=None) if pending else None)
    draft.tell("operator", "frozen")
    if draft.session.state is State.AUTHORIZING:
        draft.enter(State.DENIED, due_ns=None, outcome="frozen")


def _hold(draft: Draft, event: PaymentAnswered) -> None:
    draft.payment(
        ref=event.ref,
        held_minor=event.amount_minor,
        authorized_minor=event.amount_minor,
        capture_before_ns=event.capture_before_ns,
    )


def _authorization(draft: Draft, event: PaymentAnswered, _pending: Pending) -> None:
    if event.answer is Answer.AUTHORIZED:
        _hold(draft, event)
        draft.payment(state=PaymentState.AUTHORIZED)
        ends_ns = event.capture_before_ns
        if ends_ns is not None and ends_ns < draft.after(draft.limits.hold_min_s):
            draft.enter(State.DENIED, due_ns=None, outcome="hold_too_short")
            let_go(draft)
            return
        draft.enter(State.AUTHORIZED, due_ns=draft.after(draft.limits.unlock_s))
        draft.commands.append(Unlock(f"{draft.session.id}:unlock"))
    else:
        draft.payment(state=PaymentState.AUTH_DECLINED)
        draft.enter(State.DENIED, due_ns=None, outcome="declined")


def _beside_the_call(draft: Draft, event: PaymentAnswered) -> Refused | None:
    """News of a hold that nobody is waiting for: it ran out, or it came to be after it was given up and is voided again."""
    payment = draft.session.payment
    if event.answer is Answer.EXPIRED and payment.state is PaymentState.AUTHORIZED:
        draft.payment(state=PaymentState.EXPIRED, held_minor=0)
        return None
    fresh = event.answer is Answer.AUTHORIZED and not payment.held_minor and not payment.charges
    if not fresh or draft.session.state not in (State.DENIED, State.ABORTED):
        return Refused(Refusal.DUPLICATE, f"the call {event.key} was answered before")
    _hold(draft, event)
    if payment.pending is None:
        let_go(draft)
    return None


def _took(draft: Draft, event: PaymentAnswered, pending: Pending) -> None:
    charge = Charge(pending.key, event.ref, pending.amount_minor, draft.now_ns)
    draft.payment(charges=(*draft.session.payment.charges, charge))


def _captured(draft: Draft, event: PaymentAnswered, pending: Pending) -> None:
    if event.answer is Answer.CAPTURED:
        _took(draft, event, pending)
        draft.payment(state=PaymentState.CAPTURED, held_minor=0)
    elif event.answer is Answer.EXPIRED:
        draft.payment(state=PaymentState.EXPIRED, held_minor=0)
    else:
        draft.payment(state=PaymentState.CAPTURE_FAILED, capture_failed=True)
    carry_out(draft)


def _voided(draft: Draft, event: PaymentAnswered, pending: Pending) -> None:
    if event.answer not in (Answer.VOIDED, Answer.EXPIRED):
        draft.payment(pending=pending)  # money that should be free was taken: that is for a person
        _freeze(draft, f"void {event.answer}: {event.reason}")
        return
    draft.payment(state=PaymentState.VOIDED, held_minor=0)
    if draft.session.state is State.SETTLING:
        carry_out(draft)


def _extra(draft: Draft, event: PaymentAnswered, pending: Pending) -> None:
    if event.answer is Answer.CAPTURED:
        _took(draft, event, pending)
        draft.payment(state=PaymentState.CAPTURED)
    else:
        draft.payment(state=PaymentState.CAPTURE_FAILED)
    carry_out(draft)


def _collected(draft: Draft, event: PaymentAnswered, pending: Pending) -> None:
    payment = draft.session.payment
    if event.answer is Answer.CAPTURED:
        _took(draft, event, pending)
        draft.payment(state=PaymentState.PAID_LATER, owed_minor=0, debt_key="")
        finish(draft)
    elif payment.scheduled >= len(draft.limits.retries_s):
        waived_minor = payment.waived_minor + payment.owed_minor
        drop_debt(draft)
        draft.payment(state=PaymentState.WRITTEN_OFF, waived_minor=waived_minor)
        draft.enter(State.WRITTEN_OFF, due_ns=None, outcome="written_off")
    else:
        draft.payment(state=PaymentState.OWED)
        due_ns = draft.session.entered_ns + span_ns(draft.limits.retries_s[payment.scheduled])
        draft.change(due_ns=max(due_ns, draft.now_ns))


def _refunded(draft: Draft, event: PaymentAnswered, pending: Pending) -> None:
    payment = draft.session.payment
    if event.answer is Answer.REFUNDED:
        charges = tuple(
            replace(charge, refunded_minor=charge.refunded_minor + pending.amount_minor)
            if charge.key == pending.of
            else charge
            for charge in payment.charges
        )
        returned_minor = min(payment.unreturned_minor, pending.amount_minor)
        draft.payment(
            charges=charges,
            unreturned_minor=payment.unreturned_minor - returned_minor,
            waived_minor=payment.waived_minor + pending.amount_minor - returned_minor,
        )
        if pending.rest_minor and not payment.disputed:
            give_back(
                draft, pending.refund_id, amount_minor=pending.rest_minor, reason=pending.reason, parts=pending.parts
            )
            return
    else:
        draft.tell("operator", "refund_refused")
    payment = draft.session.payment
    draft.payment(state=PaymentState.PARTIALLY_REFUNDED if payment.refunded_minor else PaymentState.CAPTURED)
    if payment.owed_minor:
        draft.payment(state=PaymentState.OWED)
        due_ns = draft.after(draft.limits.retries_s[0])
        draft.enter(State.OWED, due_ns=due_ns)
        draft.payment(scheduled=0)
    else:
        finish(draft)
