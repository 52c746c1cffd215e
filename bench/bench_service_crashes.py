"""Claim: whatever a purchase is killed at, it charges the right amount once, loses nothing that was acknowledged, and goes on in seconds.

Every visit of every crash point, pairs of crash points, every sync of the disk, and errors from writes; then how long it takes until
a restarted service, and until another worker, brings the receipt.
"""

import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from record import record

from fleetsight.store.crashpoint import POINTS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the harness is that of the tests

from tests.chaos.forge import Forge
from tests.chaos.kiosk import Promises
from tests.chaos.shop import Shop, Template
from tests.chaos.tracing import TracedShop, fail_write, kill_at_sync, reason_not_to_trace
from tests.chaos.visits import ELSEWHERE, visits_of

PAIRS = 250
SEED = 11
SYNCS_MAX = 60
WRITES = range(1, 200, 10)
TAKEOVERS = 5
LATE_POINTS = ("settle.analysed", "settle.evidence-put", "work.before-pay", "payments.called", "jobs.after-effect")
"""Passed after the upload: from here on a shopper waits for nothing but us."""


@dataclass
class Tally:
    """Cases of one kind."""

    cases: int = 0
    deaths: int = 0
    bad: list[str] = field(default_factory=list)


class Range:
    """Runs cases, each on a copy of the template."""

    def __init__(self, template: Template, forge: Forge, folder: Path) -> None:
        self._template, self._forge, self._folder = template, forge, folder
        self._number = 0
        self.tallies: dict[str, Tally] = {}

    @contextmanager
    def shop(self) -> Iterator[Shop]:
        """A shop of its own."""
        self._number += 1
        shop = Shop.copy(self._template, self._folder / str(self._number), self._forge)
        try:
            yield shop
        finally:
            shop.end()
            shutil.rmtree(shop.folder)

    def case(self, kind: str, name: str, *lives: Sequence[tuple[str, int]]) -> None:
        """Kill a purchase as told, and look what became of it."""
        with self.shop() as shop:
            shop.armed = list(lives)
            self.judge(kind, name, shop)

    def judge(self, kind: str, name: str, shop: Shop, traced: TracedShop | None = None) -> None:
        """Let the purchase happen; note what is wrong."""
        tally = self.tallies.setdefault(kind, Tally())
        tally.cases += 1
        try:
            promises = shop.kiosk(traced.keep_alive if traced else None).visit()
            faults = shop.faults(promises)
            if promises.stage != "receipt":
                faults.append(f"ended as {promises.stage}")
        except AssertionError as error:
            faults = [str(error)]
        tally.deaths += len(shop.deaths)
        tally.bad += [f"{name}: {fault}" for fault in faults]
        print(
            f"{kind} {tally.cases} {name} deaths={len(shop.deaths)} {'BAD ' + str(faults) if faults else ''}",
            file=sys.stderr,
        )


def traced_cases(cases: Range) -> None:
    """Kills at syncs, until the process survives, and errors from writes."""
    if reason := reason_not_to_trace():
        print(reason, file=sys.stderr)
        return
    for number in range(1, SYNCS_MAX):
        with cases.shop() as shop:
            traced = TracedShop(shop, kill_at_sync(number))
            cases.judge("kill at a sync", str(number), shop, traced)
            traced.end()
            if not shop.deaths:
                break
    for error in ("EIO", "ENOSPC"):
        for number in WRITES:
            with cases.shop() as shop:
                traced = TracedShop(shop, fail_write(number, error))
                cases.judge("error from a write", f"{error} {number}", shop, traced)
                traced.end()


def resume_s(cases: Range, point: str) -> float:
    """From the death of the service, after the upload, to the receipt, when it is started again at once."""
    with cases.shop() as shop:
        shop.armed = [[(point, 1)]]
        died_s = 0.0

        def keep_alive() -> None:
            nonlocal died_s
            before = len(shop.deaths)
            shop.keep_alive()
            if len(shop.deaths) > before:
                died_s = time.monotonic()

        promises = shop.kiosk(keep_alive).visit()
        assert promises.stage == "receipt"
        return time.monotonic() - died_s


def takeover_s(cases: Range, point: str) -> float:
    """From the death of a worker to the receipt, when only another worker is left."""
    with cases.shop() as shop:
        with_own_api = cases._forge  # the second service answers on the same socket
        other = with_own_api.start(shop.folder, shop.listening, (), number=1)
        died_s = 0.0

        def watch() -> None:
            nonlocal died_s
            if not shop.pid:
                shop.pid = with_own_api.start(shop.folder, shop.listening, [(point, 1)], number=0)
            elif not died_s and with_own_api.status(shop.pid) is not None:
                died_s = time.monotonic()

        try:
            promises: Promises = shop.kiosk(watch).visit()
        finally:
            with_own_api.kill(other)
        assert promises.stage == "receipt"
        return time.monotonic() - died_s if died_s else 0.0


def main() -> None:
    """Run everything and record it."""
    draw = random.Random(SEED)
    with Forge() as forge, tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        (folder / "template").mkdir()
        cases = Range(Template.make(folder / "template"), forge, folder)
        with cases.shop() as shop:
            visits: Counter[str] = visits_of(shop)
        names = sorted(set(visits) & (set(POINTS) - set(ELSEWHERE)))
        for name in names:
            for nth in range(1, min(visits[name], 6) + 1):
                cases.case("kill at a crash point", f"{name}:{nth}", [(name, nth)])
        for _ in range(PAIRS):
            first, second = draw.choice(names), draw.choice(names)
            cases.case("kill at a pair", f"{first} then {second}", [(first, 1)], [(second, 1)])
        traced_cases(cases)
        resumed = sorted(resume_s(cases, point) for point in LATE_POINTS * 4)
        taken = sorted(filter(None, (takeover_s(cases, point) for point in LATE_POINTS * TAKEOVERS)))
    write(cases.tallies, names, resumed=resumed, taken=taken)


def write(tallies: dict[str, Tally], names: list[str], *, resumed: list[float], taken: list[float]) -> None:
    """Record the result."""
    bad = [fault for tally in tallies.values() for fault in tally.bad]
    rows = [[kind, str(tally.cases), str(tally.deaths), str(len(tally.bad))] for kind, tally in tallies.items()]
    times: dict[str, Any] = {
        name: {"p50": round(statistics.median(found), 2), "max": round(found[-1], 2), "n": len(found)}
        for name, found in (("restart_to_receipt_s", resumed), ("takeover_to_receipt_s", taken))
    }
    record(
        "service_crashes",
        {
            "table": {"columns": ["fault", "cases", "deaths", "bad"], "rows": rows},
            "n": sum(tally.cases for tally in tallies.values()),
            "crash_points": len(names),
            "bad": bad,
            "times": times,
            "headline": f"{sum(tally.cases for tally in tallies.values())} killed or troubled purchases, {len(bad)} bad",
            "command": "python bench/bench_service_crashes.py",
        },
    )


if __name__ == "__main__":
    main()
