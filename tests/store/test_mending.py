"""Jobs that a fault stopped go on by themselves."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa

from fleetsight.store.canonical import JsonObject
from fleetsight.store.jobs import Body, Jobs, JobState, JobStatus, Steps
from fleetsight.store.mending import PAUSES_S, Mender
from tests.contracts.jobs_contract import answer, ended, until


@pytest.fixture
def url(rows_url: str) -> str:
    """Of each kind of database."""
    return rows_url


@pytest.fixture
def launched(url: str) -> Iterator[Callable[[str, Body], Jobs]]:
    opened: list[Jobs] = []

    def launch(executor_id: str, body: Body) -> Jobs:
        for jobs in opened:
            jobs.close()
        jobs = Jobs(url, executor_id=executor_id, concurrency=1)
        opened.append(jobs)
        jobs.define("job", body)
        jobs.launch()
        return jobs

    yield launch
    for jobs in opened:
        jobs.close()


def failing(times: int) -> Body:
    left = [times]

    def body(steps: Steps, _: JsonObject) -> JsonObject:
        def step() -> str:
            left[0] -= 1
            if left[0] >= 0:
                raise OSError("disk I/O error")
            return "done"

        return {"step": steps.run("step", step)}

    return body


def test_a_job_that_failed_is_begun_again_at_once_and_then_after_pauses(
    launched: Callable[[str, Body], Jobs],
) -> None:
    jobs, now_s = launched("worker-0.1", failing(3)), [0.0]
    mender = Mender(jobs, "worker-0", seconds=lambda: now_s[0])
    jobs.enqueue("job", "job-1", arguments={})
    for pause_s in PAUSES_S[:3]:
        assert ended(jobs, "job-1").status is JobStatus.FAILED
        now_s[0] += pause_s - 0.1
        assert not pause_s or mender.mend() == []
        now_s[0] += 0.1
        assert mender.mend() == ["job-1"]
    assert ended(jobs, "job-1").result == {"step": "done"}
    assert mender.mend() == []


def test_a_job_that_always_fails_is_left_to_a_person(launched: Callable[[str, Body], Jobs]) -> None:
    jobs, now_s = launched("worker-0.1", failing(100)), [0.0]
    mender = Mender(jobs, "worker-0", seconds=lambda: now_s[0])
    jobs.enqueue("job", "job-1", arguments={})
    tries = 0
    for _ in range(2 * len(PAUSES_S)):
        ended(jobs, "job-1")
        tries += len(mender.mend())
        now_s[0] += PAUSES_S[-1] + 0.1
    assert tries == len(PAUSES_S)
    assert [job.job_id for job in jobs.troubled()] == ["job-1"]


def test_the_next_life_of_a_worker_begins_its_failed_jobs_again_and_no_other_does(
    launched: Callable[[str, Body], Jobs],
) -> None:
    first = launched("worker-0.1", failing(1))
    first.enqueue("job", "job-1", arguments={})
    ended(first, "job-1")
    other = launched("worker-1.1", failing(0))
    assert Mender(other, "worker-1").mend() == []
    second = launched("worker-0.2", failing(0))
    assert Mender(second, "worker-0").mend() == ["job-1"]
    assert ended(second, "job-1").status is JobStatus.DONE


def test_a_job_whose_end_could_not_be_written_down_is_begun_again(
    launched: Callable[[str, Body], Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would count as running for ever, and its worker might wait for it."""
    jobs = launched("worker-0.1", answer)
    kept, failed = jobs._engine._sys_db.update_workflow_outcome, threading.Event()

    def fails_once(*arguments: object, **options: object) -> object:
        if not failed.is_set():
            failed.set()
            raise sa.exc.OperationalError("UPDATE", None, OSError(5, "disk I/O error"))
        return kept(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs._engine._sys_db, "update_workflow_outcome", fails_once)
    jobs.enqueue("job", "job-1", arguments={"number": 21})
    until(failed.is_set)
    until(lambda: jobs.stranded() == ["job-1"])
    mender = Mender(jobs, "worker-0")
    assert mender.mend() == []  # it may have been begun this moment
    assert mender.mend() == ["job-1"]
    assert ended(jobs, "job-1").result == {"answer": 42, "job_id": "job-1"}


def test_a_job_that_runs_is_not_stranded(launched: Callable[[str, Body], Jobs]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def body(_: Steps, __: JsonObject) -> JsonObject:
        begun.set()
        go_on.wait(60)
        return {}

    jobs = launched("worker-0.1", body)
    mender = Mender(jobs, "worker-0")
    jobs.enqueue("job", "job-1", arguments={})
    until(begun.is_set)
    assert [mender.mend(), mender.mend(), mender.mend()] == [[], [], []]
    assert not jobs.requeue("job-2")
    go_on.set()
    assert ended(jobs, "job-1").status is JobStatus.DONE


def test_a_poisoned_job_is_left_to_a_person(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned = JobState("job-1", "job", JobStatus.POISONED, {}, None, "", "worker-0.1")
    with closing(Jobs(url, executor_id="worker-0.1")) as jobs:
        monkeypatch.setattr(jobs, "troubled", lambda _limit: [poisoned])
        assert Mender(jobs, "worker-0").mend() == []
