"""Children live as long as the supervisor does, and no longer."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fleetsight.fleet.processes import supervisor
from fleetsight.fleet.processes.supervisor import ChildPlan, Supervisor

WAIT_S = 30.0
BORN = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()} {os.getppid()}\\n');"
LIVES = (
    BORN
    + "from fleetsight.fleet.processes.supervisor import end_with_supervisor; end_with_supervisor(); time.sleep(60)"
)
DIES = BORN + "sys.exit(3)"
DEAF = BORN + "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


def plan(code: str, births: Path, *, name: str = "one", nice: int = 0) -> ChildPlan:
    return ChildPlan(name, (sys.executable, "-c", code, str(births)), dict(os.environ), nice=nice)


def born(births: Path) -> list[int]:
    lines = births.read_text().splitlines() if births.exists() else []
    return [int(line.split()[0]) for line in lines]


def until(true: Callable[[], bool], tend: Callable[[], None] = lambda: None) -> None:
    limit = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < limit, "waited too long"
        tend()
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def births(tmp_path: Path) -> Path:
    return tmp_path / "births"


def test_a_killed_child_is_started_again(births: Path) -> None:
    kept = Supervisor([plan(LIVES, births)])
    kept.start()
    try:
        until(lambda: len(born(births)) == 1)
        assert kept.kill("one")
        until(lambda: len(born(births)) == 2, kept.tend)
        assert kept.deaths() == {"one": 1}
    finally:
        kept.end()
    assert not any(alive(pid) for pid in born(births))


def test_a_child_that_keeps_dying_waits_longer_each_time(births: Path) -> None:
    now_s = [1000.0]
    kept = Supervisor([plan(DIES, births)], seconds=lambda: now_s[0])
    kept.start()
    waited = []
    for deaths in range(1, 9):
        until(lambda count=deaths: kept.deaths()["one"] == count, kept.tend)  # type: ignore[misc]
        (child,) = kept._children
        waited.append(max(0.0, child.start_at_s - now_s[0]))
        now_s[0] = max(now_s[0], child.start_at_s)
    assert waited == [0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    kept.end()


def test_a_child_that_lived_long_is_started_without_delay(births: Path) -> None:
    now_s = [1000.0]
    kept = Supervisor([plan(DIES, births)], seconds=lambda: now_s[0])
    kept.start()
    (child,) = kept._children
    child.short_lives = 5
    assert child.process is not None
    child.process.wait(WAIT_S)
    now_s[0] += supervisor.STEADY_S
    kept.tend()
    assert child.start_at_s == now_s[0]
    kept.end()


def test_a_child_that_may_finish_is_started_again_only_when_it_failed(births: Path) -> None:
    code = BORN + "sys.exit(0 if len(open(sys.argv[1]).readlines()) == 2 else 1)"
    kept = Supervisor([replace(plan(code, births), may_finish=True)])
    kept.start()
    until(lambda: kept.finished("one"), kept.tend)
    kept.tend()
    assert (len(born(births)), kept.deaths()) == (2, {"one": 1})
    kept.end()


def test_a_child_that_does_not_listen_is_killed(
    births: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "GRACE_S", 0.2)
    kept = Supervisor([plan(DEAF, births)])
    kept.start()
    talk = []

    def deaf() -> bool:
        out, err = capfd.readouterr()
        talk.append(out)
        return "deaf" in err

    until(deaf)  # what children print is talk
    assert "".join(talk) == ""
    kept.end()
    assert not any(alive(pid) for pid in born(births))


def test_what_a_child_prints_is_heard_line_by_line(births: Path) -> None:
    heard: list[bytes] = []
    talks = ChildPlan(
        "one",
        (
            sys.executable,
            "-c",
            LIVES.replace("time.sleep", "print('a'); print('b', flush=True); time.sleep"),
            str(births),
        ),
        dict(os.environ),
        hear=heard.append,
    )
    kept = Supervisor([talks])
    kept.start()
    until(lambda: len(heard) == 2)
    kept.end()
    assert heard == [b"a\n", b"b\n"]


def test_children_end_when_the_supervisor_is_killed(births: Path) -> None:
    code = f"""
import sys, os, threading
from pathlib import Path
from tests.fleet.processes.test_supervisor import LIVES, plan
from fleetsight.fleet.processes.supervisor import Supervisor
Supervisor([plan(LIVES, Path({str(births)!r}), nice=10)]).run(threading.Event())
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: len(born(births)) == 1)
    (child,) = born(births)
    assert os.getpriority(os.PRIO_PROCESS, child) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    time.sleep(0.1)
    parent.send_signal(signal.SIGKILL)
    parent.wait(WAIT_S)
    until(lambda: not alive(child))


def test_it_runs_until_told_to_stop(births: Path) -> None:
    kept = Supervisor([plan(LIVES, births, name="a"), plan(LIVES, births, name="b")])
    stop = threading.Event()
    thread = threading.Thread(target=kept.run, args=(stop,))
    thread.start()
    until(lambda: len(born(births)) == 2)
    stop.set()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert not any(alive(pid) for pid in born(births))
