"""A worker works while it has its lease, and ends when it has not."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fleetsight.clock import SECOND_NS, SystemClock, VirtualClock
from fleetsight.fleet.processes import keeper
from fleetsight.fleet.processes.keeper import Keeper, acquire
from fleetsight.store.jobs import Jobs, JobStatus
from fleetsight.store.lease import LEASE_S, Executors, Lease
from fleetsight.store.outbox import Outbox, post
from fleetsight.store.rows import Rows, RowsUnavailableError, upgrade

NOON_NS = 1_800_000_000 * SECOND_NS
WAIT_S = 30.0


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    with closing(Rows.open(f"sqlite:///{tmp_path}/rows.db")) as rows:
        upgrade(rows)
        yield rows


def until(true: Any) -> None:
    limit = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.02)


def test_a_worker_waits_for_a_name_that_is_held(rows: Rows) -> None:
    clock = VirtualClock(NOON_NS)
    executors = Executors(rows, clock)
    executors.acquire("worker-0")
    stop = threading.Event()
    threading.Timer(0.05, clock.advance, [LEASE_S * SECOND_NS]).start()
    lease = acquire(executors, "worker-0", stop=stop, known_dead=False)
    assert lease is not None
    assert lease.token == 2
    stop.set()
    assert acquire(executors, "worker-0", stop=stop, known_dead=False) is None


def test_a_restarted_worker_does_not_wait_for_itself(rows: Rows) -> None:
    executors = Executors(rows, VirtualClock(NOON_NS))
    executors.acquire("worker-0")
    lease = acquire(executors, "worker-0", stop=threading.Event(), known_dead=True)
    assert lease is not None
    assert lease.token == 2


def test_the_first_sweep_hands_on_the_work_of_the_life_before(rows: Rows, tmp_path: Path) -> None:
    """A process is killed within a job; its successor takes the job up without waiting for any lease to run out."""
    code = """
        import os, signal, sys, threading, time
        from fleetsight.clock import SystemClock
        from fleetsight.fleet.processes.keeper import Keeper, acquire
        from fleetsight.store.jobs import Jobs
        from fleetsight.store.lease import Executors
        from fleetsight.store.outbox import Outbox
        from fleetsight.store.rows import Rows

        folder, last = sys.argv[1], sys.argv[2] == "last"
        rows = Rows.open(f"sqlite:///{folder}/rows.db")
        executors = Executors(rows, SystemClock())
        stop = threading.Event()
        lease = acquire(executors, "worker-0", stop=stop, known_dead=True)
        jobs = Jobs(f"sqlite:///{folder}/jobs.db", executor_id=lease.executor_id)
        def body(steps, arguments):
            if not last:
                os.kill(os.getpid(), signal.SIGKILL)
            return {"done_by": lease.executor_id}
        jobs.define("work", body)
        jobs.enqueue("work", "work:1", arguments={})
        jobs.launch()
        outbox = Outbox(rows, SystemClock(), holder=lease.executor_id)
        keeper = Keeper(executors, lease, jobs=jobs, outbox=outbox)
        keeper.start()
        while jobs.state("work:1").result is None:
            time.sleep(0.02)
        jobs.close()
        keeper.stop()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    assert subprocess.run([*command, "first"], timeout=WAIT_S * 2, check=False).returncode == -signal.SIGKILL
    assert subprocess.run([*command, "last"], timeout=WAIT_S * 2, check=False).returncode == 0
    jobs = Jobs(f"sqlite:///{tmp_path}/jobs.db")
    state = jobs.state("work:1")
    assert state is not None
    assert (state.status, state.result) == (JobStatus.DONE, {"done_by": "worker-0.2"})
    jobs.close()
    assert Executors(rows, SystemClock()).live() == set()  # the last one let go


def test_the_first_sweep_ends_the_claims_of_the_dead_and_only_theirs(rows: Rows) -> None:
    clock = SystemClock()
    executors = Executors(rows, clock)
    with rows.transaction() as connection:
        for key in ("1-of-the-dead", "2-of-another"):
            post(connection, topic="t", key=key, body={}, due_ns=1)
    dead, other = executors.acquire("worker-0"), executors.acquire("worker-1")
    assert dead is not None
    assert other is not None
    for holder in (dead.executor_id, other.executor_id):
        assert len(Outbox(rows, clock, holder=holder).claim(["t"], 1, lease_s=60)) == 1
    lease = executors.acquire("worker-0", take_over=True)
    assert lease is not None
    outbox = Outbox(rows, clock, holder=lease.executor_id)
    keeper = Keeper(executors, lease, jobs=NoJobs(), outbox=outbox)
    keeper.start()
    found: list[str] = []

    def claimed() -> bool:
        found.extend(letter.key for letter in outbox.claim(["t"], 9, lease_s=60))
        return bool(found)

    until(claimed)
    keeper.stop()
    assert found == ["1-of-the-dead"]
    assert len(outbox.claim(["t"], 9, lease_s=60)) == 0


class NoJobs(Jobs):
    def __init__(self) -> None:
        return

    def executors_at_work(self) -> set[str]:
        return set()


class Ending:
    """Takes the place of the process's end: only the keeper's thread ends."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.happened = threading.Event()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        self.happened.set()


def test_a_worker_whose_name_was_taken_ends_at_once(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "RENEW_S", 0.0)
    ending, executors = Ending(), Executors(rows, SystemClock())
    lease = executors.acquire("worker-0")
    assert lease is not None
    executors.acquire("worker-0", take_over=True)
    Keeper(executors, lease, jobs=NoJobs(), outbox=Outbox(rows, SystemClock()), end=ending).start()
    assert ending.happened.wait(WAIT_S)
    assert ending.reasons == ["worker-0.1 lost its lease"]


class Away(Executors):
    """The database went away after the lease was taken."""

    def renew(self, lease: Lease) -> Lease:
        raise RowsUnavailableError("the database failed: gone")

    def expired(self) -> list[Lease]:
        raise RowsUnavailableError("the database failed: gone")


def test_a_worker_without_a_database_ends_before_its_lease_does(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "RENEW_S", 0.0)
    monkeypatch.setattr(keeper, "LEASE_S", keeper.MARGIN_S + 0.3)
    ending, executors = Ending(), Away(rows, SystemClock())
    lease = executors.acquire("worker-0")
    assert lease is not None
    Keeper(executors, lease, jobs=NoJobs(), outbox=Outbox(rows, SystemClock()), end=ending).start()
    assert ending.happened.wait(WAIT_S)
    assert ending.reasons[0].startswith("lease not renewed for")


def test_the_end_of_a_process_is_sudden() -> None:
    code = "from fleetsight.fleet.processes.keeper import _end_process; _end_process('test'); print('lived')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")
