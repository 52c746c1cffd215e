"""Trouble comes as its seed says, and what has to stay true is watched."""

import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetsight.apps.cooler.session.tables import SESSIONS
from fleetsight.fleet.invariants import RULES
from fleetsight.fleet.processes.supervisor import Supervisor
from fleetsight.fleet.rehearsal.chaos import FULL_S, PAUSE_S, Disk, Troubles, Watch
from tests.fleet.settled import Settled


class Killing(Supervisor):
    """Notes whom to kill."""

    def __init__(self) -> None:
        super().__init__([])
        self.killed: list[str] = []

    def kill(self, name: str) -> bool:
        self.killed.append(name)
        return True


def troubled(folder: Path, seed: int, *, with_disk: bool = False) -> tuple[list[str], dict[str, int]]:
    """Five minutes of trouble."""
    now_s, supervisor = [0.0], Killing()
    disk = Disk(folder) if with_disk else None
    troubles = Troubles(supervisor, workers=2, coolers=3, disk=disk, seed=seed, seconds=lambda: now_s[0])
    while now_s[0] < 300:
        troubles.tend()
        now_s[0] += 0.5
    troubles.end()
    return supervisor.killed, dict(troubles.count)


def test_a_seed_makes_the_same_trouble_again(tmp_path: Path) -> None:
    first, count = troubled(tmp_path, 7)
    assert (first, count) == troubled(tmp_path, 7)
    assert first != troubled(tmp_path, 8)[0]
    assert set(first) <= {"worker-0", "worker-1", "api", "cooler-1", "cooler-2", "cooler-3"}
    assert 300 / PAUSE_S[1] - 1 <= len(first) <= 300 / PAUSE_S[0]
    assert sum(count.values()) == len(first)


def test_a_disk_is_filled_to_the_last_byte_and_emptied_in_time(tmp_path: Path) -> None:
    """A limit on the size of files takes the place of a small disk."""
    code = f"""
        import resource, signal
        from pathlib import Path
        from fleetsight.fleet.rehearsal.chaos import Disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_001, 3_000_001))
        disk = Disk(Path({str(tmp_path)!r}))
        disk.fill(10.0)
        ballast = Path({str(tmp_path)!r}) / "ballast"
        assert ballast.stat().st_size == 3_000_001, ballast.stat().st_size
        disk.tend(10.0 + {FULL_S} - 0.1)
        assert ballast.exists()
        disk.tend(10.0 + {FULL_S})
        assert not ballast.exists()
        disk.tend(99.0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, env=dict(os.environ))
    assert Disk(tmp_path).free_bytes > resource.getpagesize()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Settled]:
    made = Settled.make(tmp_path)
    yield made
    made.parts.close()


def test_a_rule_is_broken_when_two_looks_find_it_so(shop: Settled) -> None:
    session = shop.buy()
    watch = Watch(shop.parts.rows, shop.parts.blobs, shop.clock.now_ns)
    assert watch.tend(1.0)
    assert all(watch.holds().values())
    assert list(watch.holds()) == list(RULES)
    changed = sa.update(SESSIONS).where(SESSIONS.c.id == session.id)
    with shop.parts.rows.transaction() as connection:
        connection.execute(changed.values(charged_minor=SESSIONS.c.charged_minor + 1))
    watch.look()
    assert not watch.holds()["money"]
    assert watch.ever == {}
    watch.look()
    assert set(watch.ever) == {"money", "amount"}
    with shop.parts.rows.transaction() as connection:
        connection.execute(changed.values(charged_minor=SESSIONS.c.charged_minor - 1))
    watch.look()
    assert all(watch.holds().values())
    assert set(watch.ever) == {"money", "amount"}  # it was broken once, whatever is now
    assert watch.checks == 4
