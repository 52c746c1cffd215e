"""After a kill -9 anywhere, what was promised is there, and what was begun goes on."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from fleetsight.clock import SECOND_NS, SystemClock, VirtualClock
from fleetsight.store.blobs import Blobs, digest_of_bytes
from fleetsight.store.crashpoint import Crash, SimulatedCrashError, arm, disarm
from fleetsight.store.jobs import Jobs, JobStatus
from fleetsight.store.lease import LEASE_S, Executors, sweep
from fleetsight.store.outbox import Outbox, post
from fleetsight.store.rows import Rows, upgrade
from tests.contracts.jobs_contract import ended
from tests.store.crash_child import CLIP, DEAD, effect, settle


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    disarm()


def dies(action: str, folder: Path, *, point: str, nth: int, checkout: Path) -> None:
    """Run the child, which must die of SIGKILL."""
    command = [sys.executable, "-m", "tests.store.crash_child", action, str(folder), point, str(nth)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def effects(folder: Path) -> dict[str, int]:
    path = folder / "effects"
    return dict(Counter(path.read_text().split())) if path.exists() else {}


@pytest.mark.parametrize(
    ("point", "kept"), [("blobs.before-sync", False), ("blobs.before-rename", False), ("blobs.after-rename", True)]
)
def test_a_blob_is_whole_or_not_there(tmp_path: Path, checkout: Path, point: str, kept: bool) -> None:
    dies("put_blob", tmp_path, point=point, nth=1, checkout=checkout)
    blobs = Blobs.open((tmp_path / "blobs").as_uri())
    digest = digest_of_bytes(CLIP)
    assert blobs.size(digest) == (len(CLIP) if kept else None)
    assert blobs.get(blobs.put_bytes(CLIP)) == CLIP


@pytest.mark.parametrize(("point", "kept"), [("blobs.before-upload", False), ("blobs.after-upload", True)])
def test_an_object_is_whole_or_not_there(s3_url: str, s3_options: Mapping[str, str], point: str, kept: bool) -> None:
    blobs = Blobs.open(s3_url, options=s3_options)
    arm(point, how=Crash.RAISE)
    with pytest.raises(SimulatedCrashError):
        blobs.put_bytes(CLIP)
    assert (blobs.size(digest_of_bytes(CLIP)) is not None) == kept
    assert blobs.get(blobs.put_bytes(CLIP)) == CLIP


@pytest.mark.parametrize(("point", "seen"), [("outbox.claimed", {}), ("outbox.before-finish", {"s1": 1})])
def test_a_letter_whose_worker_died_comes_back(
    tmp_path: Path, checkout: Path, point: str, seen: Mapping[str, int]
) -> None:
    clock = VirtualClock(SystemClock().now_ns())
    with closing(Rows.open(f"sqlite:///{tmp_path}/rows.db")) as rows:
        upgrade(rows)
        with rows.transaction() as connection:
            for key in ("s1", "s2"):
                post(connection, topic="settle", key=key, body={}, due_ns=clock.now_ns())
        dies("deliver", tmp_path, point=point, nth=1, checkout=checkout)
        assert effects(tmp_path) == seen
        outbox = Outbox(rows, clock)
        assert outbox.claim(["settle"], 10, lease_s=30) == []
        clock.advance(600 * SECOND_NS)
        letters = outbox.claim(["settle"], 10, lease_s=30)
        assert [(letter.key, letter.attempts) for letter in letters] == [("s1", 2), ("s2", 2)]
        for letter in letters:
            effect(tmp_path, letter.key)
            outbox.finish(letter.key)
        assert set(effects(tmp_path)) == {"s1", "s2"}
        assert outbox.waiting() == []


@pytest.mark.parametrize(
    ("point", "nth", "twice"),
    [
        ("jobs.before-effect", 1, ""),
        ("jobs.before-effect", 3, ""),
        (
            "jobs.after-effect",
            2,
            "s1:capture",
        ),  # the one case in which a step runs again: its own key must make it once
        ("jobs.after-step", 1, ""),
        ("jobs.after-step", 3, ""),
        ("jobs.before-done", 1, ""),
    ],
)
def test_a_job_goes_on_where_its_process_died(tmp_path: Path, checkout: Path, point: str, nth: int, twice: str) -> None:
    dies("run_job", tmp_path, point=point, nth=nth, checkout=checkout)
    with closing(Jobs(f"sqlite:///{tmp_path}/jobs.db", executor_id="worker-0.2")) as jobs:
        assert jobs.executors_at_work() == {DEAD}
        jobs.define("settle", settle)
        jobs.launch()
        assert jobs.resume_of(DEAD) == ["s1"]
        assert ended(jobs, "s1").status is JobStatus.DONE
    expected = {"s1:hold": 1, "s1:capture": 1, "s1:receipt": 1}
    assert effects(tmp_path) == (expected | {twice: 2} if twice else expected)


def test_a_job_is_wanted_wholly_or_not_at_all(tmp_path: Path, checkout: Path) -> None:
    dies("run_job", tmp_path, point="jobs.before-enqueued", nth=1, checkout=checkout)
    with closing(Jobs(f"sqlite:///{tmp_path}/jobs.db")) as jobs:
        assert jobs.state("s1") is None
        jobs.enqueue("settle", "s1", arguments={"folder": "another"})  # the id is still free
        state = jobs.state("s1")
        assert state is not None
        assert state.status is JobStatus.QUEUED


def test_a_sweep_that_died_is_finished_by_the_next(tmp_path: Path, checkout: Path) -> None:
    clock = VirtualClock(SystemClock().now_ns())
    with (
        closing(Rows.open(f"sqlite:///{tmp_path}/rows.db")) as rows,
        closing(Jobs(f"sqlite:///{tmp_path}/jobs.db")) as jobs,
    ):
        upgrade(rows)
        executors = Executors(rows, clock)
        lease = executors.acquire("worker-0")
        assert lease is not None
        assert lease.executor_id == DEAD
        dies("run_job", tmp_path, point="jobs.before-effect", nth=2, checkout=checkout)
        assert sweep(executors, jobs) == []
        clock.advance(LEASE_S * SECOND_NS)
        arm("sweep.revoked", how=Crash.RAISE)
        with pytest.raises(SimulatedCrashError):
            sweep(executors, jobs)
        assert sweep(executors, jobs) == ["s1"]
        assert sweep(executors, jobs) == []
