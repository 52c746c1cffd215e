"""One worker process: it holds a lease, settles sessions, does what sessions want of the world, and tells people."""

import logging
import threading

from fleetsight.apps.cooler.session.analysis import Analyst
from fleetsight.apps.cooler.session.work import Worker
from fleetsight.clock import Clock
from fleetsight.errors import Error
from fleetsight.fleet.assortment import FleetAssortments
from fleetsight.fleet.devices.heartbeats import HeardOf
from fleetsight.fleet.installation import Installation
from fleetsight.fleet.processes.housekeeping import NOTIFY_TOPIC, Housekeeping
from fleetsight.fleet.processes.keeper import Keeper, acquire
from fleetsight.fleet.sites import wording
from fleetsight.notify import Channel, Notice
from fleetsight.store.jobs import Jobs
from fleetsight.store.lease import Executors, check
from fleetsight.store.outbox import Letter, Outbox

LOG = logging.getLogger(__name__)

NOTIFY_PAUSE_S = 0.5
NOTIFY_LEASE_S = 60.0
NOTIFY_AT_ONCE = 5
RETRIES_S = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0)
"""Pauses between attempts to tell people: about eight hours in all, in the manner of standardwebhooks.com; then it is given up."""


def run_worker(
    installation: Installation,
    number: int,
    *,
    stop: threading.Event,
    known_dead: bool,
    analyst: Analyst | None = None,
) -> None:
    """Work until told to stop.

    Args:
        installation: the opened parts.
        number: of this worker; two live processes never have the same.
        stop: ends the work.
        known_dead: the last process with this number is dead for sure.
        analyst: looks at clips; one with the bundled models when None.
    """
    executors = Executors(installation.rows, installation.clock)
    lease = acquire(executors, f"worker-{number}", stop=stop, known_dead=known_dead)
    if lease is None:
        return
    data_dir = installation.addresses.data_dir
    outbox = Outbox(installation.rows, installation.clock, holder=lease.executor_id)
    jobs = Jobs(installation.addresses.jobs_url, executor_id=lease.executor_id, concurrency=1)
    worker = Worker(
        installation.work,
        outbox=outbox,
        jobs=jobs,
        blobs=installation.blobs,
        analyst=analyst or Analyst(threads=installation.choices.threads or None),
        assortments=FleetAssortments(installation.blobs, data_dir / f"assortments-{number}"),
        name=lease.name,
        online=HeardOf(installation.clock),
        wording=wording,
        fence=lambda connection: check(connection, lease),
    )
    worker.define()
    jobs.launch()
    keeper = Keeper(executors, lease, jobs=jobs, outbox=outbox)
    keeper.start()
    telling = threading.Thread(
        target=tell_people,
        args=(outbox, installation.channel),
        kwargs={"clock": installation.clock, "stop": stop},
        name="notices",
    )
    telling.start()
    if number == 0:  # one is enough
        housekeeping = Housekeeping(installation, jobs=jobs, outbox=outbox)
        threading.Thread(target=housekeeping.run, args=(stop,), name="housekeeping", daemon=True).start()
    try:
        worker.run(stop)
    finally:
        stop.set()
        telling.join()
        jobs.close()
        keeper.stop()


def tell_people(outbox: Outbox, channel: Channel, *, clock: Clock, stop: threading.Event) -> None:
    """Deliver notices until told to stop.

    Args:
        outbox: where they wait.
        channel: the way to people.
        clock: the time.
        stop: ends it.
    """
    while not stop.wait(NOTIFY_PAUSE_S):
        try:
            for letter in outbox.claim([NOTIFY_TOPIC], NOTIFY_AT_ONCE, lease_s=NOTIFY_LEASE_S):
                _deliver(letter, outbox, channel=channel, clock=clock)
        except Error as error:  # the database is away; the letters are not
            LOG.warning("notices wait reason=%s", error)


def _deliver(letter: Letter, outbox: Outbox, *, channel: Channel, clock: Clock) -> None:
    notice = Notice(letter.key, str(letter.body["kind"]), int(letter.body["at_ns"]), dict(letter.body["facts"]))
    delivery = channel.send(notice, now_ns=clock.now_ns())
    if delivery.delivered:
        outbox.finish(letter.key)
    elif letter.attempts > len(RETRIES_S):
        LOG.error("notice given up id=%s reason=%s", letter.key, delivery.reason)
        outbox.finish(letter.key)
    else:
        outbox.retry_later(letter.key, RETRIES_S[letter.attempts - 1], error=delivery.reason)
