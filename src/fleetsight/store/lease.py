"""Who may execute: a name is held for 15 s at a time, each holder has a number that rises, and a sweep hands on the work of the dead.

An executor acquires its name, renews the lease every few seconds, and passes the lease to `check` in each transaction that has an
effect. When it stops renewing, the sweep makes its number void, so that a process that only slept can change nothing any more,
and queues its jobs again.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from fleetsight.clock import SECOND_NS, Clock
from fleetsight.errors import Error
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.rows import METADATA, Rows, TimeNs, insert_if_absent

if TYPE_CHECKING:  # who only asks for leases need not load the engine of the jobs
    from fleetsight.store.jobs import Jobs

LEASE_S = 15
"""A holder that was silent so long counts as dead."""
RENEW_S = 5
"""Renew this often, so that two renewals may be lost."""

EXECUTORS = sa.Table(
    "executors",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("until_ns", TimeNs, nullable=False),
)
_VACANT = 0  # until_ns of a name that nobody holds


class LeaseLostError(Error):
    """Another process holds the name now, or the sweep gave the work away."""

    code = "lease_lost"


@dataclass(frozen=True)
class Lease:
    """The right to execute under a name.

    Attributes:
        name: the executor's name, for example ``worker-0``.
        token: rises with each holder of the name.
        until_ns: holds until then unless it is renewed, UTC nanoseconds.
    """

    name: str
    token: int
    until_ns: int

    @property
    def executor_id(self) -> str:
        """Names this life of the process for `Jobs`: a restarted process is another executor, and its old jobs are swept."""
        return f"{self.name}.{self.token}"


class Executors:
    """The leases of an installation.

    Args:
        rows: the database.
        clock: the time; clocks of machines that share the database may differ by a few seconds.
    """

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    def acquire(self, name: str, *, take_over: bool = False) -> Lease | None:
        """Take a name.

        Args:
            name: the executor's name.
            take_over: also from a holder that is not silent yet; for a supervisor that knows it to be dead.
        Returns:
            the lease; None while another holds the name.
        """
        now_ns = self._clock.now_ns()
        until_ns = now_ns + LEASE_S * SECOND_NS
        with self._rows.transaction() as connection:
            insert_if_absent(
                connection, EXECUTORS, values={"name": name, "token": 0, "until_ns": _VACANT}, keys=["name"]
            )
            held = connection.execute(sa.select(EXECUTORS).where(EXECUTORS.c.name == name).with_for_update()).one()
            if held.until_ns > now_ns and not take_over:
                return None
            connection.execute(
                sa.update(EXECUTORS).where(EXECUTORS.c.name == name).values(token=held.token + 1, until_ns=until_ns)
            )
        return Lease(name, held.token + 1, until_ns)

    def renew(self, lease: Lease) -> Lease:
        """Hold on.

        Args:
            lease: the newest one.
        Returns:
            the lease with its new end.
        Raises:
            LeaseLostError: the name has gone to another; stop all work at once.
        """
        until_ns = self._clock.now_ns() + LEASE_S * SECOND_NS
        if not self._set(lease, until_ns):
            raise _lost(lease)
        return replace(lease, until_ns=until_ns)

    def release(self, lease: Lease) -> None:
        """Let go; jobs that are left are handed on by the next sweep.

        Args:
            lease: the lease; one that was lost is left alone.
        """
        self._set(lease, _VACANT)

    def expired(self) -> list[Lease]:
        """Find holders that are silent.

        Returns:
            their leases, by name; not those that were released or revoked.
        """
        question = sa.select(EXECUTORS).where(
            EXECUTORS.c.until_ns > _VACANT, EXECUTORS.c.until_ns <= self._clock.now_ns()
        )
        with self._rows.reading() as connection:
            return [Lease(row.name, row.token, row.until_ns) for row in connection.execute(question.order_by("name"))]

    def revoke(self, lease: Lease) -> bool:
        """Make a silent holder's lease void: its `check` and `renew` fail from now on.

        Args:
            lease: one of `expired`.
        Returns:
            False when it was renewed or taken meanwhile.
        """
        silent = (
            EXECUTORS.c.name == lease.name,
            EXECUTORS.c.token == lease.token,
            EXECUTORS.c.until_ns <= self._clock.now_ns(),
        )
        with self._rows.transaction() as connection:
            changed = sa.update(EXECUTORS).where(*silent).values(token=EXECUTORS.c.token + 1, until_ns=_VACANT)
            return connection.execute(changed).rowcount == 1

    def live(self) -> set[str]:
        """Find who holds a lease.

        Returns:
            executor ids.
        """
        question = sa.select(EXECUTORS).where(EXECUTORS.c.until_ns > self._clock.now_ns())
        with self._rows.reading() as connection:
            return {Lease(row.name, row.token, row.until_ns).executor_id for row in connection.execute(question)}

    def _set(self, lease: Lease, until_ns: int) -> bool:
        mine = (EXECUTORS.c.name == lease.name, EXECUTORS.c.token == lease.token)
        with self._rows.transaction() as connection:
            return connection.execute(sa.update(EXECUTORS).where(*mine).values(until_ns=until_ns)).rowcount == 1


def check(connection: sa.Connection, lease: Lease) -> None:
    """Fence an effect: until this transaction ends nobody can take the name.

    Args:
        connection: of the transaction with the effect.
        lease: under which the work was begun.
    Raises:
        LeaseLostError: the name has gone to another; the transaction must not be kept.
    """
    question = sa.select(EXECUTORS.c.token).where(EXECUTORS.c.name == lease.name).with_for_update(read=True)
    if connection.execute(question).scalar() != lease.token:
        raise _lost(lease)


def sweep(executors: Executors, jobs: "Jobs") -> list[str]:
    """Hand on the jobs of executors that are dead; run it every 5 s in any number of processes.

    Args:
        executors: the leases.
        jobs: the jobs.
    Returns:
        ids of the jobs that were queued again.
    """
    for lease in executors.expired():
        executors.revoke(lease)
    crashpoint("sweep.revoked")
    at_work = jobs.executors_at_work()  # before asking who lives: who begins a job later has its lease already
    dead = at_work - executors.live()
    return [job_id for executor_id in sorted(dead) for job_id in jobs.resume_of(executor_id)]


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(f"{lease.executor_id} lost its lease", hint="end this process; its work has been handed on")
