"""The evidence that the server does not have for certain yet: a folder per session, a limit on everything, nothing thrown away early.

    sessions/<session_id>/session.json          what is known about it: times, segments, digests, what was delivered
    sessions/<session_id>/<camera>/000000.ts    finished segments
    sessions/<session_id>/<camera>/000001-180000.part   the one being written, by its first tick
    reserve                                     room that is given back when the disk runs full in the middle of a session

A session is deleted when the server has verified every segment and misses none of its manifest, or when it is older than
`SpoolLimits.age_s` by the server's clock: then its deadline there has passed, and raw video is kept no longer than needed.

When the disk is full, or the limits are reached, no door is unlocked any more: a sale that is not made costs less than one that nobody
can prove. The session that is going on is recorded into the reserve.
"""

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from fleetsight.apps.cooler.device.durable import make_folder, read_json, sync_folder, write_json
from fleetsight.apps.cooler.device.recording.segments import (
    PART_SUFFIX,
    Segment,
    read_again,
    salvage,
    segment_name,
)
from fleetsight.clock import SECOND_NS
from fleetsight.store.crashpoint import crashpoint

SESSION_FILE = "session.json"
GONE_PREFIX = ".gone-"
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much evidence may wait.

    Attributes:
        sessions: sessions; 2,000 and 72 h are what the product promises (reliability, promise P7).
        age_s: seconds after which a session's evidence is deleted undelivered.
        total_bytes: of all segments; 2,000 sessions of 10 s at 360 lines take about 2 GB.
        reserve_bytes: kept free for the session that is going on; 10 minutes take about 60 MB.
    """

    sessions: int = 2_000
    age_s: float = 72 * 3600.0
    total_bytes: int = 8 << 30
    reserve_bytes: int = 64 << 20


class Stage(StrEnum):
    """How far a session has come."""

    OPEN = "open"  # unlocked; the door may be opened, pictures may come
    CLOSED = "closed"  # nothing will be added
    DISPUTED = (
        "disputed"  # the server has other bytes under a segment's name and will not take ours; kept until it is too old
    )


@dataclass(frozen=True)
class Spooled:
    """One session in the spool.

    Attributes:
        session_id: the server's name for it.
        seq: number of the command that unlocked the door.
        boot_id: the start of the device in which that was.
        stage: how far it has come.
        unlocked_ns: when the bolt was freed, by the device's clock, like the other times.
        opened_ns: when the door was opened first; None before.
        closed_ns: when it was locked again; None before.
        closed_server_ns: the same by the server's clock; None where the device did not know it.
        unlock_acked: the server knows that the door was unlocked.
        cameras: finished segments by camera.
        recorded_to_ns: device time of the newest finished segment's end.
        delivered: names ``<camera>/<index>`` of the segments that the server has verified.
    """

    session_id: str
    seq: int
    boot_id: str
    unlocked_ns: int
    stage: Stage = Stage.OPEN
    opened_ns: int | None = None
    closed_ns: int | None = None
    closed_server_ns: int | None = None
    unlock_acked: bool = False
    cameras: dict[str, tuple[Segment, ...]] = field(default_factory=dict)
    recorded_to_ns: int = 0
    delivered: frozenset[str] = frozenset()

    @property
    def undelivered(self) -> list[tuple[str, Segment]]:
        """Camera and segment of what the server has not verified, oldest first."""
        return [
            (camera, segment)
            for camera, segments in self.cameras.items()
            for segment in segments
            if delivery_name(camera, segment.index) not in self.delivered
        ]

    @property
    def size_bytes(self) -> int:
        """Bytes of the finished segments."""
        return sum(segment.length for segments in self.cameras.values() for segment in segments)


def delivery_name(camera: str, index: int) -> str:
    """The name of a segment in `Spooled.delivered`.

    Args:
        camera: its camera.
        index: its number.
    Returns:
        such as ``front/3``.
    """
    return f"{camera}/{index}"


class Spool:
    """The spool; every change is on disk when the call returns. Safe to use from several threads.

    Args:
        folder: its folder; made when it is missing.
        limits: how much may wait.
        free_bytes: free room of the disk that holds a path.
    """

    def __init__(
        self,
        folder: Path,
        limits: SpoolLimits,
        *,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self.limits = limits
        self._sessions_folder = folder / "sessions"
        self._reserve = folder / "reserve"
        self._free_bytes = free_bytes
        self._lock = threading.RLock()
        make_folder(self._sessions_folder)
        self._sessions = self._load()

    def sessions(self) -> list[Spooled]:
        """All sessions.

        Returns:
            the oldest first.
        """
        with self._lock:
            return sorted(self._sessions.values(), key=lambda session: session.seq)

    def find(self, session_id: str) -> Spooled | None:
        """Look a session up.

        Args:
            session_id: the server's name for it.
        Returns:
            the session, or None when it is not here, or not any more.
        """
        with self._lock:
            return self._sessions.get(session_id)

    @property
    def size_bytes(self) -> int:
        """Bytes of all finished segments."""
        return sum(session.size_bytes for session in self.sessions())

    def no_room_because(self) -> str | None:
        """Whether another session may begin.

        Returns:
            None when it may, else the reason: ``spool_sessions``, ``spool_bytes`` or ``disk_full``.
        """
        if len(self.sessions()) >= self.limits.sessions:
            return "spool_sessions"
        if self.size_bytes + self.limits.reserve_bytes > self.limits.total_bytes:
            return "spool_bytes"
        return None if self._hold_reserve() else "disk_full"

    def begin(self, session: Spooled) -> None:
        """Make room for a new session.

        Args:
            session: with an id that is not in the spool.
        """
        with self._lock:
            make_folder(self._folder(session.session_id))
            self._keep(session)
        crashpoint("device.session-begun")

    def camera_folder(self, session_id: str, camera: str) -> Path:
        """Where a camera's segments of a session go.

        Args:
            session_id: in the spool.
            camera: its name.
        Returns:
            an existing folder.
        """
        folder = self._folder(session_id) / camera
        make_folder(folder)
        return folder

    def segment_path(self, session_id: str, camera: str, *, index: int) -> Path:
        """The file of a finished segment.

        Args:
            session_id: in the spool.
            camera: its camera.
            index: its number.
        Returns:
            the path.
        """
        return self._folder(session_id) / camera / segment_name(index)

    def change(self, session_id: str, **values: Any) -> Spooled:
        """Change what is known about a session.

        Args:
            session_id: in the spool.
            **values: fields of `Spooled`.
        Returns:
            the session as it is now.
        """
        with self._lock:
            session = replace(self._sessions[session_id], **values)
            self._keep(session)
            return session

    def add_segment(self, session_id: str, camera: str, *, segment: Segment, recorded_to_ns: int) -> None:
        """Note a finished segment down.

        Args:
            session_id: in the spool.
            camera: its camera.
            segment: its file is in `camera_folder`.
            recorded_to_ns: device time of its end.
        """
        with self._lock:
            session = self._sessions[session_id]
            cameras = session.cameras | {camera: (*session.cameras.get(camera, ()), segment)}
            self._keep(replace(session, cameras=cameras, recorded_to_ns=recorded_to_ns))
        crashpoint("device.segment-noted")

    def mark_missing(self, session_id: str, missing: Iterable[tuple[str, int]]) -> None:
        """Note that the server does not have segments that it had verified before.

        Args:
            session_id: in the spool.
            missing: camera and number of each.
        """
        with self._lock:
            session = self._sessions[session_id]
            names = frozenset(delivery_name(camera, index) for camera, index in missing)
            self._keep(replace(session, delivered=session.delivered - names))

    def mark_delivered(self, session_id: str, camera: str, *, index: int) -> None:
        """Note that the server has verified a segment; its file stays until the whole session is delivered.

        Args:
            session_id: in the spool.
            camera: its camera.
            index: its number.
        """
        with self._lock:
            session = self._sessions[session_id]
            self._keep(replace(session, delivered=session.delivered | {delivery_name(camera, index)}))
        crashpoint("device.delivery-noted")

    def remove(self, session_id: str) -> None:
        """Delete a session and its segments; after a power cut it is there as a whole or not at all.

        Args:
            session_id: in the spool, or gone already.
        """
        with self._lock:
            if self._sessions.pop(session_id, None) is None:
                return
            gone = self._sessions_folder / f"{GONE_PREFIX}{session_id}"
            self._folder(session_id).replace(gone)
            sync_folder(self._sessions_folder)
            crashpoint("device.session-gone")
            shutil.rmtree(gone)

    def remove_too_old(self, server_ns: int) -> list[str]:
        """Delete closed sessions that nobody waits for any more.

        Args:
            server_ns: the time by the server's clock; the device's own may be days off.
        Returns:
            ids of what was deleted.
        """
        limit_ns = round(self.limits.age_s * SECOND_NS)
        old = [
            session.session_id
            for session in self.sessions()
            if session.closed_server_ns is not None and server_ns - session.closed_server_ns > limit_ns
        ]
        for session_id in old:
            LOG.error("evidence deleted undelivered session=%s age_limit_s=%s", session_id, self.limits.age_s)
            self.remove(session_id)
        return old

    def release_reserve(self) -> None:
        """Give the reserved room to the session that is being recorded: the disk is full."""
        self._reserve.unlink(missing_ok=True)
        LOG.warning("disk full, the reserve of %d bytes is released", self.limits.reserve_bytes)

    def recover(self, session_id: str) -> Spooled:
        """Take up what a session's folder holds and nobody noted down before the process died.

        Args:
            session_id: in the spool, with no recording going on.
        Returns:
            the session with every segment that can be saved.
        """
        with self._lock:
            for folder in sorted(path for path in self._folder(session_id).iterdir() if path.is_dir()):
                session = self._sessions[session_id]
                noted = session.cameras.get(folder.name, ())
                found = _segments_in(folder, noted)
                if found != noted:
                    more_ns = found[-1].pts_end_ns - (noted[-1].pts_end_ns if noted else 0)
                    since_ns = session.recorded_to_ns or session.opened_ns or session.unlocked_ns
                    cameras = session.cameras | {folder.name: found}
                    self._keep(replace(session, cameras=cameras, recorded_to_ns=since_ns + more_ns))
            return self._sessions[session_id]

    def _folder(self, session_id: str) -> Path:
        return self._sessions_folder / session_id

    def _keep(self, session: Spooled) -> None:
        write_json(self._folder(session.session_id) / SESSION_FILE, _as_json(session))
        self._sessions[session.session_id] = session

    def _hold_reserve(self) -> bool:
        """Have the reserve on disk; False when there is no room for it."""
        if self._reserve.is_file() and self._reserve.stat().st_size == self.limits.reserve_bytes:
            return True
        if self._free_bytes(self._sessions_folder) < 2 * self.limits.reserve_bytes:
            return False
        try:
            number = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(number, 0, self.limits.reserve_bytes)
                os.ftruncate(number, self.limits.reserve_bytes)
                os.fsync(number)
            finally:
                os.close(number)
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            LOG.warning("no room for the reserve: %s", error)
            return False
        return True

    def _load(self) -> dict[str, Spooled]:
        sessions = {}
        for folder in sorted(self._sessions_folder.iterdir()):
            if folder.name.startswith(GONE_PREFIX):
                shutil.rmtree(folder)
                continue
            kept = read_json(folder / SESSION_FILE)
            if kept is None:  # died between making the folder and the first note: the door was not unlocked yet
                shutil.rmtree(folder)
                continue
            session = _from_json(kept)
            sessions[session.session_id] = session
        return sessions


def _segments_in(folder: Path, noted: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """What was noted down, what has its final name without a note, and what can be saved of the one being written."""
    by_index = {segment.index: segment for segment in noted}
    end_ns = 0
    for path in sorted(folder.glob("*.ts")):
        segment = by_index.get(int(path.stem)) or read_again(path, end_ns)
        by_index[segment.index], end_ns = segment, segment.pts_end_ns
    for part in sorted(folder.glob(f"*{PART_SUFFIX}")):
        saved = salvage(part)
        if saved is not None:
            by_index[saved.index] = saved
    return tuple(by_index[index] for index in sorted(by_index))


def _as_json(session: Spooled) -> dict[str, Any]:
    return asdict(session) | {"delivered": sorted(session.delivered)}


def _from_json(kept: dict[str, Any]) -> Spooled:
    cameras = {camera: tuple(Segment(**segment) for segment in rows) for camera, rows in kept["cameras"].items()}
    stage, delivered = Stage(kept["stage"]), frozenset(kept["delivered"])
    return Spooled(**kept | {"cameras": cameras, "stage": stage, "delivered": delivered})
