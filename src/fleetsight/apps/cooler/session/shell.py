"""The session machine on rows: each event one transaction, in which everything that follows from it is written or nothing.

    event -> lock the row -> machine.apply -> guarded update + event + log + payments planned + letters posted -> commit

Whoever calls `apply` needs no lock and no order of his own: events that come twice, late or from fifty threads are sorted out here.
What the letters want is done by `fleetsight.apps.cooler.session.work`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from fleetsight.apps.cooler.session import intake, records
from fleetsight.apps.cooler.session.answers import (
    Acknowledgement,
    Applied,
    Created,
    DeviceEvent,
    DeviceEventKind,
    DeviceResult,
    Manifest,
    Missing,
    NewSession,
    NotCreated,
    NotCreatedReason,
    Offer,
    Offered,
    Repeated,
    Unlocker,
    UnlockOrder,
)
from fleetsight.apps.cooler.session.effects import Effects, answer_of
from fleetsight.apps.cooler.session.machine.apply import apply as take_step
from fleetsight.apps.cooler.session.machine.apply import begin
from fleetsight.apps.cooler.session.machine.events import AuthorizationRequested, Event, PaymentAnswered, UnlockIssued
from fleetsight.apps.cooler.session.machine.limits import DAY_S, DEFAULT_LIMITS, Limits, span_ns
from fleetsight.apps.cooler.session.machine.session import Segment, Session
from fleetsight.apps.cooler.session.machine.states import Answer, Operation, State
from fleetsight.apps.cooler.session.machine.transition import Refusal, Refused
from fleetsight.apps.cooler.session.tables import EVENTS, SESSIONS
from fleetsight.billing.operations import OperationKind, OperationState
from fleetsight.billing.payments import OutcomeConflictError, Payments
from fleetsight.billing.provider import Outcome, Unknown
from fleetsight.clock import Clock
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.ids import new_id
from fleetsight.store.outbox import finish
from fleetsight.store.rows import Rows

__all__ = [
    "Acknowledgement",
    "Applied",
    "Created",
    "DeviceEvent",
    "DeviceEventKind",
    "DeviceResult",
    "Manifest",
    "Missing",
    "NewSession",
    "NotCreated",
    "NotCreatedReason",
    "Offer",
    "Offered",
    "Refused",
    "Repeated",
    "Sessions",
    "UnlockOrder",
    "Unlocker",
]


AJAR_BELIEVED_NS = span_ns(DAY_S)
"""After a day without a word about its door, what a device says in its heartbeat counts, not what it said then."""


class Sessions:
    """All sessions of an installation.

    Args:
        rows: where they are kept.
        clock: server time; every deadline runs on it.
        payments: moves money.
        limits: timeouts and sizes.
        fence: called in each transaction; raises when this process may not have effects any more.
    """

    def __init__(
        self,
        rows: Rows,
        clock: Clock,
        *,
        payments: Payments,
        limits: Limits = DEFAULT_LIMITS,
        fence: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        self.rows = rows
        self.clock = clock
        self.payments = payments
        self.limits = limits
        self._effects = Effects(payments)
        self._fence = fence

    def fenced(self, fence: Callable[[sa.Connection], None]) -> "Sessions":
        """The same sessions for a process that holds a lease.

        Args:
            fence: called in each transaction; raises when the lease is lost, so that nothing is kept.
        Returns:
            sessions on the same rows.
        """
        return Sessions(self.rows, self.clock, payments=self.payments, limits=self.limits, fence=fence)

    def create(self, order: NewSession, *, connection: sa.Connection | None = None) -> Created | NotCreated:
        """Begin a session and want its hold.

        Args:
            order: what is known.
            connection: of a write transaction; a new one when None.
        Returns:
            the session; the same one when this shopper redeemed this code before; or why there is none.
        """
        with self.turn(connection) as turn:
            known = self._redeemed(turn, order)
            if known is not None:
                return known
            if self.payments.arrears(turn, order.tenant_id, shopper_id=order.shopper_id):
                return NotCreated(NotCreatedReason.ARREARS)
            busy = self._device_in_use(turn, order)
            if busy is not None:  # perhaps by this very code, a moment ago
                return self._redeemed(turn, order) or NotCreated(busy)
            session = self._new(order)
            if not records.insert(turn, session, jti=order.jti):  # another transaction was first
                return self._redeemed(turn, order) or NotCreated(NotCreatedReason.DEVICE_BUSY)
            crashpoint("session.inserted")
            begun = self._take(turn, session, AuthorizationRequested(), key="")
        if connection is None:
            crashpoint("session.created")
        return Created(begun.session if isinstance(begun, Applied) else session, fresh=True)

    def redeemed(
        self, connection: sa.Connection, jti: str, *, tenant_id: str, device_id: str, shopper_id: str
    ) -> Created | NotCreated | None:
        """Find what became of a code.

        Args:
            connection: reads.
            jti: of the code.
            tenant_id: whose.
            device_id: that showed it.
            shopper_id: who asks.
        Returns:
            the session of this shopper; or that somebody else redeemed it; None when nobody did.
        """
        question = sa.select(SESSIONS.c.id, SESSIONS.c.shopper_id, SESSIONS.c.device_id).where(
            SESSIONS.c.tenant_id == tenant_id, SESSIONS.c.jti == jti
        )
        row = connection.execute(question).first()
        if row is None:
            return None
        if (row.shopper_id, row.device_id) != (shopper_id, device_id):
            return NotCreated(NotCreatedReason.REDEEMED)
        session = records.load(connection, row.id)
        assert session is not None
        return Created(session, fresh=False)

    def apply(
        self, session_id: str, event: Event, *, key: str = "", connection: sa.Connection | None = None
    ) -> Applied | Repeated | Refused | Missing:
        """Let something happen to a session.

        Args:
            session_id: anything.
            event: what happened.
            key: names the event in its session for ever; the second one with the same key changes nothing. Empty for events that
                the machine itself takes once.
            connection: of a write transaction; a new one when None.
        Returns:
            the session afterwards, or why nothing changed.
        """
        with self.turn(connection) as turn:
            session = records.load(turn, session_id, lock=True)
            if session is None:
                return Missing()
            if key and _known(turn, session_id, key):
                return Repeated(session)
            outcome = self._take(turn, session, event, key=key)
            crashpoint("session.before-commit")
        if connection is None:
            crashpoint("session.committed")
        return outcome

    def conclude(self, session_id: str, key: str, *, outcome: Outcome) -> Applied | Refused | Missing:
        """Book what became of a payment call, and let the session go on with it, in one transaction.

        Args:
            session_id: whose.
            key: of the call.
            outcome: as `Payments.perform` gave it.
        Returns:
            the session afterwards, or why nothing changed: as a rule somebody was faster with the same answer.
        """
        try:
            with self.turn(None) as turn:
                session = records.load(turn, session_id, lock=True)
                operation = self.payments.operation(turn, key)
                if session is None or operation is None:
                    return Missing()
                concluded = self.payments.conclude(turn, key, outcome=outcome)
                kind = _KINDS[operation.kind]
                answer = answer_of(key, outcome, kind=kind)
                if concluded.operation.state is OperationState.FROZEN and answer.answer is not Answer.MISMATCH:
                    answer = PaymentAnswered(key, Answer.MISMATCH, reason=f"the books cannot take {answer.answer}")
                if isinstance(outcome, Unknown):
                    return Refused(Refusal.NOTHING_DUE, "the provider does not know yet")
                finish(turn, key, at_ns=self.clock.now_ns())  # the letter that wanted the call
                crashpoint("session.concluded")
                result = self._take(turn, session, answer, key="")
                crashpoint("session.before-commit")
        except OutcomeConflictError as error:
            return Refused(Refusal.CONFLICT, str(error))
        crashpoint("session.committed")
        return result

    def issue_unlock(self, session_id: str, unlocker: Unlocker) -> Applied | Refused | Missing:
        """Sign the unlock command of a session that has its hold; the command and the state are kept together.

        Args:
            session_id: anything.
            unlocker: signs.
        Returns:
            the session afterwards; `Refused` when it does not, or no longer, wait for that.
        """
        with self.turn(None) as turn:
            session = records.load(turn, session_id, lock=True)
            if session is None:
                return Missing()
            if session.state is not State.AUTHORIZED:
                return Refused(Refusal.NOT_NOW, f"the session is {session.state}")
            expires_ns = self.clock.now_ns() + span_ns(self.limits.acknowledge_s)
            order = UnlockOrder(session.tenant_id, session.device_id, session.id, expires_ns)
            seq = unlocker.issue(turn, order)
            crashpoint("session.unlock-signed")
            result = self._take(turn, session, UnlockIssued(seq, expires_ns), key=f"unlock:{seq}")
            finish(turn, f"{session.id}:unlock", at_ns=self.clock.now_ns())
            crashpoint("session.before-commit")
        crashpoint("session.committed")
        return result

    def device_event(self, event: DeviceEvent, *, connection: sa.Connection | None = None) -> DeviceResult:
        """Take what a device says; always safe to call, and once per device, boot and number.

        Args:
            event: in the order of its boot.
            connection: of a write transaction; a new one when None.
        Returns:
            what became of it.
        """
        with self.turn(connection) as turn:
            return intake.device_event(self, event, connection=turn)

    def acknowledge(self, told: Acknowledgement, *, connection: sa.Connection | None = None) -> DeviceResult:
        """Take what a device made of its unlock command.

        Args:
            told: the device's words.
            connection: of a write transaction; a new one when None.
        Returns:
            what became of it; `NOTED` when the session no longer waits for it.
        """
        with self.turn(connection) as turn:
            return intake.acknowledge(self, told, connection=turn)

    def manifest(
        self, upload: Manifest, *, connection: sa.Connection | None = None
    ) -> tuple[Segment, ...] | Refused | Missing:
        """Take the list of what a device recorded.

        Args:
            upload: the list.
            connection: of a write transaction; a new one when None.
        Returns:
            the segments that are not here; or why the list is not taken.
        """
        with self.turn(connection) as turn:
            return intake.manifest(self, upload, connection=turn)

    def offer(self, offered: Offered, *, connection: sa.Connection | None = None) -> Offer | Missing:
        """Say whether a segment is wanted; other bytes under a known name send the session to a person.

        Args:
            offered: what the device has.
            connection: of a write transaction; a new one when None.
        Returns:
            the answer; `Missing` when the device has no such session.
        """
        with self.turn(connection) as turn:
            return intake.offer(self, offered, connection=turn)

    def stored(
        self, offered: Offered, *, connection: sa.Connection | None = None
    ) -> Applied | Repeated | Refused | Missing:
        """Take a segment whose bytes are durable under ``sha256:<its digest>``.

        Args:
            offered: what was uploaded.
            connection: of a write transaction; a new one when None.
        Returns:
            the session afterwards, or why nothing changed.
        """
        with self.turn(connection) as turn:
            return intake.stored(self, offered, connection=turn)

    def load(self, session_id: str, *, connection: sa.Connection | None = None) -> Session | None:
        """Read a session.

        Args:
            session_id: anything.
            connection: reads; a new one when None.
        Returns:
            the session; None when there is none.
        """
        if connection is not None:
            return records.load(connection, session_id)
        with self.rows.reading() as reading:
            return records.load(reading, session_id)

    @contextmanager
    def turn(self, connection: sa.Connection | None) -> Iterator[sa.Connection]:
        """The caller's transaction, or a new one; fenced.

        Args:
            connection: of a write transaction, or None.
        Yields:
            the connection to use.
        """
        if connection is not None:
            if self._fence is not None:
                self._fence(connection)
            yield connection
            return
        with self.rows.transaction() as own:
            if self._fence is not None:
                self._fence(own)
            yield own

    def _take(self, connection: sa.Connection, session: Session, event: Event, *, key: str) -> Applied | Refused:
        """Write the step of an event, then the steps that the books answer at once."""
        now_ns = self.clock.now_ns()
        step = take_step(session, event, now_ns=now_ns, limits=self.limits)
        if isinstance(step, Refused):
            return step
        commands = list(step.commands)
        records.update(connection, session, step=step, event=event, key=key)
        answers = deque(self._effects.write(connection, step.session, commands=step.commands, now_ns=now_ns))
        session = step.session
        while answers:
            answer = answers.popleft()
            step = take_step(session, answer, now_ns=now_ns, limits=self.limits)
            if isinstance(step, Refused):
                continue  # the session has gone on without this answer
            records.update(connection, session, step=step, event=answer, key="")
            session = step.session
            commands += step.commands
            answers += self._effects.write(connection, session, commands=step.commands, now_ns=now_ns)
        return Applied(session, tuple(commands))

    def _redeemed(self, connection: sa.Connection, order: NewSession) -> Created | NotCreated | None:
        return self.redeemed(
            connection,
            order.jti,
            tenant_id=order.tenant_id,
            device_id=order.device_id,
            shopper_id=order.shopper_id,
        )

    def _device_in_use(self, connection: sa.Connection, order: NewSession) -> NotCreatedReason | None:
        mine = (SESSIONS.c.tenant_id == order.tenant_id, SESSIONS.c.device_id == order.device_id)
        lately_ns = self.clock.now_ns() - AJAR_BELIEVED_NS
        ajar = sa.and_(SESSIONS.c.ajar == 1, SESSIONS.c.opened_ns > lately_ns)
        used = sa.select(SESSIONS.c.occupies).where(*mine, sa.or_(SESSIONS.c.occupies == 1, ajar))
        row = connection.execute(used.order_by(SESSIONS.c.occupies.desc())).first()
        if row is None:
            return None
        return NotCreatedReason.DEVICE_BUSY if row.occupies else NotCreatedReason.DOOR_OPEN

    def _new(self, order: NewSession) -> Session:
        now_ns = self.clock.now_ns()
        (order.hold + order.cap)  # one currency, or an error before anything is written
        session = Session(
            id=new_id(),
            tenant_id=order.tenant_id,
            site_id=order.site_id,
            device_id=order.device_id,
            shopper_id=order.shopper_id,
            provider=order.provider,
            method_id=order.method_id,
            currency=order.hold.currency,
            hold_minor=order.hold.minor,
            cap_minor=order.cap.minor,
            price_list_id=order.price_list_id,
            assortment=order.assortment,
            pipeline=order.pipeline,
            created_ns=now_ns,
        )
        return begin(session, now_ns=now_ns, limits=self.limits)


_KINDS = {
    OperationKind.HOLD: Operation.AUTHORIZE,
    OperationKind.CHARGE: Operation.EXTRA,
    OperationKind.CAPTURE: Operation.CAPTURE,
    OperationKind.VOID: Operation.VOID,
    OperationKind.REFUND: Operation.REFUND,
}


def _known(connection: sa.Connection, session_id: str, key: str) -> bool:
    question = sa.select(EVENTS.c.version).where(EVENTS.c.session_id == session_id, EVENTS.c.key == key)
    return connection.execute(question).first() is not None
