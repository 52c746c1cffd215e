"""A company that trades: real service, real money, a device and an analysis that do as a test says."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from fleetsight.apps.cooler.session.analysis import Analyst, Died, Found, Task, Unusable
from fleetsight.apps.cooler.session.answers import Acknowledgement, DeviceEvent, DeviceEventKind, Manifest, Offered
from fleetsight.apps.cooler.session.machine.session import Segment, Session
from fleetsight.apps.cooler.session.work import Worker
from fleetsight.billing.prices import PriceEntry, PriceList, publish
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.assortment import publish_assortment
from fleetsight.fleet.sites import wording
from fleetsight.store.canonical import JsonObject
from fleetsight.store.ids import new_id
from fleetsight.store.jobs import Jobs
from fleetsight.store.outbox import Outbox
from tests.web.pages import made_up as m
from tests.web.pages.preview import CLIP_S, write_media
from tests.web.world import Company, World, tar_of

PRICES = {choice.sku: choice.each for choice in m.CHOICES}
NAMES = {choice.sku: choice.name for choice in m.CHOICES}


T = TypeVar("T")


def apart(call: Callable[[], T]) -> T:
    """Call in a thread of its own: the driver of the browser has an event loop in this one, and so has the call."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


class AtOnce:
    """Durable jobs that are done while one waits for them."""

    def __init__(self) -> None:
        self._bodies: dict[str, Callable[[Any, JsonObject], JsonObject]] = {}

    def define(self, name: str, body: Callable[[Any, JsonObject], JsonObject]) -> None:
        self._bodies[name] = body

    def enqueue(self, name: str, job_id: str, *, arguments: JsonObject) -> None:
        self._bodies[name](self, arguments)

    def run(self, name: str, function: Callable[[], Any], **options: Any) -> Any:
        return function()


class Seer:
    """An analysis that sees what it is told to."""

    def __init__(self, media: Path) -> None:
        self.media = media
        self.report: JsonObject = {}
        self.end_s = CLIP_S

    def analyse(self, task: Task) -> Found | Unusable | Died:
        shutil.copytree(self.media / "evidence", task.out)
        strips = {f"event_{i}": f"event_{i}_{event['kind']}.png" for i, event in enumerate(self.report["events"])}
        for name in strips.values():
            shutil.copy(self.media / "evidence" / "event_0_take.png", task.out / name)
        return Found(self.report, {"clip": "annotated.mp4", **strips}, CLIP_S, 1.2, 1 << 28)

    def close(self) -> None:
        pass


def take(
    sku: str, at_s: float, *, count: int = 1, confidence: float = 0.97, others: Mapping[str, float] | None = None
) -> JsonObject:
    """An event of a report."""
    likely = {sku: confidence} | dict(others or {})
    return {
        "kind": "take",
        "sku": sku,
        "count": count,
        "at_s": at_s,
        "window_s": [at_s - 0.8, at_s + 0.8],
        "confidence": confidence,
        "rule": "row_step",
        "alternatives": [{"sku": name, "score": score} for name, score in likely.items()],
        "camera": "0",
        "box_xyxy_px": [10.0, 10.0, 60.0, 60.0],
    }


def unknown(at_s: float) -> JsonObject:
    """A product that is not in the catalog was moved."""
    seen = take("x", at_s, confidence=0.64)
    return seen | {
        "kind": "unknown",
        "sku": None,
        "rule": "place_emptied",
        "alternatives": [{"sku": None, "score": 0.64}],
    }


def report(*events: JsonObject, decision: str = "charge", reason: str = "confidence 0.968 reaches 0.9") -> JsonObject:
    """What an analysis says."""
    basket: dict[str, int] = {}
    for event in events:
        if event["sku"] is not None:
            basket[event["sku"]] = basket.get(event["sku"], 0) + event["count"]
    return {
        "clip": "clip.ts",
        "frames": 93,
        "decoded_fraction": 1.0,
        "degraded": [],
        "events": list(events),
        "basket": basket,
        "decision": decision,
        "reason": reason,
        "confidence": 0.968 if decision != "review" else 0.71,
        "stages_s": {"decode": 0.3},
        "elapsed_s": 1.1,
        "frames_per_s": 84.0,
    }


@dataclass
class Trading:
    """One company with a cooler that sells the made-up products."""

    world: World
    company: Company
    seer: Seer
    worker: Worker
    numbers: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def begin(cls, world: World, folder: Path) -> "Trading":
        company = apart(world.company)
        media = folder / "media"
        write_media(media)
        seer = Seer(media)
        services = world.services
        worker = Worker(
            work=services.work,
            outbox=Outbox(services.rows, services.clock),
            jobs=cast(Jobs, AtOnce()),
            blobs=services.blobs,
            analyst=cast(Analyst, seer),
            assortments=services.assortments,
            name="worker-0",
            wording=wording,
        )
        worker.define()
        trading = cls(world, company, seer, worker)
        trading.stock()
        return trading

    def stock(self) -> None:
        """Prices and pictures of the made-up products."""
        device, services = self.company.machine.device, self.world.services
        now_ns = self.world.clock.now_ns()
        entries = {sku: PriceEntry(each, 1900) for sku, each in PRICES.items() if each is not None}
        draft = PriceList(new_id(), device.tenant_id, device.site_id, "EUR", now_ns, None, entries)
        with services.rows.transaction() as connection:
            publish(connection, draft, now_ns=now_ns)
        files: dict[str, Any] = {
            "planogram.json": {"camera": {"width_px": 320, "height_px": 180}, "facings": []},
            "catalog/catalog.json": {
                "currency": "EUR",
                "skus": [
                    {"sku": sku, "name": name, "pictures": [f"pictures/{sku}_0.png"]} for sku, name in NAMES.items()
                ],
            },
        }
        for sku in NAMES:
            picture = self.seer.media / "catalog" / "pictures" / f"{sku}_0.png"
            files[f"catalog/pictures/{sku}_0.png"] = picture.read_bytes()
        tar = services.parts_dir.parent / "made-up.tar"
        tar.write_bytes(tar_of(files))
        publish_assortment(services.rows, services.blobs, device=device, tar=tar, now_ns=now_ns)
        self.beat()

    def beat(self) -> None:
        """The device says that it is there."""
        self.world.clock.advance(SECOND_NS)
        apart(lambda: self.world.beat(self.company.machine))

    def open_session(self) -> str:
        """The company's shopper scans the code."""
        self.beat()
        return apart(lambda: self.world.open_session(self.company))

    # ------------------------------------------------------------ the device

    def acknowledge(self, session_id: str) -> None:
        """The door is unlocked."""
        told = Acknowledgement(
            self.company.tenant_id, self._device, session_id, 1, "boot", unlocked=True, at_ns=self.world.clock.now_ns()
        )
        self.world.services.sessions.acknowledge(told)

    def says(self, session_id: str, *kinds: str) -> None:
        """The device says something about its door, a second apart."""
        for kind in kinds:
            self.numbers[0] += 1
            event = DeviceEvent(
                self.company.tenant_id,
                self._device,
                "boot",
                self.numbers[0],
                DeviceEventKind(kind),
                self.world.clock.now_ns(),
                session_id,
            )
            self.world.services.sessions.device_event(event)
            self.world.clock.advance(SECOND_NS)

    def film(self, session_id: str) -> None:
        """The device uploads its video."""
        data = json.dumps({"film": session_id}).encode()
        services = self.world.services
        services.blobs.put_bytes(data)
        piece = Segment("top", 0, hashlib.sha256(data).hexdigest(), len(data), 0, round(self.seer.end_s * SECOND_NS))
        services.sessions.manifest(Manifest(self.company.tenant_id, self._device, session_id, (piece,)))
        services.sessions.stored(Offered(self.company.tenant_id, self._device, session_id, piece))

    def work(self) -> None:
        """Everything that waits is done."""
        for _ in range(20):
            self.world.clock.advance(SECOND_NS)
            if not self.worker.deliver_once():
                return

    def shop(self, session_id: str, seen: JsonObject) -> Session:
        """The visit, its video, and what follows."""
        self.seer.report = seen
        self.acknowledge(session_id)
        self.says(session_id, "door_opened", "door_closed", "locked")
        self.film(session_id)
        self.work()
        session = self.world.services.sessions.load(session_id)
        assert session is not None
        return session

    def bought(self, seen: JsonObject) -> Session:
        """A whole purchase of the company's shopper."""
        return self.shop(self.open_session(), seen)

    @property
    def _device(self) -> str:
        return self.company.machine.device.device_id
