"""Jobs that a fault stopped, begun again by the process that had them.

To the engine a job whose disk was full for a moment has failed for ever, and one whose end could not be written down runs for ever.
What was wanted is wanted still, so both are begun again: at once, then after longer and longer pauses, and at last left to a person.
Whatever such a job did already is found by its keys.
"""

import logging
import time
from collections.abc import Callable

from fleetsight.store.jobs import Jobs, JobStatus

LOG = logging.getLogger(__name__)

PAUSES_S = (0.0, 5.0, 30.0, 120.0, 600.0)
"""Before each further try of a job in one life of the process: a disk is full for minutes, a fault of ours for longer."""
LOOKED_AT = 1000
"""Troubled jobs of one look; more of them are no passing fault."""


class Mender:
    """Looks after the jobs of one worker, in all its lives.

    Args:
        jobs: of this life.
        name: of the worker: failed jobs of its earlier lives are its own, those of others are not.
        seconds: a clock that never steps back.
    """

    def __init__(self, jobs: Jobs, name: str, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._jobs = jobs
        self._name = name
        self._seconds = seconds
        self._tries: dict[str, tuple[int, float]] = {}
        self._seen: set[str] = set()

    def mend(self) -> list[str]:
        """Look once; call it every few seconds.

        Returns:
            ids of the jobs that were begun again.
        """
        stranded = set(self._jobs.stranded())
        again = [job_id for job_id in sorted(stranded & self._seen) if self._jobs.requeue(job_id)]
        self._seen = stranded
        for job in self._jobs.troubled(LOOKED_AT):
            mine = job.executor_id.rpartition(".")[0] == self._name
            if job.status is JobStatus.FAILED and mine and self._due(job.job_id):
                LOG.warning("job begun again job=%s reason=%s", job.job_id, job.error)
                self._jobs.retry(job.job_id)
                again.append(job.job_id)
        return again

    def _due(self, job_id: str) -> bool:
        now_s = self._seconds()
        tries, next_s = self._tries.get(job_id, (0, now_s))
        if tries == len(PAUSES_S) or now_s < next_s:
            return False
        tries += 1
        if tries == len(PAUSES_S):
            LOG.error("job fails again and again, this is its last try job=%s", job_id)
        self._tries[job_id] = (tries, now_s + PAUSES_S[min(tries, len(PAUSES_S) - 1)])
        return True
