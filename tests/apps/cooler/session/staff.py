"""A worker beside a shop: real outbox, real durable jobs, real blobs; the analysis answers what a test wants."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fleetsight.apps.cooler.session.analysis import Analyst, AssortmentFiles, Died, Found, Task, Unusable
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.work import JOB, Worker
from fleetsight.store.blobs import Blobs
from fleetsight.store.jobs import Jobs
from fleetsight.store.outbox import Outbox
from tests.apps.cooler.session.shop import PRICES, Shop, store_film

Outcome = Found | Unusable | Died
PATIENCE_S = 60.0


class TellingAnalyst(Analyst):
    """Answers in order, the last answer for ever; notes the bytes of each clip."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        super().__init__()
        self.outcomes = list(outcomes)
        self.clips: list[bytes] = []

    def prepare(self) -> None:
        """There is nothing to load."""

    def analyse(self, task: Task) -> Outcome:
        self.clips.append(task.clip.read_bytes())
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Found):
            task.out.mkdir()
            for name in outcome.evidence.values():
                (task.out / name).write_bytes(f"{name} of {task.clip.name}".encode())
        return outcome


class FolderAssortments:
    """One assortment for everybody."""

    def __init__(self, folder: Path) -> None:
        self.files = AssortmentFiles(folder / "catalog", None)
        self.files.catalog.mkdir()
        rows = ", ".join(f'{{"sku": "{sku}", "name": "{sku.title()} can"}}' for sku in PRICES)
        (self.files.catalog / "catalog.json").write_text(f'{{"currency": "EUR", "skus": [{rows}]}}')

    def folder(self, tenant_id: str, assortment: str) -> AssortmentFiles:
        return self.files


def seen(basket: dict[str, int], *, decision: str = "charge", confidence: float = 0.97, end_s: float = 2.0) -> Found:
    """What an analysis that saw a basket says."""
    events = [
        {
            "kind": "take",
            "sku": sku,
            "count": count,
            "at_s": 1.0,
            "window_s": [0.5, 1.5],
            "confidence": confidence,
            "rule": "row_step",
            "alternatives": [{"sku": sku, "score": confidence}],
            "camera": "0",
            "box_xyxy_px": [0.0, 0.0, 1.0, 1.0],
        }
        for sku, count in sorted(basket.items())
    ]
    report = {
        "clip": "clip.ts",
        "frames": 50,
        "decoded_fraction": 1.0,
        "degraded": [],
        "events": events,
        "basket": basket,
        "decision": decision,
        "reason": "seen",
        "confidence": confidence,
        "stages_s": {},
        "elapsed_s": 0.1,
        "frames_per_s": 500.0,
    }
    strips = {f"event_{i}": f"event_{i}_take.png" for i in range(min(len(events), 5))}
    names = {"clip": "annotated.mp4"} | strips
    return Found(report, names, end_s, 0.1, 1 << 20)


@contextmanager
def worker_of(
    shop: Shop, folder: Path, outcomes: Sequence[Outcome], *, online: bool = True
) -> Iterator[tuple[Worker, TellingAnalyst]]:
    """A worker whose durable jobs run; letters and sweeps are delivered by hand."""
    analyst = TellingAnalyst(outcomes)
    jobs = Jobs(f"sqlite:///{folder}/jobs.db", executor_id="worker-0.1", concurrency=1)
    made = folder / "assortments"
    made.mkdir(exist_ok=True)
    worker = Worker(
        shop.work,
        outbox=Outbox(shop.rows, shop.clock),
        jobs=jobs,
        blobs=Blobs.open(f"file://{folder}/blobs"),
        analyst=analyst,
        assortments=FolderAssortments(made) if not (made / "catalog").exists() else _again(made),
        name="worker-0",
        online=lambda *_: online,
        wording=lambda *_: ("Seller Ltd", "Lobby"),
    )
    worker.define()
    jobs.launch()
    try:
        yield worker, analyst
    finally:
        jobs.close()


def film(shop: Shop, worker: Worker, session: Session, pieces: tuple[bytes, ...] = (b"one", b"two")) -> Session:
    """The device uploads real bytes."""
    marked = tuple(session.id.encode() + piece for piece in pieces)
    return shop.upload(session, store_film(worker.blobs, marked))


def deliver(shop: Shop, worker: Worker) -> None:
    """Deliver letters and let jobs finish until nothing is left to do."""
    quiet = threading.Event()
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        delivered = worker.deliver_once()
        waiting = [topic for topic in shop.letters() if topic.startswith("session.")]
        due = delivered or waiting
        if not due and not worker.jobs.executors_at_work() and not _queued(worker):
            return
        quiet.wait(0.02)
    raise AssertionError(f"letters that nobody performs: {shop.letters()}")


def _queued(worker: Worker) -> bool:
    found = worker.jobs._client.list_workflows(status=["ENQUEUED", "PENDING"], name=JOB)
    return bool(found)


def _again(folder: Path) -> FolderAssortments:
    known = FolderAssortments.__new__(FolderAssortments)
    known.files = AssortmentFiles(folder / "catalog", None)
    return known
