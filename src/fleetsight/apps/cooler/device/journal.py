"""What happened at the door, in order, until the server has acknowledged it.

One file of JSON lines per start of the device. Numbers rise by one from 1 within a start; the server asks again for what it misses, and
what it has twice it counts once. A line is on disk before anybody acts on it, unless the disk is full; a line torn by a power cut is the last one and was never sent.
"""

import json
import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from io import FileIO
from pathlib import Path

from fleetsight.apps.cooler.device.durable import make_folder, sync_folder
from fleetsight.store.crashpoint import crashpoint

LOG = logging.getLogger(__name__)
EVENTS_MAX = 100_000
"""More waiting events than this and no door is unlocked any more; a busy cooler makes 500 a day."""


class EventKind(StrEnum):
    """What can happen."""

    DOOR_OPENED = "door_opened"
    DOOR_CLOSED = "door_closed"
    LOCKED = "locked"
    FORCED = "forced"  # the door is open and nobody had unlocked it
    CAMERA_DEAD = "camera_dead"
    CAMERA_BACK = "camera_back"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        seq: number within the start, from 1.
        kind: what.
        at_ns: when, by the device's clock.
        session_id: during which session; None when there was none.
    """

    seq: int
    kind: EventKind
    at_ns: int
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to be sent together.

    Attributes:
        boot_id: the start they belong to.
        events: in order, at least one.
    """

    boot_id: str
    events: tuple[Event, ...]


class Journal:
    """The events of this start and of earlier ones that wait. Safe to use from several threads.

    Args:
        folder: its folder; made when it is missing.
        boot_number: counts the starts of the device.
        boot_id: name of this start.
    """

    def __init__(self, folder: Path, boot_number: int, *, boot_id: str) -> None:
        make_folder(folder)
        self._boot_id = boot_id
        self._lock = threading.Lock()
        self._paths = {_boot_of(path): path for path in sorted(folder.glob("*.jsonl"))}
        self._waiting = {boot: _read(path) for boot, path in self._paths.items()}
        self._paths[boot_id] = folder / f"{boot_number:08}.{boot_id}.jsonl"
        self._waiting[boot_id] = []
        self._next_seq = 1

    @property
    def boot_id(self) -> str:
        """Name of this start."""
        return self._boot_id

    @property
    def waiting(self) -> int:
        """Events that the server has not acknowledged."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def append(self, kind: EventKind, at_ns: int, *, session_id: str | None) -> Event:
        """Note that something happened.

        Args:
            kind: what.
            at_ns: when, by the device's clock.
            session_id: during which session.
        Returns:
            the event; it is on disk.
        """
        with self._lock:
            event = Event(self._next_seq, kind, at_ns, session_id)
            self._write(json.dumps(asdict(event)).encode() + b"\n")
            self._next_seq += 1
            self._waiting[self._boot_id].append(event)
        crashpoint("device.event-noted")
        return event

    def next_batch(self, count_max: int) -> Batch | None:
        """What to send next.

        Args:
            count_max: so many events at most.
        Returns:
            the oldest events of the oldest start; None when nothing waits.
        """
        with self._lock:
            for boot_id, events in self._waiting.items():
                if events:
                    return Batch(boot_id, tuple(events[:count_max]))
            return None

    def acknowledge(self, boot_id: str, accepted_to: int, *, missing: Iterable[int]) -> None:
        """Forget what the server has.

        Args:
            boot_id: the start.
            accepted_to: the server has every event up to this number.
            missing: but not these.
        """
        again = set(missing)
        with self._lock:
            left = [event for event in self._waiting.get(boot_id, []) if event.seq > accepted_to or event.seq in again]
            if boot_id in self._waiting:
                self._waiting[boot_id] = left
            if not left and boot_id != self._boot_id and boot_id in self._paths:
                del self._waiting[boot_id]
                self._paths.pop(boot_id).unlink()

    def _write(self, line: bytes) -> None:
        path = self._paths[self._boot_id]
        is_new = not path.exists()
        try:
            with path.open("ab", buffering=0) as file:
                _append(file, line)
            if is_new:
                sync_folder(path.parent)
        except (
            OSError
        ):  # a full disk must not keep the server from hearing about the door: the event is sent from memory
            LOG.exception("event not on disk")


def _append(file: FileIO, line: bytes) -> None:
    whole = file.tell()
    try:
        file.write(line)
        os.fsync(file.fileno())
    except OSError:
        file.truncate(whole)
        raise


def _boot_of(path: Path) -> str:
    return path.name.split(".")[1]


def _read(path: Path) -> list[Event]:
    events = []
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            break  # torn by a power cut, or the empty end
        events.append(Event(row["seq"], EventKind(row["kind"]), row["at_ns"], row["session_id"]))
    return events
