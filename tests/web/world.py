"""A whole service for tests: database, blobs, money, sessions, the app, and those who call it."""

import asyncio
import hashlib
import io
import itertools
import json
import socket
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from fleetsight.apps.cooler.session.answers import Applied
from fleetsight.apps.cooler.session.machine.events import Analysed
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import Verdict
from fleetsight.apps.cooler.session.review import Reviews
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.work import Work
from fleetsight.billing.payments import Payments
from fleetsight.billing.prices import PriceEntry, PriceList, publish
from fleetsight.billing.provider import Provider
from fleetsight.billing.providers.wallet import Wallet
from fleetsight.clock import VirtualClock
from fleetsight.fleet.assortment import publish_assortment
from fleetsight.fleet.devices.server_key import ServerKey
from fleetsight.fleet.devices.unlocks import FleetUnlocker
from fleetsight.fleet.people import Person, Role, add_person, person_token
from fleetsight.fleet.redeem import Redeemer, Selling
from fleetsight.fleet.shoppers import Shopper, add_shopper
from fleetsight.fleet.tenants import add_tenant
from fleetsight.money import Money
from fleetsight.store.blobs import Blobs
from fleetsight.store.ids import new_id
from fleetsight.store.rows import METADATA, Rows
from fleetsight.web.app import make_app
from fleetsight.web.gate.patient_protocol import PatientProtocol
from fleetsight.web.gate.rates import Rate, Rates
from fleetsight.web.services import Services
from tests.fleet.machine import START_NS, Machine, enrolled

BEATS = itertools.count(1)
BASE = "http://service.test"
FREE = Rates(**{name: Rate(rate.name, 1e6, 1e9) for name, rate in vars(Rates()).items()})
"""Rates that no test reaches."""
CATALOG = {"currency": "EUR", "skus": [{"sku": "cola", "name": "Cola"}, {"sku": "tea", "name": "Tea"}]}
PLANOGRAM = {
    "camera": {"width_px": 640, "height_px": 360},
    "facings": [{"id": "1", "sku": "cola", "box_xyxy_px": [0, 0, 10, 10]}],
}


@dataclass
class Company:
    """A tenant with a device, a shopper with money, and a person of each role."""

    tenant_id: str
    machine: Machine
    shopper: Shopper
    shopper_token: str
    people: dict[Role, Person] = field(default_factory=dict)
    tokens: dict[Role, str] = field(default_factory=dict)


@dataclass
class World:
    """The service."""

    clock: VirtualClock
    rows: Rows
    services: Services
    app: FastAPI

    def change(self, **changed: Any) -> None:
        """Start the app anew with other services; what it had in memory is gone."""
        self.services = replace(self.services, **changed)
        self.app = make_app(self.services)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request, as anybody."""
        return asyncio.run(self.ask_soon(method, path, **options))

    async def ask_soon(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        cookies = options.pop("cookies", None)
        async with httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies) as client:
            return await client.request(method, path, **options)

    def as_device(self, machine: Machine, method: str, path: str, **options: Any) -> httpx.Response:
        """One request, signed by a device; `json` or `content` is the body, `claims` changes what is signed."""
        return asyncio.run(self.as_device_soon(machine, method, path, **options))

    async def as_device_soon(self, machine: Machine, method: str, path: str, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        claims = options.pop("claims", {})
        body = options.pop("content", b"")
        if "json" in options:
            body = json.dumps(options.pop("json")).encode()
            headers["Content-Type"] = "application/json"
        headers["Authorization"] = f"Bearer {machine.token(body, **claims)}"
        return await self.ask_soon(method, path, content=body, headers=headers, **options)

    def as_holder(self, token: str, method: str, path: str, **options: Any) -> httpx.Response:
        """One request with a bearer token; a money request gets a new key unless it brings one."""
        return asyncio.run(self.as_holder_soon(token, method, path, **options))

    async def as_holder_soon(self, token: str, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}
        headers |= options.pop("headers", {})
        return await self.ask_soon(method, path, headers=headers, **options)

    def company(self, *, balance_minor: int = 10_000) -> Company:
        """A tenant that can trade at once."""
        now_ns = self.clock.now_ns()
        with self.rows.transaction() as connection:
            tenant_id = add_tenant(connection, "tenant", now_ns=now_ns).tenant_id
            shopper, shopper_token = add_shopper(connection, tenant_id, name="Ada", now_ns=now_ns)
            people = {
                role: add_person(connection, tenant_id, name=role.label, role=role, now_ns=now_ns) for role in Role
            }
            tokens = {role: person_token(connection, person, now_ns=now_ns) for role, person in people.items()}
        machine = enrolled(self.rows, self.clock, tenant_id=tenant_id)
        wallet = self.services.wallet
        assert wallet is not None
        if balance_minor:
            amount = Money(balance_minor, "EUR")
            wallet.top_up(tenant_id, shopper.shopper_id, amount=amount, key=f"first:{shopper.shopper_id}")
        self.stock(machine)
        return Company(tenant_id, machine, shopper, shopper_token, people, tokens)

    def another_shopper(self, company: Company, *, balance_minor: int = 10_000) -> tuple[Shopper, str]:
        with self.rows.transaction() as connection:
            made = add_shopper(connection, company.tenant_id, name="Bo", now_ns=self.clock.now_ns())
        wallet = self.services.wallet
        assert wallet is not None
        if balance_minor:
            amount = Money(balance_minor, "EUR")
            wallet.top_up(company.tenant_id, made[0].shopper_id, amount=amount, key=f"first:{made[0].shopper_id}")
        return made

    def stock(self, machine: Machine) -> None:
        """Prices, an assortment, and a heartbeat."""
        here = machine.device
        entries = {"cola": PriceEntry(Money(250, "EUR"), 1900), "tea": PriceEntry(Money(199, "EUR"), 700)}
        now_ns = self.clock.now_ns()
        draft = PriceList(new_id(), here.tenant_id, here.site_id, "EUR", now_ns, None, entries)
        with self.rows.transaction() as connection:
            publish(connection, draft, now_ns=now_ns)
        tar = self.services.parts_dir.parent / f"{uuid.uuid4().hex}.tar"
        tar.write_bytes(tar_of({"catalog/catalog.json": CATALOG, "planogram.json": PLANOGRAM}))
        publish_assortment(self.rows, self.services.blobs, device=here, tar=tar, now_ns=now_ns)
        self.beat(machine)

    def beat(self, machine: Machine, **changed: Any) -> httpx.Response:
        return self.as_device(machine, "POST", "/v1/device/heartbeat", json=heartbeat(machine, **changed))

    def open_session(self, company: Company) -> str:
        """Redeem a code of the company's device; the id of the session, which is unlocking."""
        token = company.machine.qr()
        answer = self.as_holder(company.shopper_token, "POST", "/v1/shopper/sessions", json={"qr_token": token})
        assert answer.status_code == 201, answer.text
        assert answer.json()["state"] == "unlocking"
        return str(answer.json()["session_id"])

    def session(self, session_id: str) -> Session:
        found = self.services.sessions.load(session_id)
        assert found is not None
        return found

    def seen_session(self, company: Company, *, verdict: Verdict, units: int = 1) -> str:
        """A visit whose video is here and was looked at."""
        session_id = self.recording_session(company)
        machine, boot_id, data = company.machine, f"boot-{session_id}", session_id.encode()
        ends = [
            {"seq": seq, "kind": kind, "at_ns": seq, "session_id": session_id}
            for seq, kind in ((2, "door_closed"), (3, "locked"))
        ]
        self.as_device(machine, "POST", "/v1/device/events", json={"boot_id": boot_id, "events": ends})
        announced = {
            "session_id": session_id,
            "camera": "top",
            "index": 0,
            "sha256": sha256(data),
            "length": len(data),
        }
        upload_id = self.as_device(machine, "POST", "/v1/device/uploads", json=announced).json()["upload_id"]
        headers = {"Upload-Offset": "0", "Content-Type": "application/octet-stream"}
        self.as_device(machine, "PATCH", f"/v1/device/uploads/{upload_id}", content=data, headers=headers)
        segment = {"index": 0, "sha256": sha256(data), "length": len(data), "pts_start_ns": 0, "pts_end_ns": 10**9}
        listed = {"opened_ns": 1, "closed_ns": 2, "cameras": [{"camera": "top", "segments": [segment]}]}
        path = f"/v1/device/sessions/{session_id}/manifest"
        assert self.as_device(machine, "PUT", path, json={"boot_id": boot_id} | listed).json() == {"missing": []}
        run_id, basket = self.session(session_id).run_id, (("cola", units),)
        seen = Analysed(run_id, verdict, basket, 250 * units, (), 0, 0.5, "a test")
        assert isinstance(self.services.sessions.apply(session_id, seen), Applied)
        return session_id

    def settle(self, session_id: str) -> None:
        """Do what a worker would."""
        self.services.work.hurry_settlement(session_id)

    def recording_session(self, company: Company) -> str:
        """A session whose door is open, so that its video is wanted."""
        session_id = self.open_session(company)
        machine, boot_id = company.machine, f"boot-{session_id}"
        found = self.as_device(machine, "GET", "/v1/device/commands?after=0").json()["commands"]
        seq = found[-1]["seq"]
        said = {"boot_id": boot_id, "at_ns": self.clock.now_ns(), "result": "unlocked", "reason": None}
        assert self.as_device(machine, "POST", f"/v1/device/commands/{seq}/ack", json=said).status_code == 200
        opened = {"seq": 1, "kind": "door_opened", "at_ns": self.clock.now_ns(), "session_id": session_id}
        answer = self.as_device(machine, "POST", "/v1/device/events", json={"boot_id": boot_id, "events": [opened]})
        assert answer.json() == {"accepted_to": 1, "missing": []}, answer.text
        return session_id


def heartbeat(machine: Machine, **changed: Any) -> dict[str, Any]:
    now_ns = machine.clock.now_ns()
    said = {
        "boot_id": "boot-1",
        "seq": next(BEATS),
        "at_ns": now_ns,
        "door": "locked",
        "camera_ok": True,
        "temperature_c": 4.0,
        "spool_sessions": 0,
        "spool_bytes": 0,
    }
    return said | changed


def tar_of(files: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, value in files.items():
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_world(folder: Path, *, rates: Rates = FREE, providers: Sequence[Provider] = (), **changed: Any) -> World:
    """Open everything in a folder."""
    clock = changed.pop("clock", None) or VirtualClock(START_NS)
    rows = Rows.open(changed.pop("database_url", None) or f"sqlite:///{folder / 'service.db'}")
    METADATA.create_all(rows.engine)
    wallet = Wallet(rows, clock)
    payments = Payments(rows, clock, providers=[wallet, *providers])
    server_key = ServerKey.open(folder / "server_key.pem")
    sessions = Sessions(rows, clock, payments=payments)
    work = Work(sessions, payments=payments, unlocker=FleetUnlocker(server_key, clock))
    values: dict[str, Any] = {
        "rows": rows,
        "blobs": Blobs.open(f"file://{folder / 'blobs'}"),
        "clock": clock,
        "sessions": sessions,
        "work": work,
        "reviews": Reviews(sessions, clock),
        "payments": payments,
        "wallet": wallet,
        "redeemer": Redeemer(rows, clock, sessions=sessions, work=work, selling=Selling()),
        "server_key": server_key,
        "parts_dir": folder / "parts",
        "base_url": BASE,
        "open_signup": True,
        "rates": rates,
    }
    services = Services(**values | changed)
    return World(clock, rows, services, make_app(services))


@contextmanager
def serving(world: World) -> Iterator[int]:
    """The service on a real socket; gives the port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(
        world.app, http=PatientProtocol, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
