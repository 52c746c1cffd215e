"""Trouble for a rehearsal: processes are killed, the disk fills up, while lines are bad; and what has to stay true is watched.

What happens when is decided by a seed; when processes die is decided by the machine they run on, so a run is no exact replay.
"""

import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fleetsight.fleet.invariants import RULES, Broken, broken_rules
from fleetsight.fleet.processes.supervisor import Supervisor
from fleetsight.fleet.processes.tree import API
from fleetsight.store.blobs import Blobs
from fleetsight.store.rows import Rows

LINK = "loss=0.05,cut=0.02,dup=0.05,latency_ms=20,offline=60-75,offline=150-155"
"""One request of twenty is lost, some arrive twice or in part, and each cooler is offline for a quarter of a minute."""
PAUSE_S = (2.0, 8.0)
"""Between two troubles: less than a visit takes, more than a restart does."""
FULL_S = 6.0
"""The disk stays full for so long."""
WATCH_S = 3.0
BALLAST_BYTES = 1 << 20


@dataclass
class Disk:
    """A small disk that can be filled.

    Attributes:
        folder: on it.
        full_until_s: of the steady clock; 0 while there is room.
    """

    folder: Path
    full_until_s: float = 0.0

    def fill(self, now_s: float) -> None:
        """Leave no room at all.

        Args:
            now_s: steady clock.
        """
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(BALLAST_BYTES))
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(b"0")
        self.full_until_s = now_s + FULL_S

    def tend(self, now_s: float) -> None:
        """Make room again when it is time.

        Args:
            now_s: steady clock.
        """
        if self.full_until_s and now_s >= self.full_until_s:
            self.empty()

    def empty(self) -> None:
        """Make room."""
        self._ballast.unlink(missing_ok=True)
        self.full_until_s = 0.0

    @property
    def free_bytes(self) -> int:
        """Room that is left."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@dataclass
class Troubles:
    """What goes wrong, and when.

    Attributes:
        supervisor: whose children are killed.
        workers: how many there are.
        coolers: how many there are.
        disk: to be filled; None for none.
        seed: decides.
        seconds: a clock that never steps back.
    """

    supervisor: Supervisor
    workers: int
    coolers: int
    disk: Disk | None
    seed: int
    seconds: Callable[[], float] = time.monotonic
    count: Counter[str] = field(default_factory=Counter)
    _next_s: float = 0.0

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._next_s = self.seconds() + PAUSE_S[1]

    def tend(self) -> None:
        """Make trouble when it is time."""
        now_s = self.seconds()
        if self.disk is not None:
            self.disk.tend(now_s)
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._draw.uniform(*PAUSE_S)
        kinds = ["worker"] * 4 + ["api"] * 2 + ["cooler"] * 2 + (["disk"] if self.disk is not None else [])
        kind = self._draw.choice(kinds)
        if kind == "disk" and self.disk is not None:
            self.disk.fill(now_s)
            self.count["disk filled"] += 1
            return
        name = {
            "worker": f"worker-{self._draw.randrange(self.workers)}",
            "api": API,
            "cooler": f"cooler-{self._draw.randrange(self.coolers) + 1}",
        }[kind]
        self.count[f"{kind} killed"] += self.supervisor.kill(name)

    def end(self) -> None:
        """Make room; nobody is killed any more."""
        if self.disk is not None:
            self.disk.empty()


@dataclass
class Watch:
    """Looks at what has to stay true, every few seconds.

    Attributes:
        rows: of the service.
        blobs: of the service.
        now_ns: the time.
    """

    rows: Rows
    blobs: Blobs
    now_ns: Callable[[], int]
    checks: int = 0
    broken: list[Broken] = field(default_factory=list)
    ever: Counter[str] = field(default_factory=Counter)
    _next_s: float = 0.0

    def tend(self, now_s: float) -> bool:
        """Look when it is time.

        Args:
            now_s: steady clock.
        Returns:
            whether it looked.
        """
        if now_s < self._next_s:
            return False
        self.look()
        self._next_s = time.monotonic() + WATCH_S
        return True

    def look(self) -> None:
        """Look now. A rule counts as broken when two looks in a row find it so: the first may have come in the middle of a step."""
        found = broken_rules(self.rows, self.blobs, now_ns=self.now_ns())
        before = {(one.rule, one.subject) for one in self.broken}
        self.ever.update(one.rule for one in found if (one.rule, one.subject) in before)
        self.broken = found
        self.checks += 1

    def holds(self) -> dict[str, bool]:
        """Which rules hold now.

        Returns:
            by name, in the order of `RULES`.
        """
        bad = {one.rule for one in self.broken}
        return {rule: rule not in bad for rule in RULES}
