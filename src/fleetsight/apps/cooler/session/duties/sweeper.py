"""Every five seconds: what is due is done. Any number of sweepers may run at once; what one did, the next finds not due any more."""

import logging
import threading
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from fleetsight.apps.cooler.session.answers import Applied
from fleetsight.apps.cooler.session.machine.events import DeadlinePassed
from fleetsight.apps.cooler.session.machine.limits import span_ns
from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.tables import SESSIONS
from fleetsight.errors import Error
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.lease import LeaseLostError

LOG = logging.getLogger(__name__)

PAUSE_S = 5.0
QUIET_S = 30.0
"""A payment call that nobody touched for so long is asked for, whatever became of its letter."""
AT_ONCE = 200
"""Sessions of one sweep; the oldest deadlines come first, so that a backlog drains."""

Online = Callable[[sa.Connection, str, str], bool]
"""Whether a device of a tenant was heard of lately."""


class Sweeper:
    """Moves sessions on whose time has come.

    Args:
        sessions: the machine on rows.
        pay: performs a payment call of a session, by key.
        online: whether a device was heard of lately; None takes every device for online.
    """

    def __init__(self, sessions: Sessions, *, pay: Callable[[str, str], bool], online: Online | None = None) -> None:
        self._sessions = sessions
        self._pay = pay
        self._online = online

    def run(self, stop: threading.Event) -> None:
        """Sweep until told to stop.

        Args:
            stop: ends it; set here when the lease is lost.
        """
        while not stop.is_set():
            try:
                self.sweep()
            except LeaseLostError:
                LOG.exception("lease lost")
                stop.set()
            except Error as error:
                LOG.warning("sweep put off reason=%s", error)
            except Exception:  # the loop's boundary: deadlines have to be kept, whatever this sweep met
                LOG.exception("sweep failed")
            stop.wait(PAUSE_S)

    def sweep(self) -> int:
        """Do what is due once.

        Returns:
            how many sessions moved.
        """
        moved = sum(self._alone(session_id, partial(self._past_deadline, session_id)) for session_id in self._due())
        crashpoint("sweep.deadlines-done")
        for session_id, key in self._quiet_payments():
            self._alone(session_id, partial(self._pay, session_id, key))
        return moved

    def _alone(self, session_id: str, act: Callable[[], bool]) -> bool:
        """One session that cannot be moved keeps no other from moving: the oldest deadline comes first, each time."""
        try:
            return act()
        except LeaseLostError:
            raise
        except Exception:
            LOG.exception("session not swept session=%s", session_id)
            return False

    def _due(self) -> list[str]:
        now_ns = self._sessions.clock.now_ns()
        question = sa.select(SESSIONS.c.id).where(SESSIONS.c.deadline_ns <= now_ns)
        with self._sessions.rows.reading() as connection:
            return list(connection.execute(question.order_by(SESSIONS.c.deadline_ns).limit(AT_ONCE)).scalars())

    def _past_deadline(self, session_id: str) -> bool:
        online = False
        with self._sessions.turn(None) as connection:
            session = self._sessions.load(session_id, connection=connection)
            if session is not None and session.state is State.WAITING_EVIDENCE:
                online = self._online is None or self._online(connection, session.tenant_id, session.device_id)
            outcome = self._sessions.apply(session_id, DeadlinePassed(online), connection=connection)
            crashpoint("sweep.before-commit")
        return isinstance(outcome, Applied)

    def _quiet_payments(self) -> list[tuple[str, str]]:
        before_ns = self._sessions.clock.now_ns() - span_ns(QUIET_S)
        with self._sessions.rows.reading() as connection:
            quiet = self._sessions.payments.unsettled(connection, older_than_ns=before_ns, limit=AT_ONCE)
        return [(operation.session_id, operation.key) for operation in quiet]
