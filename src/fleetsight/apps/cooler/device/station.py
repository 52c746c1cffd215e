"""The parts of a device that its loops share."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fleetsight.apps.cooler.device.durable import Memory, make_folder
from fleetsight.apps.cooler.device.hardware import Camera, Lock
from fleetsight.apps.cooler.device.journal import Journal
from fleetsight.apps.cooler.device.link.server_time import ServerTime
from fleetsight.apps.cooler.device.recording.faces import FaceFinder
from fleetsight.apps.cooler.device.recording.preprocess import RecordingConfig
from fleetsight.apps.cooler.device.spool import Spool, SpoolLimits
from fleetsight.clock import Clock
from fleetsight.store.ids import new_id

Tell = Callable[[str, Mapping[str, Any]], None]
"""Says that something happened: its name and what is to be known about it. Called from any thread."""


@dataclass(frozen=True)
class Hardware:
    """What is built into a device.

    Attributes:
        lock: bolt and door.
        cameras: at least one, of different names.
        faces: finds faces; None where no finder is installed, and then the device sells nothing while it is told to blur.
    """

    lock: Lock
    cameras: tuple[Camera, ...]
    faces: FaceFinder | None = None


@dataclass
class Station:
    """One device.

    Attributes:
        clock: its clock; does not jump within a start.
        server_time: the server's, as far as it is known.
        hardware: lock and cameras.
        spool: evidence that waits.
        journal: events that wait.
        memory: what must never be forgotten.
        tell: hears what happens.
        config: how to record; replaced when the server says otherwise.
        reports_due: rung when an event or acknowledgement waits.
        evidence_due: rung when a segment waits.
    """

    clock: Clock
    server_time: ServerTime
    hardware: Hardware
    spool: Spool
    journal: Journal
    memory: Memory
    tell: Tell
    config: RecordingConfig = field(default_factory=RecordingConfig)
    reports_due: threading.Event = field(default_factory=threading.Event)
    evidence_due: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(
        cls,
        folder: Path,
        hardware: Hardware,
        *,
        server_time: ServerTime,
        tell: Tell,
        limits: SpoolLimits | None = None,
    ) -> Self:
        """Start a device: count the start, read what the last one left.

        Args:
            folder: the device's data folder; made when it is missing.
            hardware: what is built in.
            server_time: as the uplink learns it; its clock is the device's.
            tell: hears what happens.
            limits: of the spool; None takes the promised ones.
        Returns:
            the station.
        Raises:
            DeviceDataError: a file in the folder is broken.
        """
        make_folder(folder)
        memory = Memory(folder / "memory.json")
        return cls(
            clock=server_time.clock,
            server_time=server_time,
            hardware=hardware,
            spool=Spool(folder / "spool", limits or SpoolLimits()),
            journal=Journal(folder / "journal", memory.count_boot(), boot_id=new_id()),
            memory=memory,
            tell=tell,
        )
