"""Claim: at four times what the workers can settle, doors unlock as fast as ever, the queue grows in the database, and all is made good.

An API and two workers as `fleetsight serve` runs them (what looks at video gives way), and shoppers who arrive at fixed times
whether or not the service keeps up. First the rate is found at which sessions are settled, then half of it arrives, then four times
it, then nothing until every receipt is there. Cameras, coolers and phones are threads of this process, on the same cores.
``--quick`` makes the phases short and records nothing.
"""

import json
import os
import queue
import random
import resource
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from overload_service import installation
from record import record

from fleetsight.billing.prices import PriceEntry, PriceList, publish
from fleetsight.fleet.assortment import publish_assortment
from fleetsight.fleet.installation import prepare
from fleetsight.fleet.invariants import broken_rules
from fleetsight.fleet.processes.supervisor import ChildPlan, Supervisor
from fleetsight.fleet.processes.tree import listen
from fleetsight.fleet.rehearsal.tally import percentile
from fleetsight.fleet.shoppers import add_shopper
from fleetsight.fleet.tenants import add_tenant
from fleetsight.money import Money
from fleetsight.store.ids import new_id
from tests.chaos.service import CATALOG, EXPECTED_MINOR, PRICES_MINOR, addresses
from tests.fleet.machine import Machine, enrolled
from tests.web.world import PLANOGRAM, heartbeat, sha256, tar_of

DEVICES = 32
WORKERS = 2
CALM_S, BURST_S = 20.0, 15.0
QUICK_S = 4.0
PROBE = 12
"""Sessions of which the capacity is found."""
OVERLOAD = 4.0
CLIP_BYTES = 200_000
LOOK_S = 0.25
GIVE_UP_S = 300.0


@dataclass(frozen=True)
class Customer:
    """A cooler and who stands before it."""

    machine: Machine
    token: str


@dataclass
class Phase:
    """What was seen while shoppers arrived at one rate."""

    name: str
    begin_s: float
    arrivals: int = 0
    unlock_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    settled: int = 0
    waiting: int = 0
    api_mb: float = 0.0
    worker_mb: float = 0.0
    failed: list[str] = field(default_factory=list)
    lasted_s: float = 0.0

    def row(self) -> list[str]:
        """For the table."""
        unlock = (
            [f"{percentile(self.unlock_ms, percent):.0f} ms" for percent in (50, 99)] if self.unlock_ms else ["", ""]
        )
        return [
            self.name,
            f"{self.arrivals / self.lasted_s:.1f}",
            f"{self.settled / self.lasted_s:.1f}",
            *unlock,
            str(self.waiting),
            f"{self.api_mb:.0f} MB",
            f"{self.worker_mb:.0f} MB",
        ]


class Street:
    """The service and everybody who uses it."""

    def __init__(self, folder: Path, listening: socket.socket, supervisor: Supervisor, customers: list[Customer]):
        self._database = folder / "rows.db"
        self._url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._supervisor = supervisor
        self._free: queue.Queue[Customer] = queue.Queue()
        for customer in customers:
            self._free.put(customer)
        self._pool = ThreadPoolExecutor(DEVICES)
        self._http = httpx.Client(
            base_url=self._url, timeout=60, trust_env=False, limits=httpx.Limits(max_connections=DEVICES)
        )
        self._lock = threading.Lock()

    def close(self) -> None:
        """Send everybody home."""
        self._pool.shutdown()
        self._http.close()

    def play(self, name: str, *, rate_hz: float = 0.0, lasts_s: float = 0.0, until_settled: bool = False) -> Phase:
        """Let shoppers arrive at a rate for a while, or nobody until every receipt is there."""
        phase = Phase(name, time.monotonic())
        settled, draw = self.settled(), random.Random(name)
        due_s = phase.begin_s
        while True:
            now_s = time.monotonic()
            if lasts_s and now_s - phase.begin_s >= lasts_s:
                break
            if until_settled and not self.waiting():
                break
            if now_s - phase.begin_s > GIVE_UP_S:
                phase.failed.append("it takes too long")
                break
            if rate_hz and now_s >= due_s:
                phase.arrivals += 1
                self._pool.submit(self._visit, phase, due_s)
                due_s += draw.expovariate(rate_hz)
                continue
            self._look(phase)
            time.sleep(min(LOOK_S, max(0.0, due_s - time.monotonic())) if rate_hz else LOOK_S)
        phase.lasted_s = time.monotonic() - phase.begin_s
        phase.settled = self.settled() - settled
        return phase

    def settled(self) -> int:
        """Receipts so far."""
        return self._count("SELECT count(DISTINCT session_id) FROM session_receipts")

    def waiting(self) -> int:
        """Sessions that are not over."""
        return self._count("SELECT count(*) FROM sessions WHERE ended_ns IS NULL")

    def _count(self, question: str) -> int:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=30)) as connection:
            return int(connection.execute(question).fetchone()[0])

    def _look(self, phase: Phase) -> None:
        self._supervisor.tend()
        phase.waiting = max(phase.waiting, self.waiting())
        for name, pid in pids(self._supervisor).items():
            key = "api_mb" if name == "api" else "worker_mb"
            setattr(phase, key, max(getattr(phase, key), rss_mb(pid)))

    def _visit(self, phase: Phase, due_s: float) -> None:
        customer = self._free.get()
        try:
            late_s = time.monotonic() - due_s
            unlock_s = self._buy(customer)
            with self._lock:
                phase.late_ms.append(late_s * 1000)
                phase.unlock_ms.append(unlock_s * 1000)
        except Exception as error:  # noqa: BLE001 - counted as a failed visit, whatever it was
            with self._lock:
                phase.failed.append(f"{type(error).__name__}: {error}"[:300])
        finally:
            self._free.put(customer)

    def _buy(self, customer: Customer) -> float:
        """A visit whose video is complete at its end; seconds from the scan to the signed command."""
        machine, boot_id = customer.machine, new_id()
        self._ask("POST", "/v1/device/heartbeat", machine, json_body=heartbeat(machine, boot_id=boot_id))
        headers = {"Authorization": f"Bearer {customer.token}", "Idempotency-Key": new_id()}
        begin_s = time.monotonic()
        scanned = self._http.post("/v1/shopper/sessions", json={"qr_token": machine.qr()}, headers=headers)
        unlock_s = time.monotonic() - begin_s
        if scanned.status_code != httpx.codes.CREATED or scanned.json()["state"] != "unlocking":
            raise RuntimeError(f"scan: {scanned.status_code} {scanned.text}")
        session_id = scanned.json()["session_id"]
        seq = self._ask("GET", "/v1/device/commands?after=0", machine)["commands"][-1]["seq"]
        said = {"boot_id": boot_id, "at_ns": time.time_ns(), "result": "unlocked", "reason": None}
        self._ask("POST", f"/v1/device/commands/{seq}/ack", machine, json_body=said)
        doors = ("door_opened", "door_closed", "locked")
        events = [
            {"seq": number, "kind": kind, "at_ns": time.time_ns(), "session_id": session_id}
            for number, kind in enumerate(doors, start=1)
        ]
        self._ask("POST", "/v1/device/events", machine, json_body={"boot_id": boot_id, "events": events})
        self._upload(machine, session_id, boot_id)
        return unlock_s

    def _upload(self, machine: Machine, session_id: str, boot_id: str) -> None:
        data = os.urandom(CLIP_BYTES)
        segment = {"index": 0, "sha256": sha256(data), "length": len(data)}
        times = {"pts_start_ns": 0, "pts_end_ns": 6 * 10**9}
        listed = {"opened_ns": 1, "closed_ns": 2, "cameras": [{"camera": "top", "segments": [segment | times]}]}
        path = f"/v1/device/sessions/{session_id}/manifest"
        self._ask("PUT", path, machine, json_body={"boot_id": boot_id} | listed)
        announced = {"session_id": session_id, "camera": "top", **segment}
        upload_id = self._ask("POST", "/v1/device/uploads", machine, json_body=announced)["upload_id"]
        self._ask("PATCH", f"/v1/device/uploads/{upload_id}", machine, content=data)

    def _ask(
        self, method: str, path: str, machine: Machine, *, json_body: object = None, content: bytes = b""
    ) -> dict[str, Any]:
        body = json.dumps(json_body).encode() if json_body is not None else content
        headers = {"Authorization": f"Bearer {machine.token(body)}"}
        if body:
            headers["Content-Type"] = "application/json" if json_body is not None else "application/octet-stream"
        if content:
            headers["Upload-Offset"] = "0"
        answer = self._http.request(method, path, content=body, headers=headers)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        found: dict[str, Any] = answer.json()
        return found


def pids(supervisor: Supervisor) -> dict[str, int]:
    """Process ids of the children that run, by name."""
    running = ((child.plan.name, child.process) for child in supervisor._children)
    return {name: process.pid for name, process in running if process is not None}


def rss_mb(pid: int) -> float:
    """Memory of a process; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * resource.getpagesize() / 1e6


def people_in(folder: Path) -> list[Customer]:
    """Make an installation of coolers and customers with money."""
    prepare(addresses(folder))
    customers = []
    with closing(installation(folder)) as opened:
        rows, clock, now_ns = opened.rows, opened.clock, opened.clock.now_ns()
        tar = folder / "assortment.tar"
        tar.write_bytes(tar_of({"catalog/catalog.json": CATALOG, "planogram.json": PLANOGRAM}))
        entries = {sku: PriceEntry(Money(minor, "EUR"), 1900) for sku, minor in PRICES_MINOR.items()}
        for number in range(DEVICES):
            with rows.transaction() as connection:
                tenant_id = add_tenant(connection, f"tenant {number}", now_ns=now_ns).tenant_id
                shopper, token = add_shopper(connection, tenant_id, name="Ada", now_ns=now_ns)
            opened.wallet.top_up(tenant_id, shopper.shopper_id, amount=Money(10**7, "EUR"), key=f"first:{number}")
            machine = enrolled(rows, clock, tenant_id=tenant_id)
            site_id = machine.device.site_id
            with rows.transaction() as connection:
                draft = PriceList(new_id(), tenant_id, site_id, "EUR", now_ns, None, entries)
                publish(connection, draft, now_ns=now_ns)
            publish_assortment(rows, opened.blobs, device=machine.device, tar=tar, now_ns=now_ns)
            customers.append(Customer(machine, token))
    return customers


@contextmanager
def street_in(folder: Path) -> Iterator[Street]:
    """Start everything."""
    customers = people_in(folder)
    listening = listen("127.0.0.1", 0)
    program = (sys.executable, str(Path(__file__).with_name("overload_service.py")))
    descriptor = listening.fileno()
    api = ChildPlan("api", (*program, "api", str(folder), str(descriptor)), os.environ, descriptors=(descriptor,))
    workers = [
        ChildPlan(f"worker-{number}", (*program, "worker", str(folder), str(number)), os.environ)
        for number in range(WORKERS)
    ]
    supervisor = Supervisor([api, *workers])
    supervisor.start()
    street = Street(folder, listening, supervisor, customers)
    try:
        with httpx.Client(base_url=street._url, timeout=60, trust_env=False) as client:
            while client.get("/readyz").status_code != httpx.codes.OK:
                time.sleep(LOOK_S)
        yield street
    finally:
        street.close()
        supervisor.end()
        listening.close()


def capacity_hz(street: Street) -> float:
    """Sessions a second that the workers settle when enough are waiting."""
    street.play("first", rate_hz=4.0, lasts_s=PROBE / 4.0)
    begin_s, before = time.monotonic(), street.settled()
    drained = street.play("drain", until_settled=True)
    return (street.settled() - before) / (time.monotonic() - begin_s) if drained.settled else 1.0


def faults_in(folder: Path, phases: Sequence[Phase]) -> list[str]:
    """What is wrong when everything is over: rules, and visits that failed."""
    with closing(installation(folder)) as opened:
        broken = broken_rules(opened.rows, opened.blobs, now_ns=opened.clock.now_ns())
        charged = {
            row[0] for row in sqlite3.connect(folder / "rows.db").execute("SELECT DISTINCT charged_minor FROM sessions")
        }
    wrong = [] if charged <= {EXPECTED_MINOR} else [f"charged {sorted(charged)}, expected {EXPECTED_MINOR}"]
    return [f"{one.rule}: {one.detail}" for one in broken] + wrong + [fault for one in phases for fault in one.failed]


def main() -> None:
    """Measure and record."""
    quick = "--quick" in sys.argv[1:]
    calm_s, burst_s = (QUICK_S, QUICK_S) if quick else (CALM_S, BURST_S)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        with street_in(folder) as street:
            capacity = capacity_hz(street)
            print(f"capacity {capacity:.2f} sessions a second", file=sys.stderr)
            phases = [
                street.play("half of it", rate_hz=capacity / 2, lasts_s=calm_s),
                street.play("four times", rate_hz=capacity * OVERLOAD, lasts_s=burst_s),
                street.play("nobody comes any more", until_settled=True),
            ]
        faults = faults_in(folder, phases)
    _, burst, after = phases
    columns = ["arrivals", "a second", "settled a second", "unlock p50", "unlock p99", "most waiting", "API", "worker"]
    result = {
        "table": {"columns": columns, "rows": [phase.row() for phase in phases]},
        "n": sum(phase.arrivals for phase in phases),
        "capacity_hz": round(capacity, 2),
        "unlock_p99_ms": percentile(burst.unlock_ms, 99),
        "goodput_share": round(burst.settled / burst.lasted_s / capacity, 2),
        "recovery_s": round(after.lasted_s, 1),
        "arrivals_late_ms": {phase.name: percentile(phase.late_ms, 99) for phase in phases},
        "bad": faults,
        "command": "python bench/bench_overload.py",
    }
    if quick:
        print(json.dumps(result))
    else:
        record("overload", result)


if __name__ == "__main__":
    main()
