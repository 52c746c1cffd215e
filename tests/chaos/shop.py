"""A shop to be troubled: an installation made once and copied for each case, a kiosk before it, and the truth about the money."""

import shutil
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fleetsight.apps.cooler.device.identity import Identity
from fleetsight.billing.prices import PriceEntry, PriceList, publish
from fleetsight.billing.providers.bank import Bank
from fleetsight.clock import SystemClock
from fleetsight.fleet.assortment import publish_assortment
from fleetsight.fleet.devices.server_key import ServerKey
from fleetsight.fleet.installation import prepare
from fleetsight.fleet.invariants import Broken, broken_rules
from fleetsight.fleet.processes.tree import listen
from fleetsight.fleet.shoppers import Method, add_shopper
from fleetsight.fleet.tenants import add_tenant
from fleetsight.money import Money
from fleetsight.store.blobs import Blobs, Digest
from fleetsight.store.ids import new_id
from fleetsight.store.jobs import Jobs
from fleetsight.store.rows import Rows
from tests.chaos.forge import Forge
from tests.chaos.kiosk import Kiosk, Promises
from tests.chaos.service import CATALOG, EXPECTED_MINOR, PRICES_MINOR, addresses, opened
from tests.fleet.machine import Machine, enrolled
from tests.web.world import PLANOGRAM, tar_of

PROVIDER = "faulty"
VISITS = 3
"""A service that dies takes as long to come back as the machine is slow, and an unlock command lasts ten seconds."""
LOG_TAIL = 4000


@dataclass(frozen=True)
class Template:
    """An installation with one of everything, on which no service runs."""

    folder: Path
    machine: Machine
    shopper_token: str

    @classmethod
    def make(cls, folder: Path) -> "Template":
        prepare(addresses(folder))
        Jobs(addresses(folder).jobs_url).close()
        clock = SystemClock()
        with closing(opened(folder)) as installation:
            rows, now_ns = installation.rows, clock.now_ns()
            with rows.transaction() as connection:
                tenant_id = add_tenant(connection, "tenant", now_ns=now_ns).tenant_id
                _, token = add_shopper(connection, tenant_id, name="Ada", now_ns=now_ns, method=Method(PROVIDER))
            machine = enrolled(rows, clock, tenant_id=tenant_id)
            here = machine.device
            entries = {sku: PriceEntry(Money(minor, "EUR"), 1900) for sku, minor in PRICES_MINOR.items()}
            draft = PriceList(new_id(), here.tenant_id, here.site_id, "EUR", now_ns, None, entries)
            with rows.transaction() as connection:
                publish(connection, draft, now_ns=now_ns)
            tar = folder / "assortment.tar"
            tar.write_bytes(tar_of({"catalog/catalog.json": CATALOG, "planogram.json": PLANOGRAM}))
            publish_assortment(rows, installation.blobs, device=here, tar=tar, now_ns=now_ns)
        return cls(folder, machine, token)


@dataclass
class Shop:
    """A copy of the template with a service that is started again whenever it is dead."""

    folder: Path
    template: Template
    forge: Forge
    listening: socket.socket
    pid: int = 0
    deaths: list[int] = field(default_factory=list)
    armed: list[Sequence[tuple[str, int]]] = field(default_factory=list)
    """What each further life dies of; then it lives."""

    @classmethod
    def copy(cls, template: Template, folder: Path, forge: Forge) -> "Shop":
        shutil.copytree(template.folder, folder)
        return cls(folder, template, forge, listen("127.0.0.1", 0))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def keep_alive(self) -> None:
        """Start the service when it is dead."""
        if self.pid:
            status = self.forge.status(self.pid)
            if status is None:
                return
            self.deaths.append(status)
        self.pid = self.forge.start(self.folder, self.listening, self.armed.pop(0) if self.armed else ())

    def kiosk(self, keep_alive: Callable[[], None] | None = None) -> Kiosk:
        machine = self.template.machine
        key = ServerKey.open(self.folder / "server_key.pem")
        here = machine.device
        identity = Identity(
            self.base_url, here.device_id, machine.kid, here.tenant_id, here.site_id, key.public_key_b64
        )
        return Kiosk(
            self.base_url, identity, machine.private_key, self.template.shopper_token, keep_alive or self.keep_alive
        )

    def purchase(self, keep_alive: Callable[[], None] | None = None) -> Promises:
        """A purchase, for which a shopper scans again when the door stayed shut; such a visit must have cost nothing."""
        kiosk = self.kiosk(keep_alive)
        for _ in range(VISITS - 1):
            promises = kiosk.visit()
            if not promises.turned_away:
                return promises
            assert self.faults(promises) == [], (promises, self.log()[-LOG_TAIL:])
        return kiosk.visit()

    def faults_of_purchase(self, keep_alive: Callable[[], None] | None = None) -> list[str]:
        """What is wrong after a purchase that has to end with its receipt."""
        promises = self.purchase(keep_alive)
        missing = [] if promises.stage == "receipt" else [f"no receipt: {promises}"]
        return missing + self.faults(promises)

    def end(self) -> None:
        """End the service."""
        if self.pid:
            self.forge.kill(self.pid)
        self.pid = 0
        self.listening.close()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace") if (self.folder / "log").exists() else ""

    def faults(self, promises: Promises) -> list[str]:
        """What is wrong with the money and with what was promised, when everything is over."""
        found = [f"{one.rule}: {one.detail}" for one in self.broken()]
        with closing(Bank(self.folder / "bank.db", SystemClock())) as bank:
            truth = bank.truth().get(promises.session_id)
        if truth is None:
            found.append("the bank knows nothing of the session")
        elif promises.stage == "receipt":
            fact = (truth.captured_minor, truth.captures, truth.intents, truth.held_minor, truth.refunded_minor)
            if fact != (EXPECTED_MINOR, 1, 1, 0, 0):
                found.append(f"the bank says {truth}")
            if promises.receipt["total"]["minor"] != EXPECTED_MINOR:
                found.append(f"the receipt says {promises.receipt['total']}")
        elif truth.captured_minor or truth.held_minor:
            found.append(f"{promises.stage} with {truth}")
        blobs = Blobs.open(addresses(self.folder).blobs_url)
        for sha256, data in promises.kept.items():
            if blobs.size(Digest(f"sha256:{sha256}")) is None or blobs.get(Digest(f"sha256:{sha256}")) != data:
                found.append(f"the acknowledged upload {sha256} is lost")
        return found

    def broken(self) -> list[Broken]:
        """Rules that do not hold; asked again for a while, because the last letters may still be under way."""
        limit_s = time.monotonic() + 10.0
        while True:
            with closing(Rows.open(addresses(self.folder).database_url)) as rows:
                blobs = Blobs.open(addresses(self.folder).blobs_url)
                broken = broken_rules(rows, blobs, now_ns=SystemClock().now_ns())
            if not broken or time.monotonic() > limit_s:
                return broken
            self.keep_alive()
            time.sleep(0.2)
