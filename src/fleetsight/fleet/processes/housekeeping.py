"""What an installation does for itself every hour.

It compares its books with the providers, checks what must be true, tells people of jobs that do not go on, and forgets what is old.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial

from fleetsight.billing.provider import Hint, Provider
from fleetsight.billing.reconciliation.compare import AskPerson, Difference, Observe, Perform, Release
from fleetsight.billing.reconciliation.reconciler import Reconciler
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.installation import Installation
from fleetsight.fleet.invariants import broken_rules
from fleetsight.fleet.provider_news import ProviderNews
from fleetsight.store.canonical import JsonObject
from fleetsight.store.jobs import Jobs
from fleetsight.store.outbox import Outbox, post

LOG = logging.getLogger(__name__)

NOTIFY_TOPIC = "notify"
HOUR_S = 3600.0
FIRST_S = 60.0
"""After a start there is more urgent work."""
DAY_NS = 86_400 * SECOND_NS
LOOK_BACK_NS = 2 * DAY_NS
"""Longer than any provider lets us ask about a key, so that what one run could not settle the next ones see."""
LETTERS_KEPT_NS = 8 * DAY_NS
"""A day longer than idempotency keys: a key that is free again is never posted again."""
JOBS_KEPT_NS = 30 * DAY_NS


class Housekeeping:
    """The hourly round.

    Args:
        installation: the opened parts.
        jobs: durable jobs.
        outbox: letters.
    """

    def __init__(self, installation: Installation, *, jobs: Jobs, outbox: Outbox) -> None:
        self._parts = installation
        self._jobs = jobs
        self._outbox = outbox
        self._news = ProviderNews(
            installation.rows, installation.clock, payments=installation.payments, work=installation.work
        )

    def run(self, stop: threading.Event) -> None:
        """Do the round every hour until told to stop.

        Args:
            stop: ends it.
        """
        pause_s = FIRST_S
        while not stop.wait(pause_s):
            self.once()
            pause_s = HOUR_S

    def once(self) -> None:
        """Do the round now; what fails is logged and tried in the next one."""
        duties: dict[str, Callable[[], None]] = {
            f"reconcile {provider.name}": partial(self._reconcile, provider) for provider in self._parts.providers
        }
        for name, duty in {**duties, "check": self._check, "jobs": self._look_at_jobs, "forget": self._forget}.items():
            try:
                duty()
            except Exception:  # the loop's boundary: one duty that fails keeps no other from being done
                LOG.exception("housekeeping failed duty=%s", name)

    def _reconcile(self, provider: Provider) -> None:
        parts = self._parts
        reconciler = Reconciler(parts.rows, parts.clock, payments=parts.payments, provider=provider)
        report = reconciler.run(parts.clock.now_ns() - LOOK_BACK_NS)
        LOG.info(
            "reconciled provider=%s matched=%d differences=%d", provider.name, report.matched, len(report.differences)
        )
        for difference in report.differences:
            self._repair(difference, provider, reconciler=reconciler)

    def _repair(self, difference: Difference, provider: Provider, *, reconciler: Reconciler) -> None:
        match difference.proposal:
            case Perform(key=key):
                self._parts.work.pay(difference.session_id, key)
            case Observe(key=ref):
                now_ns = self._parts.clock.now_ns()
                self._news.take(Hint(provider.name, f"reconcile:{ref}:{now_ns}", "reconcile", ref, now_ns))
            case Release() as release:
                reconciler.carry_out(release)
            case AskPerson(key=key):
                self._tell("money.differs", f"reconcile:{key}", difference.as_json())

    def _check(self) -> None:
        now_ns = self._parts.clock.now_ns()
        for broken in broken_rules(self._parts.rows, self._parts.blobs, now_ns=now_ns, since_ns=now_ns - LOOK_BACK_NS):
            LOG.error("rule broken rule=%s subject=%s detail=%s", broken.rule, broken.subject, broken.detail)
            facts: JsonObject = {"rule": broken.rule, "subject": broken.subject, "detail": broken.detail}
            self._tell("rule.broken", f"{broken.rule}:{broken.subject}", facts)

    def _look_at_jobs(self) -> None:
        """A job that failed for hours, or took its process with it too often, needs a person; its session is not lost meanwhile."""
        for job in self._jobs.troubled():
            LOG.error("job in trouble job=%s status=%s error=%s", job.job_id, job.status.value, job.error)
            facts: JsonObject = {"job_id": job.job_id, "name": job.name, "status": job.status.value, "error": job.error}
            self._tell("job.troubled", job.job_id, facts)

    def _forget(self) -> None:
        now_ns = self._parts.clock.now_ns()
        letters = self._outbox.delete_finished(now_ns - LETTERS_KEPT_NS)
        jobs = self._jobs.delete_older(now_ns - JOBS_KEPT_NS)
        LOG.info("forgotten letters=%d jobs=%d", letters, jobs)

    def _tell(self, kind: str, subject: str, facts: JsonObject) -> None:
        """Tell people, once a day about the same thing."""
        now_ns = self._parts.clock.now_ns()
        body: JsonObject = {"kind": kind, "at_ns": now_ns, "facts": facts}
        with self._parts.rows.transaction() as connection:
            key = f"{NOTIFY_TOPIC}:{kind}:{subject}:{now_ns // DAY_NS}"
            post(connection, topic=NOTIFY_TOPIC, key=key, body=body, due_ns=now_ns)
