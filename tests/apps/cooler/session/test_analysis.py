"""The analysis lives in a child process; whatever becomes of the child is an answer."""

import sys
import time
from pathlib import Path

import pytest

from fleetsight.apps.cooler.session.analysis import (
    Analyst,
    AssortmentFiles,
    Died,
    Found,
    Task,
    Unusable,
    basket_of,
    sure_basket_of,
    usable_share,
    verdict_of,
)
from fleetsight.apps.cooler.session.machine.states import Verdict
from tests.apps.cooler.session.staff import seen
from tests.contracts.jobs_contract import until

FOUND = {"kind": "found", "report": {"basket": {}}, "evidence": {}, "end_s": 1, "elapsed_s": 1, "peak_ram_bytes": 1}


def child(body: str) -> tuple[str, ...]:
    """A child that runs `body` for each task; `task` is the task, `say` answers."""
    code = (
        "import json, os, signal, subprocess, sys, time\n"
        "def say(value): print(json.dumps(value), flush=True)\n"
        "count = 0\n"
        "for line in sys.stdin:\n"
        "    task = json.loads(line); count += 1\n"
        f"    {body}\n"
    )
    return (sys.executable, "-c", code)


def task(folder: Path) -> Task:
    return Task(folder / "clip.ts", AssortmentFiles(folder / "catalog", None), folder / "out")


def test_a_child_answers_task_after_task(tmp_path: Path) -> None:
    body = f"say({FOUND!r} | {{'end_s': count, 'report': {{'pid': os.getpid()}}}})"
    with Analyst(command=child(body)) as analyst:
        first, second = analyst.analyse(task(tmp_path)), analyst.analyse(task(tmp_path))
    assert isinstance(first, Found)
    assert isinstance(second, Found)
    assert (first.end_s, second.end_s) == (1, 2)
    assert first.report == second.report


def test_a_child_that_was_prepared_answers_the_first_task(tmp_path: Path) -> None:
    born = tmp_path / "born"
    code = child(f"say({FOUND!r})")[-1].replace("count = 0", f"count = 0; open({str(born)!r}, 'x').close()")
    with Analyst(command=(sys.executable, "-c", code)) as analyst:
        analyst.prepare()
        analyst.prepare()  # the same child: a second one could not be born
        until(born.exists)
        assert isinstance(analyst.analyse(task(tmp_path)), Found)


def test_the_real_child_loads_its_models_and_survives_a_clip_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "clip.ts").write_bytes(b"no clip")
    with Analyst(threads=1) as analyst:
        analyst.prepare()
        first, second = analyst.analyse(task(tmp_path)), analyst.analyse(task(tmp_path))
    assert isinstance(first, Died)  # there is no catalog either
    assert first == second


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("sys.exit(3)", "exit status 3"),
        ("say('nonsense')", "nonsense"),
        ("say({'kind': 'other'})", "nonsense"),
        ("print('{', flush=True)", "signal"),
        ("sys.stdout.write('x' * (17 << 20)); sys.stdout.flush(); time.sleep(60)", "bytes"),
    ],
    ids=["killed", "exited", "a word", "another kind", "half an object", "too much"],
)
def test_a_child_that_fails_is_an_answer_and_the_next_task_gets_a_new_one(
    tmp_path: Path, body: str, words: str
) -> None:
    flag = tmp_path / "failed"
    once = f"(say({FOUND!r}) if os.path.exists({str(flag)!r}) else (open({str(flag)!r}, 'w').close(), {_act(body)}))"
    with Analyst(command=child(once)) as analyst:
        answer = analyst.analyse(task(tmp_path))
        assert isinstance(answer, Died)
        assert words in answer.reason
        assert isinstance(analyst.analyse(task(tmp_path)), Found)


def _act(body: str) -> str:
    """Statements as one expression."""
    return f"exec({body!r})"


def test_a_child_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    body = (
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(note)!r}, 'w').write(str(p.pid)); time.sleep(600)"
    )
    with Analyst(wall_s=2.0, command=child(body)) as analyst:
        answer = analyst.analyse(task(tmp_path))
    assert isinstance(answer, Died)
    assert "more than 2 s" in answer.reason
    assert gone(int(note.read_text()))


def test_a_child_does_not_outlive_its_worker(tmp_path: Path) -> None:
    analyst = Analyst()
    running = analyst._running()
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.close()  # what a worker's death does
    running.wait(60)
    running.stdout.close()


def test_a_clip_at_fault_is_told_from_a_failure(tmp_path: Path) -> None:
    from fleetsight.apps.cooler.session.duties.analysis_child import answer

    (tmp_path / "clip.ts").write_bytes(b"no video at all")
    (tmp_path / "catalog").mkdir()
    question = {"clip": str(tmp_path / "clip.ts"), "catalog": str(tmp_path / "catalog"), "planogram": None}
    asked = question | {"out": str(tmp_path / "out"), "model": "", "threads": 1}
    assert answer(asked)["kind"] == "failed"  # the catalog is none: another run may find it mended
    with Analyst(command=child("say({'kind': 'unusable', 'code': 'media_limit', 'reason': 'too large'})")) as analyst:
        assert analyst.analyse(task(tmp_path)) == Unusable("media_limit", "too large")


def test_sure_lines_are_those_without_a_doubtful_event() -> None:
    report = seen({"bar": 2, "cola": 1}).report
    report["events"][0]["confidence"] = 0.5
    assert basket_of(report) == (("bar", 2), ("cola", 1))
    assert sure_basket_of(report) == (("cola", 1),)
    report["events"][1]["confidence"] = float("nan")
    assert sure_basket_of(report) == ()


def test_the_verdict_is_the_reports_own() -> None:
    assert verdict_of(seen({}, decision="release").report) is Verdict.RELEASE


@pytest.mark.parametrize(
    ("end_s", "recorded_s", "decoded", "share"),
    [
        (10.0, 10.0, 1.0, 1.0),
        (9.85, 10.0, 1.0, 1.0),
        (9.6, 10.0, 1.0, 0.96),
        (10.0, 10.0, 0.5, 0.5),
        (10.0, 0.0, 1.0, 1.0),
        (0.0, 10.0, 1.0, 0.0),
        (20.0, 10.0, 1.0, 1.0),
    ],
)
def test_a_clip_may_lack_two_percent(end_s: float, recorded_s: float, decoded: float, share: float) -> None:
    report = {"decoded_fraction": decoded}
    assert usable_share(report, end_s=end_s, recorded_s=recorded_s) == pytest.approx(share)


def gone(pid: int) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
