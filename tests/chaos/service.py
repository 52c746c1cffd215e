"""One process that is the whole service: API and worker, a bank that outlives it, and an analysis that only pretends to look.

It is killed wherever a test wants, and started again on the same folder.
"""

import logging
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Any

from fleetsight.apps.cooler.session.analysis import Analyst, Died, Found, Task, Unusable
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.faulty import FaultyProvider
from fleetsight.clock import SystemClock
from fleetsight.fleet.installation import Addresses, Choices, Installation
from fleetsight.fleet.processes.worker import run_worker
from fleetsight.store.crashpoint import arm
from fleetsight.web.app import make_app
from fleetsight.web.server import answer, services_of
from tests.chaos.recorder import record_visits
from tests.web.world import FREE

LOG = logging.getLogger(__name__)
PRICES_MINOR = {"cola": 250, "tea": 199}
BASKET = {"cola": 2, "tea": 1}
EXPECTED_MINOR = sum(PRICES_MINOR[sku] * count for sku, count in BASKET.items())
CATALOG = {"currency": "EUR", "skus": [{"sku": "cola", "name": "Cola"}, {"sku": "tea", "name": "Tea"}]}
CLIP_S = 6.0
WORKER_ENDED = 71
"""Status of a process whose worker gave up."""
HELD = "held"
"""In the place of a crash point: the life stops before it does anything, until somebody lets it go on."""
RECORDED = "recorded"
"""In the place of a crash point: visits are noted."""


class Pretender(Analyst):
    """Finds the same basket in every clip, at once; its evidence names the clip it was made from."""

    def prepare(self) -> None:
        """There is nothing to load."""

    def analyse(self, task: Task) -> Found | Unusable | Died:
        task.out.mkdir(parents=True, exist_ok=True)
        events = []
        evidence = {"clip": "annotated.mp4"}
        for index, (sku, count) in enumerate(sorted(BASKET.items())):
            events.append({"kind": "take", "sku": sku, "count": count, "at_s": 1.0 + index, "confidence": 0.99})
            evidence[f"event_{index}"] = f"event_{index}.jpg"
        for name in evidence.values():
            (task.out / name).write_bytes(name.encode() + task.clip.read_bytes())
        report: dict[str, Any] = {
            "basket": BASKET,
            "decision": "charge",
            "reason": "sure",
            "confidence": 0.99,
            "decoded_fraction": 1.0,
            "events": events,
        }
        return Found(report, evidence, end_s=CLIP_S, elapsed_s=0.01, peak_ram_bytes=1)


def addresses(folder: Path) -> Addresses:
    return Addresses(
        data_dir=folder,
        database_url=f"sqlite:///{folder / 'rows.db'}",
        jobs_url=f"sqlite:///{folder / 'jobs.db'}",
        blobs_url=(folder / "blobs").as_uri(),
        base_url="http://service.test",
    )


def opened(folder: Path) -> Installation:
    """The installation of a folder; a bank beside it moves the money."""
    clock = SystemClock()
    bank = FaultyProvider(Bank(folder / "bank.db", clock))
    return Installation.open(addresses(folder), Choices(), clock=clock, more_providers=(bank,))


def run(folder: Path, listening: socket, armed: Sequence[tuple[str, int]], *, number: int = 0) -> None:
    """Serve until killed."""
    installation = opened(folder)
    for name, nth in armed:
        if name == HELD:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif name == RECORDED:
            record_visits(folder)
        else:
            arm(name, nth)
    threading.Thread(target=work, args=(installation, number), daemon=True).start()
    answer(make_app(replace(services_of(installation), rates=FREE)), listening)


def work(installation: Installation, number: int) -> None:
    """Be the worker. Elsewhere it has a process of its own, which its supervisor starts again: here its end is the end of both."""
    try:
        run_worker(installation, number, stop=threading.Event(), known_dead=True, analyst=Pretender())
    except Exception:
        LOG.exception("the worker ended")
    os._exit(WORKER_ENDED)
