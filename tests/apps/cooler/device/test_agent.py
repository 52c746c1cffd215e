"""The agent against a service on a real socket: commands, heartbeats, codes, and whole sales over bad lines."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.apps.cooler.device.agent import Agent, Backoff
from fleetsight.apps.cooler.device.hardware import Door
from fleetsight.apps.cooler.device.identity import load_or_make_key, public_key_b64
from fleetsight.apps.cooler.device.link.faults import FaultyLine, LineFaults
from fleetsight.apps.cooler.device.link.tokens import Signer
from fleetsight.apps.cooler.device.link.uplink import LinkDownError, RefusedError, Uplink
from fleetsight.apps.cooler.device.recording.recorder import MARGIN_AFTER_S
from fleetsight.apps.cooler.device.simulated import SkewedClock
from fleetsight.apps.cooler.device.station import Hardware, Station
from fleetsight.clock import SECOND_NS
from fleetsight.video.decode import ClipReader
from tests.apps.cooler.device.fake_server import CLAIM, FakeService, Problem, running
from tests.apps.cooler.device.stand import Stand


class RunningClock:
    """The right time, which a test may push on."""

    def __init__(self) -> None:
        self.pushed_ns = 0

    def now_ns(self) -> int:
        return time.time_ns() + self.pushed_ns


@dataclass
class Device:
    """An agent on a stand, connected to a fake service."""

    fake: FakeService
    stand: Stand
    agent: Agent
    uplink: Uplink
    station: Station
    pushed: RunningClock

    def told(self, happening: str) -> list[dict[str, object]]:
        return [facts for name, facts in self.stand.told if name == happening]

    def sale(self) -> str:
        """A whole session, with the clock pushed on where people would wait."""
        session = self.fake.unlock()
        until(lambda: self.stand.lock.state is Door.UNLOCKED)
        self.stand.lock.state = Door.OPEN
        self.stand.camera.show(50)
        until(lambda: not self.stand.camera.waiting)
        self.stand.lock.state = Door.CLOSED
        until(lambda: self.agent.doorkeeper.door is Door.CLOSED)
        self.stand.camera.show(round(MARGIN_AFTER_S * 20) + 2)
        until(lambda: not self.stand.camera.waiting)
        self.pushed.pushed_ns += 3 * SECOND_NS
        until(lambda: self.agent.doorkeeper.session_id is None)
        return session.session_id


def until(true: Callable[[], bool], limit_s: float = 30.0) -> None:
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.005)


@pytest.fixture
def fake() -> Iterator[FakeService]:
    with running(FakeService()) as service:
        yield service


def connect(fake: FakeService, folder: Path, *, line: str = "", ahead_s: float = 0.0) -> Device:
    """Enrol a device and put it together, without starting its loops."""
    fake.clock = pushed = RunningClock()
    clock = SkewedClock(pushed, ahead_s=ahead_s)
    key = load_or_make_key(folder)
    enrolling = Uplink(fake.url, clock)
    identity = enrolling.enrol(CLAIM, public_key_b64(key))
    enrolling.close()
    transport = FaultyLine(httpx.HTTPTransport(), LineFaults.parse(line), seed=3)
    uplink = Uplink(fake.url, clock, signer=Signer(identity, key), transport=transport)
    stand = Stand(folder)
    hardware = Hardware(stand.lock, (stand.camera,))
    station = Station.open(folder, hardware, server_time=uplink.server_time, tell=stand.tell)
    agent = Agent(station, uplink, signer=Signer(identity, key))
    agent.doorkeeper.open_shop()
    return Device(fake, stand, agent, uplink, station, pushed)


@pytest.fixture
def device(fake: FakeService, tmp_path: Path) -> Iterator[Device]:
    made = connect(fake, tmp_path)
    yield made
    made.uplink.close()


@pytest.mark.bad_input(7)
def test_a_command_opens_the_door_once(device: Device) -> None:
    session = device.fake.unlock()
    device.agent.poll_commands()
    assert device.stand.lock.state is Door.UNLOCKED
    assert device.told("unlocked") == [{"session_id": session.session_id, "seq": 1}]
    device.agent.courier.deliver_reports()
    assert device.fake.acks[1]["result"] == "unlocked"


def test_a_command_is_not_obeyed_again_after_a_restart(device: Device, tmp_path: Path) -> None:
    device.fake.unlock()
    device.agent.poll_commands()
    device.stand.lock.state = Door.LOCKED
    again = connect(device.fake, tmp_path)
    device.fake.commands[0] = {"seq": 9, "token": device.fake.commands[0]["token"]}  # the same word under a new number
    again.agent.poll_commands()
    again.uplink.close()
    assert again.stand.lock.state is Door.LOCKED
    assert again.told("command_replayed") == [{"seq": 1}]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda fake: fake.unlock(aud="another-device"), "wrong_audience"),
        (lambda fake: fake.unlock(iat=int(time.time()) - 20, exp=int(time.time()) - 10), "expired"),
        (lambda fake: fake.unlock(exp=int(time.time()) + 3600), "lives_too_long"),
        (lambda fake: fake.unlock(key=Ed25519PrivateKey.generate()), "bad_signature"),
        (lambda fake: fake.unlock(kind="sesame"), "malformed"),
    ],
)
@pytest.mark.bad_input(7)
def test_a_command_that_is_not_believed_opens_nothing_and_the_server_hears_why(
    device: Device, make: Callable[[FakeService], object], reason: str
) -> None:
    make(device.fake)
    device.agent.poll_commands()
    device.agent.courier.deliver_reports()
    assert device.stand.lock.state is Door.LOCKED
    assert device.fake.acks[1]["result"] == "refused"
    assert device.fake.acks[1]["reason"] == reason
    assert device.station.memory.last_command_seq == 0


@pytest.mark.bad_input(7)
def test_commands_out_of_order_open_for_the_newest_only(device: Device) -> None:
    for _ in range(3):
        device.fake.unlock()
    device.fake.commands = [device.fake.commands[2]]
    device.agent.poll_commands()
    assert device.station.memory.last_command_seq == 3
    for seq in (1, 2):
        device.fake.commands = [{"seq": 4, "token": device.fake.command(seq, "0199-late")}]
        device.agent.poll_commands()
    assert [facts["seq"] for facts in device.told("unlocked")] == [3]
    assert [facts["seq"] for facts in device.told("command_replayed")] == [1, 2]


def test_a_closed_shop_refuses_and_says_so(device: Device) -> None:
    device.agent.doorkeeper.close_shop()
    device.fake.unlock()
    device.agent.poll_commands()
    device.agent.courier.deliver_reports()
    assert (device.fake.acks[1]["result"], device.fake.acks[1]["reason"]) == ("refused", "closed")


def test_a_heartbeat_tells_how_the_device_is_and_brings_its_config(device: Device) -> None:
    device.fake.config = {"blur_faces": False, "clip_height_px": 123, "segment_s": 3}
    device.agent.beat()
    device.agent.beat()
    assert [beat["seq"] for beat in device.fake.beats] == [1, 2]
    assert device.fake.beats[0]["door"] == "locked"
    assert device.station.config.clip_height_px == 123
    assert device.station.server_time.known


def test_a_code_is_shown_while_the_door_can_be_opened_and_turns(device: Device) -> None:
    device.agent.show_code()
    assert device.told("qr") == []  # nobody knows yet whether the server can be reached
    device.agent.beat()
    device.agent.show_code()
    device.agent.show_code()
    device.pushed.pushed_ns += 15 * SECOND_NS
    device.agent.show_code()
    assert len(device.told("qr")) == 1
    device.agent.beat()
    device.pushed.pushed_ns += 16 * SECOND_NS
    device.agent.show_code()
    assert len(device.told("qr")) == 2
    device.agent.doorkeeper.open_shop()  # another shelf: the old code must not stay
    device.agent.show_code()
    first, second, third = (str(facts["token"]) for facts in device.told("qr"))
    assert len({first, second, third}) == 3
    device.pushed.pushed_ns += 26 * SECOND_NS  # no answer for too long
    device.agent.show_code()
    assert len(device.told("qr_hidden")) == 1


def test_a_shown_code_opens_the_door(device: Device) -> None:
    device.agent.beat()
    device.agent.show_code()
    device.fake.redeem(str(device.told("qr")[0]["token"]), "shopper")
    device.agent.poll_commands()
    assert device.stand.lock.state is Door.UNLOCKED
    device.agent.show_code()
    assert len(device.told("qr_hidden")) == 1
    with pytest.raises(Problem):
        device.fake.redeem(str(device.told("qr")[0]["token"]), "another")


@pytest.mark.parametrize("ahead_s", [-86_400, 86_400, -1_000_000_000])
@pytest.mark.bad_input(17)
def test_a_clock_that_is_days_off_is_corrected_and_commands_are_judged_by_the_servers(
    fake: FakeService, tmp_path: Path, ahead_s: float
) -> None:
    device = connect(fake, tmp_path, ahead_s=ahead_s)
    with pytest.raises(LinkDownError, match="clock"):
        device.agent.beat()
    device.agent.beat()
    fake.unlock()
    device.agent.poll_commands()
    assert device.stand.lock.state is Door.UNLOCKED
    assert abs(device.station.server_time.now_ns() - time.time_ns()) < SECOND_NS
    device.uplink.close()


def test_a_revoked_device_is_refused_and_forgets_nothing(device: Device) -> None:
    device.fake.device_key = None
    with pytest.raises(RefusedError):
        device.agent.beat()
    with pytest.raises(RefusedError):
        device.agent.poll_commands()


@pytest.mark.parametrize(
    "line", ["", "loss=0.15,cut=0.1,dup=0.15,latency_ms=5", "offline=1-4,loss=0.1"], ids=["good", "lossy", "offline"]
)
def test_sales_arrive_whole_and_once_over_any_line(fake: FakeService, tmp_path: Path, line: str) -> None:
    device = connect(fake, tmp_path, line=line)
    spooled: dict[str, str] = {}
    device.agent.start()
    sold = []
    for _ in range(2):
        sold.append(device.sale())
        session = device.station.spool.find(sold[-1])
        if session is not None:
            digests = [segment.sha256 for segment in session.cameras["front"]]
            spooled[sold[-1]] = "".join(digests)
    until(lambda: device.agent.all_delivered)
    device.agent.stop()
    assert fake.kinds == ["door_opened", "door_closed", "locked"] * 2
    assert [event["session_id"] for event in fake.applied] == [sold[0]] * 3 + [sold[1]] * 3
    for session_id in sold:
        served = fake.sessions[session_id]
        assert served.state == "settled"
        data = [served.segments[name] for name in sorted(served.segments)]
        if session_id in spooled:
            assert spooled[session_id] == "".join(hashlib.sha256(part).hexdigest() for part in data)
        clip = tmp_path / f"{session_id}.ts"
        clip.write_bytes(fake.clip(session_id))
        with ClipReader(clip) as reader:
            frames = len(list(reader))
            assert reader.summary.degraded == ()
        assert frames == pytest.approx(50 + MARGIN_AFTER_S * 20, abs=3)
    assert list((tmp_path / "spool" / "sessions").iterdir()) == []


def test_a_loop_that_fails_goes_on(fake: FakeService, tmp_path: Path) -> None:
    device = connect(fake, tmp_path)
    bad = [Problem(500, "broken"), Problem(503, "busy"), Problem(422, "nonsense")]
    fake.refuse = lambda _method, _path: bad.pop() if bad else None
    device.agent.start()
    until(lambda: len(fake.beats) > 0 and not bad)
    session_id = device.sale()
    until(lambda: device.agent.all_delivered)
    device.agent.stop()
    assert fake.sessions[session_id].state == "settled"


def test_a_stopped_agent_opens_no_door(fake: FakeService, tmp_path: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    device = connect(fake, tmp_path)
    device.agent.start()
    until(lambda: len(fake.beats) > 0)
    device.agent.stop()
    fake.unlock()
    time.sleep(0.2)
    assert device.stand.lock.state is Door.LOCKED
    alive = {thread.name for thread in threading.enumerate()} - before
    assert alive <= {"device-commands"}  # it waits at the server, and obeys nothing any more


def test_rests_grow_and_never_fall_together() -> None:
    first, second = Backoff(), Backoff()
    rests = [first.next_s() for _ in range(12)]
    assert all(rest > 0 for rest in rests)
    assert max(rests) <= 10
    assert sum(rests[6:]) > sum(rests[:6])
    assert rests != [second.next_s() for _ in range(12)]
    assert first.next_s(20.0) > 20
    first.reset()
    assert first.next_s() <= 0.25
