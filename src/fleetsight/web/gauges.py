"""What the rows say about the whole installation, as figures for `fleetsight.web.metrics`: queues, sessions, money, workers.

Figures are sums over all tenants: the number of series does not grow with them, and no tenant's name leaves the database.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.tables import SESSIONS
from fleetsight.billing.gauges import gauges as money_gauges
from fleetsight.clock import SECOND_NS, Clock
from fleetsight.fleet.tenants import tenants
from fleetsight.money import Money
from fleetsight.store.lease import Executors
from fleetsight.store.outbox import Outbox
from fleetsight.store.rows import Rows
from fleetsight.web.metrics import Read, Reading

_LASTING = frozenset(
    {State.CREATED, State.AUTHORIZING, State.AUTHORIZED, State.UNLOCKING, State.OPEN, State.CLOSED}
    | {
        State.WAITING_EVIDENCE,
        State.ANALYZING,
        State.REVIEW,
        State.DECIDED,
        State.SETTLING,
        State.OWED,
        State.REFUNDING,
    }
)
"""States that a session does not stay in; ended ones would be counted over all time at every scrape."""


def gauges(rows: Rows, clock: Clock) -> Read:
    """Prepare the reading.

    Args:
        rows: the database.
        clock: the time.
    Returns:
        a function that reads every figure; a fraction of a second with a hundred thousand sessions.
    """
    executors, outbox = Executors(rows, clock), Outbox(rows, clock)

    def read() -> list[Reading]:
        now_ns = clock.now_ns()
        with rows.reading() as connection:
            found = [*_sessions(connection, now_ns), *_money(connection, now_ns)]
        for waiting in outbox.waiting():
            topic = (("topic", waiting.topic),)
            late_s = max(0.0, (now_ns - waiting.oldest_due_ns) / SECOND_NS)
            found.append(Reading("outbox_letters", "Effects that are wanted and not done.", waiting.count, topic))
            found.append(Reading("outbox_late_seconds", "How long the oldest of them is overdue.", late_s, topic))
        found.append(Reading("workers", "Workers that hold a lease.", len(executors.live())))
        return found

    return read


def _sessions(connection: sa.Connection, now_ns: int) -> Iterator[Reading]:
    question = (
        sa.select(SESSIONS.c.state, sa.func.count(), sa.func.min(SESSIONS.c.entered_ns))
        .where(SESSIONS.c.state.in_([state.value for state in _LASTING]))
        .group_by(SESSIONS.c.state)
    )
    known = {state: (count, entered_ns) for state, count, entered_ns in connection.execute(question)}
    for state in sorted(_LASTING):
        count, entered_ns = known.get(state.value, (0, now_ns))
        label = (("state", state.value),)
        yield Reading("sessions", "Sessions that are not over.", count, label)
        age_s = max(0.0, (now_ns - entered_ns) / SECOND_NS)
        yield Reading("session_age_seconds", "How long the oldest session is in this state.", age_s, label)
    late = sa.select(sa.func.count()).select_from(SESSIONS).where(SESSIONS.c.deadline_ns < now_ns)
    yield Reading("sessions_late", "Sessions past their deadline.", connection.execute(late).scalar_one())


def _money(connection: sa.Connection, now_ns: int) -> Iterator[Reading]:
    found = [money_gauges(connection, tenant.tenant_id) for tenant in tenants(connection)]
    yield Reading("open_holds", "Sessions with money reserved.", sum(one.open_holds for one in found))
    oldest_ns = min((one.oldest_hold_ns for one in found if one.oldest_hold_ns is not None), default=now_ns)
    yield Reading("oldest_hold_seconds", "Age of the oldest open hold.", max(0, now_ns - oldest_ns) / SECOND_NS)
    yield from _amounts("held_minor", "Money reserved, in minor units.", [one.held for one in found])
    yield from _amounts("owed_minor", "Money that shoppers owe, in minor units.", [one.owed for one in found])
    unsettled, frozen = sum(one.unsettled for one in found), sum(one.frozen for one in found)
    yield Reading("payments_unsettled", "Payment calls whose end nobody knows yet.", unsettled)
    yield Reading("payments_frozen", "Payment calls that wait for a person.", frozen)
    unreconciled = sum(one.unreconciled for one in found)
    yield Reading("payments_unreconciled", "Differences from what the providers say.", unreconciled)


def _amounts(name: str, text: str, amounts: Sequence[Sequence[Money]]) -> Iterator[Reading]:
    sums: Counter[str] = Counter()
    for of_tenant in amounts:
        for amount in of_tenant:
            sums[amount.currency] += amount.minor
    for currency in sorted(sums):
        yield Reading(name, text, sums[currency], (("currency", currency),))
