"""kill -9 at every crash point of the device, and a restart: nothing acknowledged is lost, and the sale goes on.

Each case is the real program as a process of its own against a service that outlives it. The cases run side by side, because a device
spends its time waiting for people.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.simulated_day import DayPlan
from fleetsight.store.crashpoint import POINTS
from fleetsight.video.decode import ClipReader
from tests.apps.cooler.device.fake_server import CLAIM, OPERATOR, FakeService, running

SESSIONS = 1
SCENARIO, SIZE, SEED = "look_and_return", "160x90", 3
CASES = (
    "device.before-rename:1",  # the key of the device
    "device.before-rename:9",
    "device.before-rename:14",
    "device.session-begun:1",
    "device.unlocked:1",
    "device.event-noted:2",
    "device.segment-closed:2",
    "device.segment-named:1",
    "device.segment-noted:1",
    "device.delivery-noted:1",
    "device.session-gone:1",
)
SIDE_BY_SIDE = 5
LIMIT_S = 240


@dataclass
class Story:
    """What became of one device that was killed once."""

    fake: FakeService
    folder: Path
    codes: list[int] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    errors: str = ""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films and assortments of all cases, rendered once."""
    folder = tmp_path_factory.mktemp("films")
    plan = DayPlan(folder, (SCENARIO,), SEED, SESSIONS, SESSIONS, (160, 90))
    plan.render(lambda _happening: None)
    return folder


@pytest.fixture(scope="module")
def stories(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Story]]:
    folders = {case: tmp_path_factory.mktemp("device") for case in CASES}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        told = {case: pool.submit(tell, case, folders[case], films) for case in CASES}
        yield {case: story.result() for case, story in told.items()}


def tell(case: str, folder: Path, films: Path) -> Story:
    """Run a device until it is killed, then again until its day is over."""
    with running(FakeService()) as fake:
        story = Story(fake, folder)
        for crash_at in (case, ""):
            run(story, films, crash_at)
    return story


def run(story: Story, films: Path, crash_at: str) -> None:
    options = {
        "--server": story.fake.url,
        "--claim": CLAIM,
        "--data": str(story.folder),
        "--films-dir": str(films),
        "--operator-token": OPERATOR,
        "--scenario": SCENARIO,
        "--size": SIZE,
        "--seed": str(SEED),
        "--sessions": str(SESSIONS),
        "--films": str(SESSIONS),
    }
    command = [sys.executable, "-m", "fleetsight", "device", "run", "--sim", "--json"]
    command += [word for pair in options.items() for word in pair]
    environ = os.environ | {"FLEETSIGHT_CRASH_AT": crash_at} if crash_at else dict(os.environ)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as device:
        watchdog = threading.Timer(LIMIT_S, device.kill)
        watchdog.start()
        assert device.stdout is not None
        assert device.stderr is not None
        for line in device.stdout:
            happening = json.loads(line)
            story.told.append(happening["happening"])
            if happening["happening"] == "qr":
                story.fake.redeem(happening["token"], "shopper")
        story.errors += device.stderr.read()  # a few lines, which fit into the pipe
        story.codes.append(device.wait())
        watchdog.cancel()


def test_every_crash_point_of_the_device_has_a_case() -> None:
    points = {name for name in POINTS if name.startswith("device.")}
    assert {case.split(":")[0] for case in CASES} == points


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_device_that_is_killed_anywhere_loses_nothing(stories: dict[str, Story], case: str, tmp_path: Path) -> None:
    story = stories[case]
    fake = story.fake
    assert story.codes == [-signal.SIGKILL, 0], story.errors
    unlocked = [seq for seq, ack in fake.acks.items() if ack["result"] == "unlocked"]
    ends = {session.seq: session.state for session in fake.sessions.values()}
    assert [ends[seq] for seq in unlocked] == ["settled"] * len(unlocked), story.errors
    assert list(ends.values()).count("settled") == SESSIONS
    assert set(ends.values()) <= {"settled", "aborted", "unlocking"}  # a command that was never taken up ends by itself
    for boot_id, events in fake.kept.items():
        assert sorted(events) == list(range(1, len(events) + 1)), "a number is missing"
        assert fake.applied_to[boot_id] == len(events)
    assert list((story.folder / "spool" / "sessions").iterdir()) == []
    for session in fake.sessions.values():
        if session.segments:
            clip = tmp_path / f"{session.session_id}.ts"
            clip.write_bytes(fake.clip(session.session_id))
            with ClipReader(clip) as reader:
                assert list(reader)
                assert set(reader.summary.degraded) <= {"gap", "variable_rate"}
