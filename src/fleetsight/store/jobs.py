"""Durable jobs: functions of named steps that go on where they stopped when their process dies. DBOS 3.x drives them.

Nobody else imports dbos. A step that finished never runs again; one whose process died after the effect and before the note of it
runs again: steps happen at least once, so the effect in a step carries its own key. What a job brought belongs into our own rows;
the history here is deleted after a while and is never asked whether money moved.

Every process may enqueue and look. Only one `Jobs` of a process may `launch` and then execute, because DBOS is one per process.
An executor's id names one life of one process (`fleetsight.store.lease.Lease.executor_id`), and jobs of the dead are handed on
by `fleetsight.store.lease.sweep`.
"""

import enum
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, PortableWorkflowError

from fleetsight.clock import SECOND_NS
from fleetsight.errors import Error
from fleetsight.store.canonical import Json, JsonObject, canonical, digest_of
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.rows import Rows, driver_url, insert_if_absent

VERSION = "jobs-v1"
"""DBOS runs a job only under the version that began it, so this stays as it is; the order of a job's steps may not change under it
either (give the new order a new job name)."""
POLLING_S = 0.05  # a job starts within 40 to 70 ms; an idle executor costs about 1 % of a core
RECOVERIES = 3  # a job that takes its process with it this often, after the first time, is poison
DRAIN_S = 5  # closing waits so long for steps that run
STEP_ATTEMPTS = 10
PAGE = 500  # jobs deleted at a time
_QUEUE = "fleetsight"
_APPLICATION = "fleetsight"

_log = logging.getLogger(__name__)
T = TypeVar("T", bound=Json)
_TABLES = sa.MetaData()
_KNOWN = sa.Table(  # lies in the jobs' database and outlives DBOS's history: an id is never used twice
    "fleetsight_jobs",
    _TABLES,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("arguments_sha256", sa.String(64), nullable=False),
)
_launching = threading.Lock()
_executing: list["Jobs"] = []  # the one of this process


class JobsError(Error):
    """Jobs that are used in the wrong order, or a job that does not exist."""

    code = "jobs"


class JobConflictError(JobsError):
    """A job with this id exists and is another."""

    code = "job_conflict"


class StepError(JobsError):
    """A step failed for good. The same error, with the same words, comes when the job is run again after a crash."""

    code = "job_step"


class JobStatus(enum.Enum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """It raised; `Jobs.retry` runs it again from the step that failed."""
    POISONED = "poisoned"
    """It took its process with it too often; a person decides about `Jobs.retry`."""


@dataclass(frozen=True)
class JobState:
    """A job as it stands.

    Attributes:
        job_id: its id.
        name: which function.
        status: how far it is.
        arguments: what it was given.
        result: what it returned; None unless done.
        error: what went wrong, for people; empty unless failed.
        executor_id: who runs it or ran it last; empty while it was never started.
    """

    job_id: str
    name: str
    status: JobStatus
    arguments: JsonObject
    result: JsonObject | None
    error: str
    executor_id: str


class Steps:
    """What a job's function runs its steps with. Steps follow each other in the same order each time; they do not nest.

    Args:
        job_id: the job's id, of which keys of effects are made.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id

    def run(self, name: str, function: Callable[[], T], *, attempts: int = 1, wait_s: float = 0.5) -> T:
        """Run a step, or give the result it had.

        Args:
            name: the step, the same each time.
            function: does it. It returns plain JSON, limits its own time, and may run again when the process died meanwhile.
            attempts: how often it may raise, from 1 to `STEP_ATTEMPTS`.
            wait_s: before the second attempt; doubles each time.
        Returns:
            what the function returned, now or in an earlier life.
        Raises:
            StepError: it raised at each attempt; the first time and whenever the job runs again.
        """
        if not 1 <= attempts <= STEP_ATTEMPTS:
            raise JobsError(f"step {name} with {attempts} attempts", hint=f"1 to {STEP_ATTEMPTS}")

        try:
            value = DBOS.run_step(
                {"name": name}, partial(self._attempt, name, function, attempts=attempts, wait_s=wait_s)
            )
        except PortableWorkflowError as error:  # what the step's StepError has become in the history
            raise StepError(error.message) from error
        crashpoint("jobs.after-step")
        return value

    def _attempt(self, name: str, function: Callable[[], T], *, attempts: int, wait_s: float) -> T:
        # Not DBOS's own retries: their error does not say what went wrong once the job is run again.
        for attempt in range(1, attempts + 1):
            crashpoint("jobs.before-effect")
            try:
                value = function()
            except Exception as error:
                _log.warning("step failed job=%s step=%s attempt=%d", self.job_id, name, attempt, exc_info=True)
                if attempt == attempts:
                    raise StepError(f"step {name} failed: {type(error).__name__}: {error}") from error
                time.sleep(wait_s * 2 ** (attempt - 1))
            else:
                canonical(value)
                crashpoint("jobs.after-effect")
                return value
        raise AssertionError(attempts)


Body: TypeAlias = Callable[[Steps, JsonObject], JsonObject]


class Jobs:
    """The jobs of an installation.

    Args:
        url: their database, as `Rows.open` takes it; its own file beside the rows with SQLite.
        executor_id: this life of this process; empty for a process that only enqueues and looks.
        concurrency: jobs that run at once in this process.
    Raises:
        RowsError: an address that cannot be used.
    """

    def __init__(self, url: str, *, executor_id: str = "", concurrency: int = 2) -> None:
        self._url = driver_url(url)
        self._executor_id = executor_id
        self._concurrency = concurrency
        self._bodies: dict[str, Body] = {}
        self._running: set[str] = set()
        self._counting = threading.Lock()
        _quiet_logger()
        self._rows = Rows.open(url)  # also switches SQLite to write-ahead logging, which DBOS does not
        self._rows.create_tables(_TABLES)
        self._client = DBOSClient(
            system_database_url=self._url,
            serializer=DBOSPortableJSONSerializer(),
            application_name=_APPLICATION,
            retry_connection_errors=False,
        )
        # Not `DBOS.migrate`, which prepares for LISTEN and NOTIFY: jobs send no messages, and a listener costs each executor a
        # connection and a thread that closing has to wake.
        self._client._sys_db.run_migrations()

    def define(self, name: str, body: Body) -> None:
        """Say what a job does; before `launch`, in each process that executes.

        Args:
            name: the job's name, stable over versions of the program.
            body: takes the steps and the arguments, returns plain JSON. Between steps it may only compute.
        Raises:
            JobsError: the name is taken, or the jobs run already.
        """
        if name in self._bodies or self in _executing:
            raise JobsError(f"job {name} cannot be defined now", hint="define each job once, before launch")
        self._bodies[name] = body

    def launch(self) -> None:
        """Begin to execute jobs, in threads of this process.

        Raises:
            JobsError: no executor id, or another `Jobs` of this process executes.
        """
        if not self._executor_id:
            raise JobsError("an executor without an id", hint="acquire a lease and pass its executor_id")
        with _launching:
            if _executing:
                raise JobsError("this process executes jobs already", hint="one Jobs per process may launch")
            self._client.register_queue(  # before the launch: DBOS looks for new queues only once a second
                _QUEUE,
                worker_concurrency=self._concurrency,
                polling_interval_sec=POLLING_S,
                on_conflict="always_update",
            )
            self._engine = DBOS(config=self._config())
            try:
                for name, body in self._bodies.items():
                    DBOS.workflow(name=name, max_recovery_attempts=RECOVERIES)(self._workflow(body))
                DBOS.launch()
            except BaseException:
                DBOS.destroy(destroy_registry=True)
                raise
            _executing.append(self)

    def close(self) -> None:
        """Stop executing and let go of the database; waits `DRAIN_S` for jobs that run, which go on elsewhere. Safe to call twice."""
        with _launching:
            if self in _executing:
                _executing.remove(self)
                # A job's thread that is left behind would ask a database that is gone for ever, and the process would not end.
                self._engine._sys_db._retry_connection_errors = False
                DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=DRAIN_S if self._running else 0)
        self._client.destroy()
        self._rows.close()

    def enqueue(self, name: str, job_id: str, *, arguments: JsonObject) -> None:
        """Want a job; wanting the same again changes nothing, also after it was done and forgotten.

        Args:
            name: which.
            job_id: names this job for ever; not empty.
            arguments: plain JSON.
        Raises:
            JobConflictError: the id belongs to a job of another name or with other arguments.
            NotJsonError: the arguments are not plain JSON.
        """
        if not job_id.strip():
            raise JobsError("a job without an id", hint="make the id of what the job is about")
        row = {"job_id": job_id, "name": name, "arguments_sha256": digest_of(arguments)}
        with self._rows.transaction() as connection:
            if insert_if_absent(connection, _KNOWN, values=row, keys=["job_id"]):
                self._client.enqueue_in_transaction(
                    connection, {"workflow_name": name, "queue_name": _QUEUE, "workflow_id": job_id}, arguments
                )
                crashpoint("jobs.before-enqueued")
                return
            known = connection.execute(sa.select(_KNOWN).where(_KNOWN.c.job_id == job_id)).one()
        if dict(known._mapping) != row:
            raise JobConflictError(
                f"job {job_id} exists as {known.name} with other arguments"
                if known.name == name
                else f"job {job_id} exists as {known.name}, not {name}",
                hint="a new wish needs a new id",
            )

    def state(self, job_id: str) -> JobState | None:
        """Look at a job.

        Args:
            job_id: its id.
        Returns:
            how it stands; None when it was never wanted, or was done and deleted.
        """
        found = self._client.list_workflows(workflow_ids=[job_id])
        return _state(found[0]) if found else None

    def troubled(self, limit: int = 100) -> list[JobState]:
        """Find jobs that will not go on by themselves.

        Args:
            limit: at most so many.
        Returns:
            failed and poisoned jobs, oldest first.
        """
        names = [name for name, status in _STATUS.items() if status in (JobStatus.FAILED, JobStatus.POISONED)]
        return [_state(found) for found in self._client.list_workflows(status=names, limit=limit)]

    def retry(self, job_id: str) -> None:
        """Run a failed or poisoned job again, from the first step without a result.

        Args:
            job_id: its id.
        Raises:
            JobsError: no such job, or it needs no retry.
        """
        state = self.state(job_id)
        if state is None or state.status not in (JobStatus.FAILED, JobStatus.POISONED):
            was = "does not exist" if state is None else f"is {state.status.value}"
            raise JobsError(f"job {job_id} {was}", hint="only failed and poisoned jobs are run again")
        steps = self._client.list_workflow_steps(job_id, load_output=True)
        good = [step["function_id"] for step in steps if step["error"] is None]
        bad = [step["function_id"] for step in steps if step["error"] is not None]
        first = min(bad) if bad else max(good, default=0) + 1
        self._client.rewind_workflow(job_id, start_step=first, queue_name=_QUEUE)

    def stranded(self) -> list[str]:
        """Find jobs that this executor began and that no thread of it runs: their end could not be written down.

        Returns:
            their ids; one that was begun this moment may be among them, so believe what two looks find.
        """
        pending = self._client.list_workflows(
            status="PENDING", executor_id=self._executor_id, load_input=False, load_output=False
        )
        with self._counting:
            return [job.workflow_id for job in pending if job.workflow_id not in self._running]

    def requeue(self, job_id: str) -> bool:
        """Queue a stranded job again; one that needs this too often is poisoned when it is next begun.

        Args:
            job_id: one of `stranded`.
        Returns:
            whether it was stranded still.
        """
        return self._client._sys_db.reenqueue_for_recovery(job_id, [self._executor_id], _QUEUE)

    def executors_at_work(self) -> set[str]:
        """Find who has jobs.

        Returns:
            ids of the executors that began a job and did not end it; some may be dead.
        """
        running = self._client.list_workflows(status="PENDING", load_input=False, load_output=False)
        return {found.executor_id for found in running if found.executor_id}

    def resume_of(self, executor_id: str) -> list[str]:
        """Hand the jobs of a dead executor on. Call it when its lease ran out; safe to call any number of times.

        Args:
            executor_id: who is dead. Were it alive, its steps would run twice at once.
        Returns:
            ids of the jobs that are queued again; one that did this too often is poisoned when it is next begun.
        """
        pending = self._client.list_workflows(
            status="PENDING", executor_id=executor_id, load_input=False, load_output=False
        )
        # The public `resume_workflow` also takes jobs that a live executor has begun meanwhile, and forgets how often a job was
        # recovered, so that a poisoned one would go round for ever. This is what DBOS itself calls when it starts.
        again = self._client._sys_db.reenqueue_for_recovery
        return [job.workflow_id for job in pending if again(job.workflow_id, [executor_id], _QUEUE)]

    def delete_older(self, before_ns: int) -> int:
        """Delete what is remembered about jobs that were done long ago; their ids stay used.

        Args:
            before_ns: done before this moment, UTC nanoseconds.
        Returns:
            how many were deleted.
        """
        moment = datetime.fromtimestamp(before_ns / SECOND_NS, tz=UTC).isoformat()
        count = 0
        while True:
            done = self._client.list_workflows(
                status="SUCCESS", completed_before=moment, limit=PAGE, load_input=False, load_output=False
            )
            if not done:
                return count
            self._client.delete_workflows([job.workflow_id for job in done])
            count += len(done)

    def _config(self) -> DBOSConfig:
        return {
            "name": _APPLICATION,
            "system_database_url": self._url,
            "application_version": VERSION,
            "executor_id": self._executor_id,
            "serializer": DBOSPortableJSONSerializer(),  # the default is pickle: who can write the rows could run code here
            "max_executor_threads": self._concurrency + 4,
            "sys_db_pool_size": self._concurrency + 4,
            "use_listen_notify": False,
            "log_level": "WARNING",
        }

    def _workflow(self, body: Body) -> Callable[[JsonObject], JsonObject]:
        def _run(arguments: JsonObject) -> JsonObject:
            job_id = str(DBOS.workflow_id)
            with self._counting:
                self._running.add(job_id)
            try:
                result = body(Steps(job_id), arguments)
                canonical(result)
                crashpoint("jobs.before-done")
                return result
            finally:
                with self._counting:
                    self._running.discard(job_id)

        return _run


_STATUS = {
    "DELAYED": JobStatus.QUEUED,
    "ENQUEUED": JobStatus.QUEUED,
    "PENDING": JobStatus.RUNNING,
    "SUCCESS": JobStatus.DONE,
    "ERROR": JobStatus.FAILED,
    "CANCELLED": JobStatus.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": JobStatus.POISONED,
}


def _state(found: Any) -> JobState:
    return JobState(
        job_id=found.workflow_id,
        name=found.name,
        status=_STATUS[found.status],
        arguments=found.input["args"][0],
        result=found.output,
        error=str(found.error or ""),
        executor_id=found.executor_id or "",
    )


def _quiet_logger() -> None:
    logger = logging.getLogger("dbos")
    if not logger.handlers:  # else DBOS adds its own writer to the console and stops the records from reaching ours
        logger.addHandler(logging.NullHandler())
