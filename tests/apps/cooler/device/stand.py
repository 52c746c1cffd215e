"""A device on a test stand: a lock and a camera that do what a test says, a clock that stands still."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fleetsight.apps.cooler.device.hardware import CameraFrame, Door, HardwareError
from fleetsight.apps.cooler.device.link.server_time import ServerTime
from fleetsight.apps.cooler.device.link.tokens import UnlockCommand
from fleetsight.apps.cooler.device.recording.segments import Segment, segment_name
from fleetsight.apps.cooler.device.spool import Spooled, SpoolLimits
from fleetsight.apps.cooler.device.station import Hardware, Station
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.store.ids import new_id
from fleetsight.vision.image import Image

START_NS = 1_800_000_000 * SECOND_NS
SMALL = SpoolLimits(sessions=3, total_bytes=1 << 20, reserve_bytes=1 << 16)
FRAME_NS = SECOND_NS // 20


@dataclass
class StandLock:
    """A lock that a test moves."""

    state: Door = Door.LOCKED
    broken: bool = False

    def unlock(self) -> None:
        if self.broken:
            raise HardwareError("the bolt is stuck")
        self.state = Door.UNLOCKED

    def lock(self) -> None:
        if self.state is not Door.OPEN:
            self.state = Door.LOCKED

    def door(self) -> Door:
        return self.state


@dataclass
class StandCamera:
    """A camera that shows what a test gives it."""

    name: str = "front"
    alive: bool = True
    waiting: list[CameraFrame] = field(default_factory=list)
    shown: int = 0

    def show(self, count: int = 1) -> None:
        for _ in range(count):
            self.waiting.append(CameraFrame(self.shown * FRAME_NS, scene(self.shown)))
            self.shown += 1

    def poll(self) -> CameraFrame | None:
        return self.waiting.pop(0) if self.waiting else None

    def ok(self) -> bool:
        return self.alive


@dataclass
class Stand:
    """A station with its parts at hand."""

    folder: Path
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START_NS))
    lock: StandLock = field(default_factory=StandLock)
    camera: StandCamera = field(default_factory=StandCamera)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    limits: SpoolLimits = SMALL

    def station(self) -> Station:
        """Start the device, for the first time or again."""
        return Station.open(
            self.folder,
            Hardware(self.lock, (self.camera,)),
            server_time=ServerTime(self.clock),
            tell=self.tell,
            limits=self.limits,
        )

    def tell(self, happening: str, facts: Mapping[str, Any]) -> None:
        self.told.append((happening, dict(facts)))

    def pass_s(self, seconds: float) -> None:
        self.clock.advance(round(seconds * SECOND_NS))


def scene(index: int, *, width: int = 64, height: int = 48) -> Image:
    """A textured picture that drifts."""
    texture = np.random.default_rng(5).integers(0, 255, (height, width, 3)).astype(np.uint8)
    return np.roll(texture, index, axis=1)


def command(seq: int = 1, session_id: str | None = None) -> UnlockCommand:
    return UnlockCommand(seq, session_id or new_id(), START_NS + 10 * SECOND_NS)


def kinds(station: Station) -> list[str]:
    """Kinds of the events that wait, in order."""
    batch = station.journal.next_batch(1000)
    return [event.kind.value for event in batch.events] if batch is not None else []


def put_segment(station: Station, session_id: str, index: int, data: bytes) -> Segment:
    """Spool a segment of made-up bytes."""
    import hashlib

    folder = station.spool.camera_folder(session_id, "front")
    (folder / segment_name(index)).write_bytes(data)
    second = SECOND_NS
    segment = Segment(index, hashlib.sha256(data).hexdigest(), len(data), index * second, (index + 1) * second, 20)
    station.spool.add_segment(session_id, "front", segment=segment, recorded_to_ns=START_NS)
    return segment


def spooled(station: Station, seq: int = 1, **values: Any) -> Spooled:
    """Begin a session in the spool."""
    session = Spooled(new_id(), seq, station.journal.boot_id, START_NS, **values)
    station.spool.begin(session)
    return session
