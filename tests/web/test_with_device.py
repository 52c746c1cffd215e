"""The device's own client against the service on a real socket: both sides mean the same by every call."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from fleetsight.apps.cooler.device.journal import Batch, Event, EventKind
from fleetsight.apps.cooler.device.link.tokens import Signer, UnlockCommand, read_unlock
from fleetsight.apps.cooler.device.link.uplink import LinkDownError, Pulse, Uplink
from fleetsight.apps.cooler.device.recording.segments import Segment
from fleetsight.clock import SECOND_NS, SystemClock
from fleetsight.fleet.people import Role
from tests.fleet.machine import Machine, new_key, public_b64
from tests.web.world import Company, World, make_world, serving, sha256

BOOT = "boot-1"
DATA = bytes(range(256)) * 100


class WrongClock:
    """A day ahead of the server."""

    def now_ns(self) -> int:
        return SystemClock().now_ns() + 86_400 * SECOND_NS


@dataclass
class Site:
    """A served company whose device is the real client."""

    world: World
    company: Company
    url: str
    link: Uplink
    signer: Signer

    def beat(self) -> None:
        self.link.heartbeat(
            Pulse(BOOT, WrongClock().now_ns(), WrongClock().now_ns(), EventKind("locked"), True, 4.0, 0, 0)
        )

    def scan(self) -> httpx.Response:
        code = self.signer.qr_token(self.link.server_time.now_ns()).token
        headers = {"Authorization": f"Bearer {self.company.shopper_token}", "Idempotency-Key": code[-20:]}
        with httpx.Client(base_url=self.url, timeout=60) as phone:
            return phone.post("/v1/shopper/sessions", json={"qr_token": code}, headers=headers)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    world = make_world(tmp_path, clock=SystemClock())
    company = world.company()
    admin, key, clock = company.tokens[Role.ADMIN], new_key(), WrongClock()
    asked = {"name": "cooler", "site_id": company.machine.device.site_id}
    made = world.as_holder(admin, "POST", "/v1/operator/devices", json=asked).json()
    with serving(world) as port:
        url = f"http://127.0.0.1:{port}"
        stranger = Uplink(url, clock)
        identity = stranger.enrol(made["claim_code"], public_b64(key))
        stranger.close()
        signer = Signer(identity, key)
        link = Uplink(url, clock, signer=signer)
        here = company.machine.device
        device = type(here)(identity.tenant_id, identity.device_id, identity.site_id, "cooler")
        world.stock(Machine(device, world.clock, key))
        yield Site(world, company, url, link, signer)
        link.close()
    world.rows.close()


def test_a_device_with_a_wrong_clock_learns_the_time_trades_and_uploads(site: Site) -> None:
    with pytest.raises(LinkDownError, match="clock was wrong"):
        site.beat()  # refused like a stranger, and told the time by the answer's own header
    site.beat()
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(site.link.commands, 0, wait_s=20)
        answer = site.scan()
        assert answer.status_code == 201, answer.text
        (offered,) = poll.result(timeout=60)
    session_id = answer.json()["session_id"]
    command = read_unlock(offered.token, site.signer.identity, server_ns=site.link.server_time.now_ns())
    assert isinstance(command, UnlockCommand)
    assert command.session_id == session_id
    site.link.acknowledge(offered.seq, BOOT, at_ns=1)
    events = (
        Event(1, EventKind("door_opened"), 1, session_id),
        Event(2, EventKind("door_closed"), 2, session_id),
        Event(3, EventKind("locked"), 3, session_id),
    )
    assert site.link.events(Batch(BOOT, events[1:])) == (0, [1])
    assert site.link.events(Batch(BOOT, events)) == (3, [])
    segment = Segment(0, sha256(DATA), len(DATA), 0, SECOND_NS, 30)
    upload = site.link.begin_upload(session_id, "top", segment=segment)
    while not upload.complete:
        chunk = DATA[upload.offset : upload.offset + 9000]
        upload = site.link.send_chunk(upload.upload_id, upload.offset, chunk=chunk)
    assert upload.verified
    assert site.link.send_chunk(upload.upload_id, 0, chunk=DATA[:10]).offset == len(DATA)
    assert site.link.upload(upload.upload_id).verified
    row = {"index": 0, "sha256": segment.sha256, "length": segment.length, "pts_start_ns": 0, "pts_end_ns": SECOND_NS}
    listed = {"boot_id": BOOT, "opened_ns": 1, "closed_ns": 2, "cameras": [{"camera": "top", "segments": [row]}]}
    assert site.link.manifest(session_id, listed) == []
    assert site.world.session(session_id).state.value == "analyzing"
