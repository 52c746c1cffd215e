"""Runs the comparison with a provider, keeps its report, and carries out what needs no person."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fleetsight.billing import sales
from fleetsight.billing.books import Book
from fleetsight.billing.exactly_once import operation_rows
from fleetsight.billing.observing import Observation, observe
from fleetsight.billing.operations import Operation
from fleetsight.billing.payments import Payments
from fleetsight.billing.provider import Intent, Lookup, Provider, Unknown
from fleetsight.billing.reconciliation.compare import Observe, Ours, Proposal, Release, Report, reconcile
from fleetsight.billing.tables import OPERATIONS, RECONCILIATIONS
from fleetsight.clock import SECOND_NS, Clock
from fleetsight.store.ids import new_id
from fleetsight.store.rows import Rows

LOGGER = logging.getLogger(__name__)
INTENTS_MAX = 100_000
"""In one run; take a shorter period above it."""
KEYS_A_QUESTION = 500
REPORTS_KEPT_NS = 30 * 24 * 3600 * SECOND_NS


@dataclass(frozen=True, slots=True)
class StoredReport:
    """What is kept of a run.

    Attributes:
        provider: compared with.
        at_ns: when, UTC nanoseconds.
        matched: pairs that agreed.
        differences: as `Difference.as_json` writes them.
    """

    provider: str
    at_ns: int
    matched: int
    differences: tuple[dict[str, Any], ...]


class Reconciler:
    """Compares our books with one provider.

    Args:
        rows: where our books are.
        clock: the time.
        payments: books what the provider shows.
        provider: who is read.
    """

    def __init__(self, rows: Rows, clock: Clock, *, payments: Payments, provider: Provider) -> None:
        self._rows = rows
        self._clock = clock
        self._payments = payments
        self._provider = provider

    def run(self, since_ns: int) -> Report:
        """Compare everything that was asked since a moment, and keep the report.

        Args:
            since_ns: UTC nanoseconds.
        Returns:
            the report.
        Raises:
            ProviderUnavailableError: the provider cannot be read now.
        """
        theirs = list(self._provider.list_since(since_ns))
        with self._rows.reading() as connection:
            roots = list(self._roots(connection, theirs, since_ns))
        shown = {intent.key for intent in theirs} | {intent.ref for intent in theirs}
        for root in roots:
            if root.key not in shown and root.provider_ref not in shown:
                beyond = self._provider.get(_lookup(root))  # made on the other side of the moment
                if isinstance(beyond, Intent):
                    theirs.append(beyond)
                elif isinstance(beyond, Unknown):
                    LOGGER.warning("not compared key=%s reason=%s", root.key, beyond.reason)
                    roots = [other for other in roots if other is not root]
        now_ns = self._clock.now_ns()
        with self._rows.reading() as connection:
            ours = [mine for page in _pages(roots) for mine in _ours(connection, page)]
        report = reconcile(ours, theirs, now_ns=now_ns)
        with self._rows.transaction() as connection:
            connection.execute(sa.delete(RECONCILIATIONS).where(RECONCILIATIONS.c.at_ns < now_ns - REPORTS_KEPT_NS))
            connection.execute(
                sa.insert(RECONCILIATIONS).values(
                    id=new_id(),
                    provider=self._provider.name,
                    at_ns=now_ns,
                    since_ns=since_ns,
                    matched=report.matched,
                    differences=[difference.as_json() for difference in report.differences],
                )
            )
        for difference in report.differences:
            LOGGER.warning("money differs %s", difference.as_json())
        return report

    def carry_out(self, proposal: Proposal) -> tuple[Observation, ...] | None:
        """Do what a proposal says, when it needs neither a person nor a session.

        Args:
            proposal: of a report, perhaps an old one: doing it twice is doing it once.
        Returns:
            what was booked, for the sessions to learn; None for `Perform` (whose session must conclude it) and `AskPerson`, and
            when the provider could not be read.
        """
        if isinstance(proposal, Release):
            outcome = self._provider.void(proposal.ref, key=proposal.key)
            LOGGER.warning("released ref=%s outcome=%s", proposal.ref, outcome)
            return None if isinstance(outcome, Unknown) else ()
        if not isinstance(proposal, Observe):
            return None
        intent = self._payments.look(self._provider.name, proposal.key)
        if not isinstance(intent, Intent):
            return None
        with self._rows.transaction() as connection:
            return observe(
                connection,
                self._payments,
                provider=self._provider.name,
                intent=intent,
                now_ns=self._clock.now_ns(),
            )

    def _roots(self, connection: sa.Connection, theirs: Sequence[Intent], since_ns: int) -> Iterator[Operation]:
        """The holds and charges of the period, and those whose intents are shown."""
        mine = sa.and_(OPERATIONS.c.provider == self._provider.name, OPERATIONS.c.root_key == OPERATIONS.c.key)
        recent = operation_rows.find(connection, mine, OPERATIONS.c.created_ns >= since_ns, limit=INTENTS_MAX)
        yield from recent
        seen = {root.key for root in recent}
        older = [intent.key for intent in theirs if intent.key and intent.key not in seen]
        for start in range(0, len(older), KEYS_A_QUESTION):
            page = older[start : start + KEYS_A_QUESTION]
            yield from operation_rows.find(connection, mine, OPERATIONS.c.key.in_(page))


def last_reports(connection: sa.Connection, tenant_id: str) -> tuple[StoredReport, ...]:
    """The newest report of each provider, as far as it concerns a tenant.

    Args:
        connection: reads.
        tenant_id: whose differences.
    Returns:
        one for each provider that was ever compared.
    """
    newest = sa.select(sa.func.max(RECONCILIATIONS.c.at_ns)).group_by(RECONCILIATIONS.c.provider)
    rows = connection.execute(
        sa.select(RECONCILIATIONS).where(RECONCILIATIONS.c.at_ns.in_(newest)).order_by(RECONCILIATIONS.c.provider)
    )
    return tuple(
        StoredReport(
            row.provider,
            row.at_ns,
            row.matched,
            tuple(difference for difference in row.differences if difference["tenant_id"] == tenant_id),
        )
        for row in rows
    )


def _lookup(root: Operation) -> Lookup:
    return Lookup(root.provider_ref, root.key, root.tenant_id, root.method_id, root.created_ns)


def _pages(roots: Sequence[Operation]) -> Iterator[Sequence[Operation]]:
    for start in range(0, len(roots), KEYS_A_QUESTION):
        yield roots[start : start + KEYS_A_QUESTION]


def _ours(connection: sa.Connection, roots: Sequence[Operation]) -> Iterator[Ours]:
    operations = operation_rows.follow_ups(connection, [root.key for root in roots])
    for root in roots:
        mine = [operation for operation in operations if operation.root_key == root.key]
        fresh = next((operation for operation in mine if operation.key == root.key), root)
        rest = tuple(operation for operation in mine if operation.key != root.key)
        yield Ours(fresh, rest, Book(root.tenant_id, sales.BOOK).ledger_of(connection, root.session_id))
