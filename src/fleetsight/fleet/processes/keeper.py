"""Keeps a worker's right to work: renews its lease, hands on the work of dead workers, and ends this process when the right is gone."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from fleetsight.store.jobs import Jobs
from fleetsight.store.lease import LEASE_S, RENEW_S, Executors, Lease, LeaseLostError, sweep
from fleetsight.store.mending import Mender
from fleetsight.store.outbox import Outbox

LOG = logging.getLogger(__name__)

SWEEP_S = 5.0
LOOK_S = 0.2
MARGIN_S = 3.0
"""Ends this process so long before others may take its lease: clocks differ, and a step that began must not go on."""


def acquire(executors: Executors, name: str, *, stop: threading.Event, known_dead: bool) -> Lease | None:
    """Wait for the lease of a name.

    Args:
        executors: the leases.
        name: of this worker.
        stop: gives up when it is set.
        known_dead: whoever had it before is dead for sure, as a supervisor knows of its own child.
    Returns:
        the lease; None when told to stop.
    """
    while not stop.is_set():
        lease = executors.acquire(name, take_over=known_dead)
        if lease is not None:
            return lease
        LOG.info("waiting for the lease name=%s", name)
        stop.wait(1.0)
    return None


class Keeper:
    """A thread beside the work.

    Args:
        executors: the leases.
        lease: of this process.
        jobs: of this process, launched.
        outbox: whose letters the dead may have claimed.
        end: ends this process when the right is gone; gets the reason.
    """

    def __init__(
        self,
        executors: Executors,
        lease: Lease,
        *,
        jobs: Jobs,
        outbox: Outbox,
        end: Callable[[str], None] | None = None,
    ) -> None:
        self._executors = executors
        self._lease = lease
        self._jobs = jobs
        self._mender = Mender(jobs, lease.name)
        self._outbox = outbox
        self._end_process = end or _end_process
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin; the first sweep is now, because a worker that starts may be the successor of a dead one."""
        self._thread.start()

    def stop(self) -> None:
        """Let the lease go."""
        self._end.set()
        self._thread.join(LEASE_S)
        self._executors.release(self._lease)

    def _run(self) -> None:
        renewed_s = time.monotonic()
        renew_at_s, sweep_at_s = renewed_s + RENEW_S, renewed_s
        while not self._end.wait(LOOK_S):
            now_s = time.monotonic()
            if now_s >= renew_at_s and self._renew():
                renewed_s, renew_at_s = now_s, now_s + RENEW_S
            if time.monotonic() - renewed_s > LEASE_S - MARGIN_S:
                self._lose(f"lease not renewed for {time.monotonic() - renewed_s:.1f} s")
                return
            if now_s >= sweep_at_s:
                self._sweep()
                sweep_at_s = time.monotonic() + SWEEP_S

    def _renew(self) -> bool:
        try:
            self._lease = self._executors.renew(self._lease)
        except LeaseLostError as error:
            self._lose(error.message)
        except Exception:  # the loop's boundary: the database is away; try again until the lease runs out
            LOG.exception("lease not renewed")
            return False
        return True

    def _lose(self, reason: str) -> None:
        self._end.set()
        self._end_process(reason)

    def _sweep(self) -> None:
        try:
            resumed = sweep(self._executors, self._jobs)
            holders = self._outbox.holders()  # before asking who lives: who claims later has its lease already
            letters = self._outbox.take_from(holders - self._executors.live())
            self._mender.mend()
        except Exception:  # the loop's boundary: the next sweep is in five seconds
            LOG.exception("sweep failed")
            return
        if resumed or letters:
            LOG.info("work of dead workers handed on jobs=%s letters=%d", ",".join(resumed), letters)


def _end_process(reason: str) -> None:
    """End at once: threads of this process may be in the middle of work that is no longer theirs."""
    LOG.error("worker ends reason=%s", reason)
    os.kill(os.getpid(), signal.SIGKILL)
