"""A process dies where it is told to, and nowhere else."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetsight.store.crashpoint import (
    POINTS,
    Crash,
    CrashpointError,
    SimulatedCrashError,
    arm,
    crashpoint,
    disarm,
    named_in,
)

POINT = "outbox.claimed"


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    disarm()


def visits_until_crash() -> int:
    for visit in range(1, 10):
        try:
            crashpoint("outbox.claimed")
        except SimulatedCrashError:
            return visit
    return 0


def test_nothing_happens_at_a_point_that_is_not_armed() -> None:
    arm("blobs.before-sync", how=Crash.RAISE)
    assert visits_until_crash() == 0


@pytest.mark.parametrize("nth", [1, 2, 5])
def test_the_process_dies_at_the_nth_visit_and_once(nth: int) -> None:
    arm(POINT, nth, how=Crash.RAISE)
    assert visits_until_crash() == nth
    assert visits_until_crash() == 0


def test_two_points_may_be_armed_for_a_crash_after_a_crash() -> None:
    arm(POINT, how=Crash.RAISE)
    arm("outbox.before-finish", how=Crash.RAISE)
    with pytest.raises(SimulatedCrashError, match=POINT):
        crashpoint("outbox.claimed")
    with pytest.raises(SimulatedCrashError, match=r"outbox\.before-finish"):
        crashpoint("outbox.before-finish")


def test_a_disarmed_point_lets_the_process_live() -> None:
    arm(POINT, how=Crash.RAISE)
    disarm()
    assert visits_until_crash() == 0


def test_no_handler_of_exceptions_survives_the_crash() -> None:
    assert not issubclass(SimulatedCrashError, Exception)


def test_the_default_is_a_real_kill() -> None:
    code = (
        "from fleetsight.store.crashpoint import arm, crashpoint\n"
        f"arm({POINT!r}, 2)\n"
        "for visit in range(3):\n"
        "    print(visit, flush=True)\n"
        "    try: crashpoint('outbox.claimed')\n"
        "    finally: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, [b"0", b"1"])


def test_every_point_of_the_package_is_found_once() -> None:
    assert {POINT, "blobs.before-rename", "jobs.before-effect"} <= set(POINTS)
    assert POINT in POINTS
    assert len(POINTS) == len(list(POINTS)) == len(set(POINTS))


def test_a_name_stands_in_one_module() -> None:
    source = Path(sys.modules["fleetsight.store.crashpoint"].__file__ or "").parents[1]
    modules = {module: set(named_in(module)) for module in source.rglob("*.py")}
    twice = {name for name in POINTS if sum(name in names for names in modules.values()) > 1}
    assert twice == set()


def test_a_name_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(CrashpointError, match=r"did you mean outbox\.claimed") as caught:
        arm("outbox.claim")
    assert caught.value.code == "crashpoint"


def test_visits_count_from_one() -> None:
    with pytest.raises(CrashpointError):
        arm(POINT, 0)


def test_a_name_that_no_test_could_find_is_refused(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("crashpoint(name)\n")
    with pytest.raises(CrashpointError, match="no literal"):
        named_in(module)
