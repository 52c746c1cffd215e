"""What durable jobs must do on every database; the test of each kind subclasses this."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TypeAlias

import pytest

from fleetsight.clock import SECOND_NS, SystemClock, VirtualClock
from fleetsight.store.canonical import JsonObject, NotJsonError
from fleetsight.store.jobs import (
    RECOVERIES,
    Body,
    JobConflictError,
    Jobs,
    JobsError,
    JobState,
    JobStatus,
    StepError,
    Steps,
)
from fleetsight.store.lease import LEASE_S, Executors, sweep
from fleetsight.store.rows import Rows, upgrade

WAIT_S = 60.0
Open: TypeAlias = Callable[..., Jobs]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread or process."""
    limit = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < limit, f"waited {WAIT_S} s"
        time.sleep(0.01)


def ended(jobs: Jobs, job_id: str) -> JobState:
    """Wait for the end of a job."""

    def has_ended() -> bool:
        state = jobs.state(job_id)
        return state is not None and state.status not in (JobStatus.QUEUED, JobStatus.RUNNING)

    until(has_ended)
    state = jobs.state(job_id)
    assert state is not None
    return state


def answer(steps: Steps, arguments: JsonObject) -> JsonObject:
    return {"answer": steps.run("twice", lambda: arguments["number"] * 2), "job_id": steps.job_id}


def noted(log: list[str], text: str) -> int:
    """Write down that a step ran; how many did so far."""
    log.append(text)
    return len(log)


class JobsContract(ABC):
    """One subclass per kind of database; its fixture `url` is the address of an empty one."""

    @abstractmethod
    def test_lie_where_the_address_says(self, url: str, open_jobs: Open) -> None:
        """The subclass opened what it says."""

    @pytest.fixture
    def open_jobs(self, url: str) -> Iterator[Open]:
        """Open jobs; with bodies they execute. All are closed at the end."""
        with ExitStack() as stack:

            def open_one(executor_id: str = "", **bodies: Body) -> Jobs:
                jobs = Jobs(url, executor_id=executor_id)
                stack.callback(jobs.close)
                for name, body in bodies.items():
                    jobs.define(name, body)
                if bodies:
                    jobs.launch()
                return jobs

            yield open_one

    def test_a_job_is_done_and_its_result_kept(self, open_jobs: Open) -> None:
        jobs = open_jobs("worker-0.1", answer=answer)
        jobs.enqueue("answer", "job-1", arguments={"number": 21})
        assert ended(jobs, "job-1") == JobState(
            job_id="job-1",
            name="answer",
            status=JobStatus.DONE,
            arguments={"number": 21},
            result={"answer": 42, "job_id": "job-1"},
            error="",
            executor_id="worker-0.1",
        )

    def test_what_was_wanted_before_anyone_executes_is_done_later(self, open_jobs: Open) -> None:
        waiting = open_jobs()
        waiting.enqueue("answer", "job-1", arguments={"number": 1})
        state = waiting.state("job-1")
        assert state is not None
        assert (state.status, state.executor_id) == (JobStatus.QUEUED, "")
        open_jobs("worker-0.1", answer=answer)
        assert ended(waiting, "job-1").result == {"answer": 2, "job_id": "job-1"}

    def test_a_job_that_was_never_wanted_has_no_state(self, open_jobs: Open) -> None:
        assert open_jobs().state("job-1") is None

    def test_the_same_wish_twice_is_one_job(self, open_jobs: Open) -> None:
        runs: list[str] = []

        def count(steps: Steps, _: JsonObject) -> JsonObject:
            return {"runs": steps.run("count", partial(noted, runs, steps.job_id))}

        jobs = open_jobs("worker-0.1", count=count)
        for _ in range(3):
            jobs.enqueue("count", "job-1", arguments={"a": 1, "b": 2})
        ended(jobs, "job-1")
        jobs.enqueue("count", "job-1", arguments={"b": 2, "a": 1})
        jobs.enqueue("count", "job-2", arguments={})
        ended(jobs, "job-2")
        assert runs == ["job-1", "job-2"]

    def test_the_same_id_with_another_wish_is_a_conflict(self, open_jobs: Open) -> None:
        jobs = open_jobs()
        jobs.enqueue("answer", "job-1", arguments={"number": 1})
        for name, arguments in (("answer", {"number": 2}), ("other", {"number": 1}), ("answer", {})):
            with pytest.raises(JobConflictError, match="job-1") as caught:
                jobs.enqueue(name, "job-1", arguments=arguments)
            assert caught.value.hint
        state = jobs.state("job-1")
        assert state is not None
        assert (state.name, state.arguments) == ("answer", {"number": 1})

    def test_an_id_is_never_used_twice_even_when_its_job_is_forgotten(self, open_jobs: Open) -> None:
        jobs = open_jobs("worker-0.1", answer=answer)
        jobs.enqueue("answer", "job-1", arguments={"number": 1})
        ended(jobs, "job-1")
        assert jobs.delete_older(SystemClock().now_ns() - 3600 * SECOND_NS) == 0
        assert jobs.delete_older(SystemClock().now_ns() + 3600 * SECOND_NS) == 1
        jobs.enqueue("answer", "job-1", arguments={"number": 1})
        assert jobs.state("job-1") is None
        with pytest.raises(JobConflictError):
            jobs.enqueue("answer", "job-1", arguments={"number": 2})

    @pytest.mark.parametrize("job_id", ["", " "])
    def test_an_empty_id_is_refused(self, open_jobs: Open, job_id: str) -> None:
        with pytest.raises(JobsError, match="without an id"):
            open_jobs().enqueue("answer", job_id, arguments={})

    def test_arguments_that_are_no_json_are_refused(self, open_jobs: Open) -> None:
        jobs = open_jobs()
        with pytest.raises(NotJsonError):
            jobs.enqueue("answer", "job-1", arguments={"blob": b"bytes"})
        assert jobs.state("job-1") is None

    def test_a_step_is_tried_again_as_often_as_it_says(self, open_jobs: Open) -> None:
        tries: list[int] = []

        def flaky() -> int:
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionError("no answer")
            return len(tries)

        def body(steps: Steps, _: JsonObject) -> JsonObject:
            return {"tries": steps.run("flaky", flaky, attempts=3, wait_s=0.01)}

        jobs = open_jobs("worker-0.1", job=body)
        jobs.enqueue("job", "job-1", arguments={})
        assert ended(jobs, "job-1").result == {"tries": 3}

    def test_a_failed_job_says_why_and_is_run_again_from_the_step_that_failed(self, open_jobs: Open) -> None:
        log: list[str] = []
        repaired = threading.Event()

        def second() -> str:
            log.append("second")
            if not repaired.is_set():
                raise OSError("disk full")
            return "ok"

        def body(steps: Steps, _: JsonObject) -> JsonObject:
            first = steps.run("first", partial(noted, log, "first"))
            return {"first": first, "second": steps.run("second", second, attempts=2, wait_s=0.01)}

        jobs = open_jobs("worker-0.1", job=body)
        jobs.enqueue("job", "job-1", arguments={})
        state = ended(jobs, "job-1")
        assert (state.status, state.error) == (JobStatus.FAILED, "step second failed: OSError: disk full")
        assert [job.job_id for job in jobs.troubled()] == ["job-1"]
        repaired.set()
        jobs.retry("job-1")
        assert ended(jobs, "job-1").result == {"first": 1, "second": "ok"}
        assert log == ["first", "second", "second", "second"]
        assert jobs.troubled() == []

    def test_a_job_that_failed_between_its_steps_keeps_them(self, open_jobs: Open) -> None:
        log: list[str] = []

        def body(steps: Steps, _: JsonObject) -> JsonObject:
            steps.run("only", partial(noted, log, "only"))
            if len(log) == 1:
                log.append("raised")
                raise ValueError("a bug between the steps")
            return {}

        jobs = open_jobs("worker-0.1", job=body)
        jobs.enqueue("job", "job-1", arguments={})
        assert "a bug between the steps" in ended(jobs, "job-1").error
        jobs.retry("job-1")
        assert ended(jobs, "job-1").status is JobStatus.DONE
        assert log == ["only", "raised"]

    def test_a_step_that_failed_fails_with_the_same_words_when_the_job_runs_again(self, open_jobs: Open) -> None:
        seen: list[str] = []

        def body(steps: Steps, _: JsonObject) -> JsonObject:
            try:
                steps.run("charge", lambda: 1 // 0)
            except StepError as error:
                seen.append(str(error))
            if len(seen) == 1:
                raise ValueError("again, please")
            return {}

        jobs = open_jobs("worker-0.1", job=body)
        jobs.enqueue("job", "job-1", arguments={})
        ended(jobs, "job-1")
        jobs._client.rewind_workflow("job-1", start_step=2, queue_name="fleetsight")  # keeps the step's failure
        assert ended(jobs, "job-1").status is JobStatus.DONE
        assert seen[0] == seen[1] == "step charge failed: ZeroDivisionError: integer division or modulo by zero"

    def test_only_what_failed_is_run_again(self, open_jobs: Open) -> None:
        jobs = open_jobs("worker-0.1", answer=answer)
        jobs.enqueue("answer", "job-1", arguments={"number": 1})
        ended(jobs, "job-1")
        with pytest.raises(JobsError, match="is done"):
            jobs.retry("job-1")
        with pytest.raises(JobsError, match="does not exist"):
            jobs.retry("job-2")

    def test_a_step_or_a_job_that_returns_no_json_fails(self, open_jobs: Open) -> None:
        def from_step(steps: Steps, _: JsonObject) -> JsonObject:
            return {"pair": steps.run("pair", lambda: {"pair": (1, 2)})}

        def from_job(_: Steps, __: JsonObject) -> JsonObject:
            return {"bytes": b"x"}

        jobs = open_jobs("worker-0.1", from_step=from_step, from_job=from_job)
        for name in ("from_step", "from_job"):
            jobs.enqueue(name, name, arguments={})
            state = ended(jobs, name)
            assert state.status is JobStatus.FAILED
            assert "JSON" in state.error

    def test_jobs_run_side_by_side_up_to_the_limit(self, open_jobs: Open) -> None:
        both = threading.Barrier(2, timeout=WAIT_S)
        most, running = [0], [0]
        lock = threading.Lock()

        def body(steps: Steps, _: JsonObject) -> JsonObject:
            def meet() -> int:
                with lock:
                    running[0] += 1
                    most[0] = max(most[0], running[0])
                both.wait()
                with lock:
                    running[0] -= 1
                return 0

            return {"met": steps.run("meet", meet)}

        jobs = open_jobs("worker-0.1", job=body)
        for number in range(6):
            jobs.enqueue("job", f"job-{number}", arguments={})
        for number in range(6):
            assert ended(jobs, f"job-{number}").status is JobStatus.DONE
        assert most == [2]

    def test_what_a_closed_executor_left_is_handed_on_once(self, open_jobs: Open) -> None:
        begun, go_on = threading.Event(), threading.Event()
        log: list[str] = []

        def body(steps: Steps, _: JsonObject) -> JsonObject:
            def wait() -> int:
                log.append("wait")
                begun.set()
                assert go_on.wait(WAIT_S)
                return 1

            steps.run("first", partial(noted, log, "first"))
            return {"waited": steps.run("wait", wait)}

        dying = open_jobs("worker-0.1", job=body)
        dying.enqueue("job", "job-1", arguments={})
        assert begun.wait(WAIT_S)
        assert dying.executors_at_work() == {"worker-0.1"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fleetsight.store.jobs.DRAIN_S", 0)
            dying.close()
        looking = open_jobs()
        assert looking.resume_of("worker-0.0") == []
        assert looking.resume_of("worker-0.1") == ["job-1"]
        assert looking.resume_of("worker-0.1") == []
        go_on.set()
        open_jobs("worker-0.2", job=body)
        state = ended(looking, "job-1")
        assert (state.status, state.executor_id) == (JobStatus.DONE, "worker-0.2")
        assert log == ["first", "wait", "wait"]  # the step that ended is not repeated, the one that did not is

    def test_the_sweep_leaves_the_living_alone_and_hands_on_the_work_of_the_dead(
        self, open_jobs: Open, rows: Rows
    ) -> None:
        clock = VirtualClock(SystemClock().now_ns())
        executors = Executors(rows, clock)
        lease = executors.acquire("worker-0")
        assert lease is not None
        begun, go_on = threading.Event(), threading.Event()

        def wait() -> bool:
            begun.set()
            return go_on.wait(WAIT_S)

        def body(steps: Steps, _: JsonObject) -> JsonObject:
            return {"ok": steps.run("wait", wait)}

        jobs = open_jobs(lease.executor_id, job=body)
        jobs.enqueue("job", "job-1", arguments={})
        assert begun.wait(WAIT_S)
        assert sweep(executors, jobs) == []
        clock.advance(LEASE_S * SECOND_NS)
        assert sweep(executors, jobs) == ["job-1"]
        assert executors.live() == set()
        go_on.set()
        ended(jobs, "job-1")
        assert sweep(executors, jobs) == []

    def test_a_job_that_takes_its_process_with_it_too_often_is_poisoned(self, open_jobs: Open) -> None:
        """The deaths are made up here: an executor claims the job and is never heard of again."""
        looking = open_jobs()
        looking.enqueue("job", "job-1", arguments={})
        runs: list[int] = []

        def body(_: Steps, __: JsonObject) -> JsonObject:
            runs.append(1)
            stuck.set()
            assert go_on.wait(WAIT_S)
            return {}

        for life in range(RECOVERIES + 1):
            stuck, go_on = threading.Event(), threading.Event()
            dying = open_jobs(f"worker-0.{life}", job=body)
            assert stuck.wait(WAIT_S)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("fleetsight.store.jobs.DRAIN_S", 0)
                dying.close()
            assert looking.resume_of(f"worker-0.{life}") == ["job-1"]
            go_on.set()
        last = open_jobs("worker-0.99", job=body)
        state = ended(last, "job-1")
        assert (state.status, len(runs)) == (JobStatus.POISONED, RECOVERIES + 1)
        assert [job.job_id for job in last.troubled()] == ["job-1"]
        last.retry("job-1")
        assert ended(last, "job-1").status is JobStatus.DONE

    @pytest.fixture
    def rows(self, rows_address: str) -> Iterator[Rows]:
        rows = Rows.open(rows_address)
        upgrade(rows)
        yield rows
        rows.close()
