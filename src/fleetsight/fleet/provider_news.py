"""What a payment provider says without being asked: a web hook names an object, the object is read, books and session follow it.

A web hook is a hint where to look and never the truth; it may come twice, late, or before the answer to our own call. When the
object cannot be read nothing is noted, and the provider sends the hint again.
"""

import sqlalchemy as sa

from fleetsight.apps.cooler.session import records
from fleetsight.apps.cooler.session.machine.events import DisputeClosed, DisputeOpened, PaymentAnswered
from fleetsight.apps.cooler.session.machine.states import Answer
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.work import Work
from fleetsight.billing.observing import DisputeChanged, HoldEnded, Outstanding, observe, root_of, take_hint
from fleetsight.billing.payments import Payments
from fleetsight.billing.provider import DisputeState, Hint, Intent, Unknown
from fleetsight.clock import Clock
from fleetsight.errors import Error
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.rows import Rows


class ProviderSilentError(Error):
    """The object that a hint names cannot be read now."""

    code = "provider_silent"


class ProviderNews:
    """Follows hints of providers.

    Args:
        rows: books and sessions.
        clock: server time.
        payments: reads providers and keeps the books.
        work: tells sessions, and finishes calls whose answer was lost.
    """

    def __init__(self, rows: Rows, clock: Clock, *, payments: Payments, work: Work) -> None:
        self._rows = rows
        self._clock = clock
        self._payments = payments
        self._work = work

    @property
    def _sessions(self) -> Sessions:
        return self._work.sessions

    def take(self, hint: Hint) -> bool:
        """Follow a hint.

        Args:
            hint: from a web hook whose signature was checked.
        Returns:
            False when it was followed before.
        Raises:
            ProviderSilentError: the provider does not answer; nothing was noted.
        """
        intent = self._payments.look(hint.provider, hint.ref) if hint.ref else None
        if isinstance(intent, Unknown):
            raise ProviderSilentError(
                f"{hint.provider} does not answer: {intent.reason}", hint="it sends the hint again"
            )
        with self._rows.transaction() as connection:
            if not take_hint(connection, hint, now_ns=self._clock.now_ns()):
                return False
            outstanding = [] if intent is None else self._follow(connection, hint.provider, intent=intent)
        crashpoint("provider-news.kept")
        for call in outstanding:  # left to its letter and the sweep, should this process die here
            self._work.pay(call.session_id, call.key)
        return True

    def _follow(self, connection: sa.Connection, provider: str, *, intent: Intent) -> list[Outstanding]:
        root = root_of(connection, provider, intent=intent)
        if root is None:
            return []
        records.load(connection, root.session_id, lock=True)  # the session before the book, as everywhere
        outstanding: list[Outstanding] = []
        for seen in observe(connection, self._payments, provider=provider, intent=intent, now_ns=self._clock.now_ns()):
            match seen:
                case Outstanding():
                    outstanding.append(seen)
                case HoldEnded(key=key, session_id=session_id):
                    ended = PaymentAnswered(key, Answer.EXPIRED, reason="ended at the provider")
                    self._sessions.apply(session_id, ended, key=f"news:{key}:ended", connection=connection)
                case DisputeChanged(key=key, session_id=session_id, state=state):
                    self._sessions.apply(
                        session_id, _dispute(seen), key=f"news:{key}:{state.value}", connection=connection
                    )
        return outstanding


def _dispute(seen: DisputeChanged) -> DisputeOpened | DisputeClosed:
    if seen.state is DisputeState.OPEN:
        return DisputeOpened(seen.key, seen.amount.minor)
    return DisputeClosed(seen.key, won=seen.state is DisputeState.WON)
