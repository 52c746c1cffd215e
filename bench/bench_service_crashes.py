"""Claim: whatever a purchase is killed at, it charges the right amount once, loses nothing that was acknowledged, and goes on in seconds.

Every visit of every crash point, pairs of crash points, every sync of the disk, and errors from writes; then how long it takes until
a restarted service, and until another worker, brings the receipt. ``--quick`` takes a few of each and records nothing.
"""

import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from record import record

from fleetsight.store.crashpoint import POINTS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the harness is that of the tests

from tests.chaos.forge import Forge
from tests.chaos.shop import Shop, Template
from tests.chaos.tracing import TracedShop, fail_write, kill_at_sync, reason_not_to_trace
from tests.chaos.visits import ELSEWHERE, visits_of

PAIRS = 200
"""Of which both deaths happened; a second point that the recovery does not pass is drawn again."""
PAIRS_DRAWN_MAX = 400
VISITS_MAX = 6
SEED = 11
SYNCS_MAX = 80
WRITES = range(1, 200, 10)
TIMES = 4
LATE = (
    ("settle.fetched", 1),
    ("settle.analysed", 1),
    ("settle.evidence-put", 1),
    ("settle.before-commit", 1),
    ("payments.called", 2),
)
"""Passed after the upload: from here on a shopper waits for nothing but us."""
AT_ONCE = 5
"""Takeovers that wait for their leases side by side: each computes for a second in twenty."""


@dataclass(frozen=True)
class Size:
    """How much is done."""

    visits: int = VISITS_MAX
    every: int = 1
    pairs: int = PAIRS
    syncs: int = SYNCS_MAX
    writes: Sequence[int] = WRITES
    times: int = TIMES


QUICK = Size(visits=1, every=8, pairs=4, syncs=3, writes=(1, 11), times=1)


@dataclass
class Tally:
    """Cases of one kind."""

    cases: int = 0
    deaths: int = 0
    bad: list[str] = field(default_factory=list)


class Range:
    """Runs cases, each on a copy of the template."""

    def __init__(self, template: Template, forge: Forge, folder: Path) -> None:
        self._template, self.forge, self._folder = template, forge, folder
        self._numbers = count(1)
        self.tallies: dict[str, Tally] = {}

    @contextmanager
    def shop(self) -> Iterator[Shop]:
        """A shop of its own."""
        shop = Shop.copy(self._template, self._folder / str(next(self._numbers)), self.forge)
        try:
            yield shop
        finally:
            shop.end()
            shutil.rmtree(shop.folder)

    def killed(self, kind: str, name: str, *lives: Sequence[tuple[str, int]]) -> int:
        """Kill a purchase as told, and look what became of it; how often it died."""
        with self.shop() as shop:
            shop.armed = list(lives)
            self.judge(kind, name, shop=shop)
            return len(shop.deaths)

    def traced(self, kind: str, name: str, *, fault: str) -> int:
        """Trouble the disk below a purchase; how often it died."""
        with self.shop() as shop:
            traced = TracedShop(shop, fault)
            try:
                self.judge(kind, name, shop=shop, keep_alive=traced.keep_alive)
            finally:
                traced.end()
            return len(shop.deaths)

    def judge(self, kind: str, name: str, *, shop: Shop, keep_alive: Callable[[], None] | None = None) -> None:
        """Let the purchase happen; note what is wrong."""
        tally = self.tallies.setdefault(kind, Tally())
        try:
            faults = shop.faults_of_purchase(keep_alive)
        except AssertionError as error:
            faults = [str(error)]
        tally.cases += 1
        tally.deaths += len(shop.deaths)
        tally.bad += [f"{name}: {fault}" for fault in faults]
        seen = f"BAD {faults}" if faults else ""
        print(f"{kind} {tally.cases} {name} deaths={len(shop.deaths)} {seen}", file=sys.stderr)


def crash_cases(cases: Range, size: Size) -> list[str]:
    """Kills at every visit of every point, then at pairs; the names of the points."""
    with cases.shop() as shop:
        visits = {name: times for name, times in visits_of(shop).items() if name in set(POINTS) - set(ELSEWHERE)}
    names = list(visits)[:: size.every]  # in the order in which a purchase comes by
    for name in names:
        for nth in range(1, min(visits[name], size.visits) + 1):
            cases.killed("kill -9 at a crash point", f"{name}:{nth}", [(name, nth)])
    draw, twice = random.Random(SEED), 0
    for _ in range(PAIRS_DRAWN_MAX):
        if twice == size.pairs:
            break
        first = draw.randrange(len(names))
        second = draw.randrange(first, len(names))
        pair = f"{names[first]} then {names[second]}"
        twice += cases.killed("kill -9 twice", pair, [(names[first], 1)], [(names[second], 1)]) >= 2
    return names


def disk_cases(cases: Range, size: Size) -> None:
    """Kills at syncs, until the process survives, and errors from writes."""
    if reason := reason_not_to_trace():
        print(reason, file=sys.stderr)
        return
    for number in range(1, size.syncs + 1):
        if not cases.traced("kill -9 at a sync of the disk", str(number), fault=kill_at_sync(number)):
            break
    for error in ("EIO", "ENOSPC"):
        for number in size.writes:
            cases.traced(f"{error} from a write", str(number), fault=fail_write(number, error))


def resume_s(cases: Range, point: tuple[str, int]) -> float:
    """From the death of the service, after the upload, to the receipt, when it is started again at once."""
    with cases.shop() as shop:
        shop.armed = [[point]]
        died_s = 0.0

        def keep_alive() -> None:
            nonlocal died_s
            before = len(shop.deaths)
            shop.keep_alive()
            if len(shop.deaths) > before:
                died_s = time.monotonic()

        promises = shop.kiosk(keep_alive).visit()
        lasted_s = time.monotonic() - died_s
        assert promises.stage == "receipt"
        assert shop.deaths, f"{point} was not passed"
        return lasted_s


def takeover_s(cases: Range, point: tuple[str, int]) -> float | None:
    """From the death of a worker to the receipt, when only another worker is left; None when the other one had the work anyway."""
    with cases.shop() as shop:
        other = cases.forge.start(shop.folder, shop.listening, (), number=1)  # answers on the same socket
        died_s = 0.0

        def watch() -> None:
            nonlocal died_s
            if not shop.pid:
                shop.pid = cases.forge.start(shop.folder, shop.listening, [point], number=0)
            elif not died_s and cases.forge.status(shop.pid) is not None:
                died_s = time.monotonic()

        try:
            promises = shop.kiosk(watch).visit()
            lasted_s = time.monotonic() - died_s
        finally:
            cases.forge.kill(other)
        assert promises.stage == "receipt"
        return lasted_s if died_s else None


def main() -> None:
    """Run everything and record it."""
    size = QUICK if "--quick" in sys.argv[1:] else Size()
    with Forge() as forge, tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        (folder / "template").mkdir()
        cases = Range(Template.make(folder / "template"), forge, folder)
        names = crash_cases(cases, size)
        disk_cases(cases, size)
        resumed = sorted(resume_s(cases, point) for point in LATE * size.times)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            tried = pool.map(partial(takeover_s, cases), LATE * 2 * size.times)
            taken = sorted(found for found in tried if found is not None)
    result = result_of(cases.tallies, resumed=resumed, taken=taken) | {"crash_points": len(names)}
    if size is QUICK:
        print(result)
    else:
        record("service_crashes", result)


def result_of(tallies: dict[str, Tally], *, resumed: list[float], taken: list[float]) -> dict[str, Any]:
    """What is recorded."""
    bad = [fault for tally in tallies.values() for fault in tally.bad]
    cases = sum(tally.cases for tally in tallies.values())
    rows = [[kind, str(tally.cases), str(tally.deaths), str(len(tally.bad))] for kind, tally in tallies.items()]
    times = [
        [what, str(len(found)), f"{statistics.median(found):.1f} s", f"{found[-1]:.1f} s", goal]
        for what, found, goal in (
            ("the service starts again", resumed, "5 s"),
            ("another worker takes over", taken, "30 s"),
        )
        if found
    ]
    return {
        "table": {"columns": ["fault in a purchase", "cases", "deaths", "double, lost or wrong"], "rows": rows},
        "times": {"columns": ["from the death to the receipt", "cases", "p50", "max", "goal"], "rows": times},
        "n": cases,
        "bad": bad,
        "headline": f"{cases} killed or troubled purchases, {len(bad)} bad",
        "command": "python bench/bench_service_crashes.py",
    }


if __name__ == "__main__":
    main()
