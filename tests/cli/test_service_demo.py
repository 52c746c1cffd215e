"""`fleetsight demo --once --json` and `fleetsight replay`, whole: processes, a simulated cooler, video, money."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleetsight.apps.cooler.device.simulated_shopper import Purchase
from fleetsight.cli.service_demo import receipt_line
from fleetsight.money import Money

pytestmark = pytest.mark.slow
WAIT_S = 600.0


@dataclass(frozen=True)
class Played:
    """A demonstration that is over."""

    said: dict[str, Any]
    status: int
    talk: str
    service: Path

    def replay(self, *words: str) -> "subprocess.CompletedProcess[str]":
        with closing(sqlite3.connect(self.service / "fleetsight.db")) as connection:
            (session_id,) = connection.execute("SELECT id FROM sessions").fetchone()
        return fleetsight("replay", session_id, *words, data=self.service)


def fleetsight(*words: str, data: Path) -> "subprocess.CompletedProcess[str]":
    environ = os.environ | {"FLEETSIGHT_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "fleetsight", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=WAIT_S, check=False)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    words = ["demo", "--once", "--json", "--sessions", "1", "--coolers", "1", "--data", str(folder / "demo")]
    done = fleetsight(*words, data=folder)
    assert done.stdout, done.stderr
    return Played(json.loads(done.stdout), done.returncode, done.stderr, folder / "demo" / "service")


def test_a_demonstration_ends_with_its_sum_and_balanced_books(played: Played) -> None:
    assert played.status == 0, played.talk
    said = played.said
    assert said["sessions"] == 1
    assert said["settled"] + said["reviewed"] + said["released"] == 1
    assert said["unlock_ms"]["p50"] > 0
    assert said["reviewed"] or said["released"] or said["receipt_s"]["p95"] > 0
    assert "broken" not in played.talk


def test_a_replay_finds_the_same_and_says_so(played: Played) -> None:
    done = played.replay("--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["same"] is True
    assert said["before"]["basket"] == said["after"]["basket"]


def test_a_replay_with_another_threshold_shows_the_difference(played: Played) -> None:
    done = played.replay("--charge-min", "1.0")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("before: ")
    assert lines[1].startswith("after:  review" if "charge " in lines[0] else "after:  ")
    assert lines[-1].startswith("different" if "charge " in lines[0] else "the same")


def test_a_visit_is_one_line() -> None:
    receipt = {"lines": [{"count": 2, "name": "Cola"}], "paid": {"minor": 500, "currency": "EUR"}}
    paid, taken = Money(500, "EUR"), Money(250, "EUR")
    bought = Purchase("s", "receipt", "settled", Money(2500, "EUR"), paid, taken, 0.041, 0.2, 3.25, 1, receipt)
    assert receipt_line("cooler-1", bought) == (
        "cooler-1    5.00 EUR  2 x Cola  (taken 2.50 EUR  WRONG; receipt after 3.2 s; unlocked in 41 ms)"
    )
    open_still = Purchase("s", "review", "review", Money(2500, "EUR"), None, taken, 0.041, 0.2, None, 1, None)
    assert receipt_line("cooler-1", open_still) == (
        "cooler-1        open  nothing charged  (taken 2.50 EUR; review; unlocked in 41 ms)"
    )
