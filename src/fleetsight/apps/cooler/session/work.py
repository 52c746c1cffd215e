"""Does what sessions want: payments, unlocks, analyses, receipts, deletions. Each may be done twice, by anyone, after any crash.

    outbox letter -> Work (short things, at once) or a durable job (the analysis and the settlement after it)

`Work` is also what a request calls when a person waits: it does the same as the letter would, and the letter then finds it done.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.apps.cooler.session import effects
from fleetsight.apps.cooler.session.analysis import Analyst, AssortmentFiles, Assortments
from fleetsight.apps.cooler.session.answers import Applied
from fleetsight.apps.cooler.session.duties import retention
from fleetsight.apps.cooler.session.duties.receipts import Wording, write_receipt
from fleetsight.apps.cooler.session.duties.settling import Settler
from fleetsight.apps.cooler.session.duties.sweeper import Online, Sweeper
from fleetsight.apps.cooler.session.machine.events import SettlementStarted
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.shell import Sessions, Unlocker
from fleetsight.billing.payments import Payments
from fleetsight.billing.provider import Unknown
from fleetsight.catalog.sku import Catalog
from fleetsight.errors import Error
from fleetsight.store.blobs import Blobs
from fleetsight.store.canonical import JsonObject
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.jobs import Jobs, Steps
from fleetsight.store.lease import LeaseLostError
from fleetsight.store.outbox import Letter, Outbox

__all__ = ["AssortmentFiles", "Assortments", "Work", "Worker"]

LOG = logging.getLogger(__name__)

JOB = "session.settle"
CALLS_MAX = 6
"""Payment calls that follow each other at once: capture, void, extra, two refunds; what is left over has its own letter."""
LETTERS_AT_ONCE = 8
STEP_ATTEMPTS = 3
"""Of a job's step, within a second: the disk or the database failed for a moment. What lasts longer, the next look at troubled jobs mends."""
LETTER_LEASE_S = 60.0
"""Longer than a provider may take; then another worker tries, which finds what was done."""
IDLE_S = 0.1
PAUSES_S = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Before a letter that failed is tried again; the last one is repeated, for what is wanted stays wanted."""


class SessionGoneError(Error):
    """A session that was there is not."""

    code = "session_gone"


class Work:
    """Short effects of sessions.

    Args:
        sessions: the machine on rows.
        payments: moves money.
        unlocker: signs unlock commands.
    """

    def __init__(self, sessions: Sessions, *, payments: Payments, unlocker: Unlocker) -> None:
        self.sessions = sessions
        self.payments = payments
        self.unlocker = unlocker

    def fenced(self, fence: Callable[[sa.Connection], None]) -> "Work":
        """The same work for a process that holds a lease; see `Sessions.fenced`."""
        return Work(self.sessions.fenced(fence), payments=self.payments, unlocker=self.unlocker)

    def hurry(self, session_id: str) -> Session:
        """Get the hold and the unlock command now, because a shopper stands at the door.

        Args:
            session_id: as `Sessions.create` made it.
        Returns:
            the session afterwards; whatever did not work out is left to the letters and the deadlines.
        Raises:
            SessionGoneError: there is no such session.
        """
        session = self._loaded(session_id)
        if session.state is State.AUTHORIZING:
            self.pay_on(session_id)
            session = self._loaded(session_id)
        if session.state is State.AUTHORIZED:
            self.unlock(session_id)
            session = self._loaded(session_id)
        return session

    def hurry_settlement(self, session_id: str) -> Session:
        """Carry a decision, a refund or a collection out now, because a person waits for it.

        Args:
            session_id: whose.
        Returns:
            the session afterwards.
        Raises:
            SessionGoneError: there is no such session.
        """
        session = self._loaded(session_id)
        if session.state is State.DECIDED and session.decision is not None:
            self.settle(session_id, session.decision.version)
        else:
            self.pay_on(session_id)
        return self._loaded(session_id)

    def settle(self, session_id: str, version: int) -> None:
        """Begin to carry a decision out, and go on as far as the provider answers.

        Args:
            session_id: whose.
            version: of the decision.
        """
        begun = self.sessions.apply(session_id, SettlementStarted(version))
        crashpoint("work.settlement-started")
        if isinstance(begun, Applied):  # whoever began goes on; after a crash the calls have letters of their own
            self.pay_on(session_id)

    def pay_on(self, session_id: str) -> None:
        """Perform the payment call under way, and those that follow from its answer.

        Args:
            session_id: whose.
        """
        for _ in range(CALLS_MAX):
            session = self._loaded(session_id)
            pending = session.payment.pending
            if pending is None or session.payment.frozen or not self.pay(session_id, pending.key):
                return

    def pay(self, session_id: str, key: str) -> bool:
        """Perform one payment call, and let the session go on.

        Args:
            session_id: whose.
            key: of the call.
        Returns:
            whether the provider answered; False when the call may or may not have happened.
        """
        crashpoint("work.before-pay")
        outcome = self.payments.perform(key)
        crashpoint("work.after-pay")
        self.sessions.conclude(session_id, key, outcome=outcome)
        return not isinstance(outcome, Unknown)

    def unlock(self, session_id: str) -> None:
        """Sign the unlock command, if the session still waits for it.

        Args:
            session_id: whose.
        """
        crashpoint("work.before-unlock")
        self.sessions.issue_unlock(session_id, self.unlocker)
        crashpoint("work.after-unlock")

    def _loaded(self, session_id: str) -> Session:
        session = self.sessions.load(session_id)
        if session is None:
            raise SessionGoneError(f"there is no session {session_id}")
        return session


@dataclass
class Worker:
    """What a worker process does: letters, the sweep, and the bodies of durable jobs.

    Attributes:
        work: short effects.
        outbox: where letters wait.
        jobs: durable jobs; `define` before they are launched.
        blobs: segments and evidence.
        analyst: looks at clips.
        assortments: what is sold.
        name: of the worker, for logs.
        online: whether a device was heard of lately.
        wording: names of seller and place for the receipt of a session.
        fence: called in each transaction; raises when the worker lost its lease.
    """

    work: Work
    outbox: Outbox
    jobs: Jobs
    blobs: Blobs
    analyst: Analyst
    assortments: Assortments
    name: str
    online: Online | None = None
    wording: Callable[[sa.Connection, Session], tuple[str, str]] | None = None
    fence: Callable[[sa.Connection], None] | None = None

    def __post_init__(self) -> None:
        if self.fence is not None:
            self.work = self.work.fenced(self.fence)
        self._sessions = self.work.sessions
        self._settler = Settler(self._sessions, self.blobs, self.analyst, self.assortments)
        self._sweeper = Sweeper(self.work.sessions, pay=self.work.pay, online=self.online)

    def define(self) -> None:
        """Tell the jobs what they do."""
        self.jobs.define(JOB, self._settle)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop, or until the lease is lost.

        Args:
            stop: ends the work; set by this worker when it may not work any more.
        """
        sweeping = threading.Thread(target=self._sweeper.run, args=(stop,), name="sweeper")
        sweeping.start()
        try:
            self.analyst.prepare()
            while not stop.is_set():
                if not self.deliver_once(stop):
                    stop.wait(IDLE_S)
        finally:
            stop.set()
            sweeping.join()
            self.analyst.close()

    def deliver_once(self, stop: threading.Event | None = None) -> int:
        """Perform letters that are due.

        Args:
            stop: set when the lease is lost.
        Returns:
            how many there were.
        """
        try:
            letters = self.outbox.claim(effects.TOPICS, LETTERS_AT_ONCE, lease_s=LETTER_LEASE_S)
        except Error as error:  # the database is away; the letters are not
            LOG.warning("letters wait worker=%s reason=%s", self.name, error)
            return 0
        for letter in letters:
            try:
                self._perform(letter)
                self.outbox.finish(letter.key)
            except LeaseLostError:
                LOG.exception("lease lost worker=%s", self.name)
                if stop is not None:
                    stop.set()
                return len(letters)
            except Exception as error:
                LOG.exception("letter failed worker=%s key=%s attempts=%d", self.name, letter.key, letter.attempts)
                self._later(letter, error)
        return len(letters)

    def sweep_once(self) -> int:
        """Do what is due.

        Returns:
            how many sessions moved.
        """
        return self._sweeper.sweep()

    def _later(self, letter: Letter, error: Exception) -> None:
        pause_s = PAUSES_S[min(letter.attempts, len(PAUSES_S)) - 1]
        try:
            self.outbox.retry_later(letter.key, pause_s, error=f"{type(error).__name__}: {error}")
        except Error as gone:  # its claim runs out by itself
            LOG.warning("letter left to its claim key=%s reason=%s", letter.key, gone)

    def _perform(self, letter: Letter) -> None:
        session_id, body = str(letter.body["session_id"]), letter.body
        match letter.topic:
            case effects.PAY:
                self.work.pay(session_id, str(body["key"]))
            case effects.ASK:
                self.work.pay(session_id, str(body["operation_key"]))
            case effects.UNLOCK:
                self.work.unlock(session_id)
            case effects.ANALYSE:
                arguments: JsonObject = {"session_id": session_id, "run_id": str(body["run_id"])}
                self.jobs.enqueue(JOB, letter.key, arguments=arguments)
            case effects.SETTLE:
                self.work.settle(session_id, int(body["version"]))
            case effects.RECEIPT:
                self._receipt(session_id)
            case effects.DELETE:
                retention.delete_video(self._sessions, self.blobs, session_id=session_id)
        crashpoint("work.letter-performed")

    def _settle(self, steps: Steps, arguments: JsonObject) -> JsonObject:
        """The durable job: look, then carry the decision out, so that the shopper does not wait for the next letter."""
        session_id, run_id = str(arguments["session_id"]), str(arguments["run_id"])
        looked = steps.run("analyse", lambda: self._settler.analyse(session_id, run_id), attempts=STEP_ATTEMPTS)
        if looked["state"] != State.DECIDED.value:
            return looked
        return steps.run("settle", lambda: self._carry_out(session_id), attempts=STEP_ATTEMPTS)

    def _carry_out(self, session_id: str) -> JsonObject:
        session = self.work.hurry_settlement(session_id)
        if session.decision is not None and session.state in (State.SETTLED, State.RELEASED, State.OWED):
            self._receipt(session_id)
        return {"state": session.state.value}

    def _receipt(self, session_id: str) -> None:
        session = self._sessions.load(session_id)
        if session is None or session.decision is None:
            return
        catalog = Catalog.load(self.assortments.folder(session.tenant_id, session.assortment).catalog)
        names = {sku: entry.name for sku, entry in catalog.skus.items()}
        with self._sessions.turn(None) as connection:
            current = self._sessions.load(session_id, connection=connection)
            if current is None:
                return
            seller, place = session.tenant_id, session.site_id
            if self.wording is not None:
                seller, place = self.wording(connection, session)
            write_receipt(
                connection,
                current,
                payments=self.work.payments,
                wording=Wording(seller, place, names),
                now_ns=self._sessions.clock.now_ns(),
            )
            crashpoint("work.receipt-before-commit")
