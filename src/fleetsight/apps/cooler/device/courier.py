"""Brings events, acknowledgements and evidence to the server, as often as it takes.

Each method is one round of a loop: it does what can be done now and says how many seconds the loop may rest. A line that fails ends the round
with `LinkDownError`; nothing is lost by that, because the spool and the journal forget only what the server confirmed.
"""

import logging
from collections import deque
from dataclasses import dataclass
from typing import Any

from fleetsight.apps.cooler.device.link.uplink import LinkDownError, RefusedError, Uplink, Upload
from fleetsight.apps.cooler.device.recording.segments import Segment
from fleetsight.apps.cooler.device.spool import Spooled, Stage
from fleetsight.apps.cooler.device.station import Station
from fleetsight.clock import SECOND_NS

EVENTS_PER_CALL = 100
CHUNK_BYTES = 256 << 10  # what a bad line can carry in a few seconds; a segment takes one to three
REST_S = 5.0
STALLS_MAX = 3
AGAIN_FIRST_S = 0.5  # the event that the server waits for is under way
AGAIN_MAX_S = 300.0
UNVERIFIED_S = 0.25
REFUSALS_MAX = 100
UNAUTHORIZED = 401
SEGMENT_CONFLICT = (
    "segment_conflict"  # the server's word for other bytes under a known name; repeating would change nothing
)
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that was not obeyed, to be told to the server.

    Attributes:
        seq: its number.
        at_ns: when, device time.
        reason: why.
    """

    seq: int
    at_ns: int
    reason: str


@dataclass(slots=True)
class _Progress:
    """How the delivery of one session goes; forgotten at a restart, when everything is tried again."""

    due_ns: int = 0
    wait_s: float = 0.0
    closed: bool = False
    listed: bool = False

    def put_off(self, now_ns: int, wait_s: float) -> None:
        self.wait_s, self.due_ns = wait_s, now_ns + round(wait_s * SECOND_NS)


class Courier:
    """Carries what waits.

    Args:
        station: the device.
        uplink: the way to the server.
    """

    def __init__(self, station: Station, uplink: Uplink) -> None:
        self._station = station
        self._uplink = uplink
        self._refusals: deque[Refusal] = deque(maxlen=REFUSALS_MAX)
        self._progress: dict[str, _Progress] = {}

    def report_refusal(self, refusal: Refusal) -> None:
        """Tell the server soon that a command was not obeyed.

        Args:
            refusal: which, and why.
        """
        self._refusals.append(refusal)
        self._station.reports_due.set()

    def deliver_reports(self) -> float:
        """Send acknowledgements, then events in their order.

        Returns:
            seconds until there is something to do again.
        Raises:
            LinkDownError: the line failed.
            RefusedError: the server refused events.
        """
        self._deliver_acks()
        batch = self._station.journal.next_batch(EVENTS_PER_CALL)
        if batch is None:
            return REST_S
        accepted_to, missing = self._uplink.events(batch)
        self._station.journal.acknowledge(batch.boot_id, accepted_to, missing=missing)
        after = self._station.journal.next_batch(1)
        return REST_S if after is None else 0.0 if after.events[0] != batch.events[0] else 1.0

    def deliver_evidence(self) -> float:
        """Upload segments, the oldest session first, and forget what the server has verified.

        Returns:
            seconds until there is something to do again.
        Raises:
            LinkDownError: the line failed.
        """
        if self._station.server_time.known:
            self._mind_age(self._station.server_time.now_ns())
        sessions = self._station.spool.sessions()
        here = {session.session_id for session in sessions}
        self._progress = {name: progress for name, progress in self._progress.items() if name in here}
        for session in sessions:
            progress = self._progress.setdefault(session.session_id, _Progress())
            if session.stage is Stage.CLOSED and not progress.closed:
                progress.closed, progress.due_ns = (
                    True,
                    0,
                )  # what was refused while the door was open may be welcome now
            if session.stage is Stage.DISPUTED or progress.due_ns > self._station.clock.now_ns():
                continue
            try:
                if self._deliver(session, progress):
                    return 0.0
            except RefusedError as error:
                if error.status == UNAUTHORIZED:
                    raise
                self._put_off(session, progress, error=error)
        now_ns = self._station.clock.now_ns()
        dues_ns = [progress.due_ns for progress in self._progress.values() if progress.due_ns > now_ns]
        return min([REST_S, *((due_ns - now_ns) / SECOND_NS for due_ns in dues_ns)])

    def _deliver_acks(self) -> None:
        while self._refusals:
            refusal = self._refusals[0]
            self._acknowledge(refusal.seq, refusal.at_ns, refused=refusal.reason)
            self._refusals.popleft()
        for session in self._station.spool.sessions():
            if not session.unlock_acked:
                self._acknowledge(session.seq, session.unlocked_ns, boot_id=session.boot_id)
                self._station.spool.change(session.session_id, unlock_acked=True)

    def _acknowledge(self, seq: int, at_ns: int, *, refused: str | None = None, boot_id: str = "") -> None:
        try:
            self._uplink.acknowledge(seq, boot_id or self._station.journal.boot_id, at_ns=at_ns, refused=refused)
        except RefusedError as error:
            if error.status == UNAUTHORIZED:
                raise
            LOG.warning("acknowledgement refused seq=%d: %s", seq, error)

    def _deliver(self, session: Spooled, progress: _Progress) -> bool:
        """Do what can be done for one session; True when that changed something."""
        if session.opened_ns is None:
            return self._forget_unopened(session)
        undelivered = session.undelivered
        if progress.closed and undelivered and not progress.listed:
            self._uplink.manifest(session.session_id, manifest_of(session))
            progress.listed = True
        for camera, segment in undelivered:
            if not self._upload(session.session_id, camera, segment):
                progress.put_off(self._station.clock.now_ns(), UNVERIFIED_S)
                return False
            progress.wait_s = 0.0
        return self._conclude(session.session_id, progress) if progress.closed else bool(undelivered)

    def _forget_unopened(self, session: Spooled) -> bool:
        if session.stage is not Stage.CLOSED or not session.unlock_acked:
            return False
        self._station.spool.remove(session.session_id)
        return True

    def _upload(self, session_id: str, camera: str, segment: Segment) -> bool:
        """Bring one segment over; False when the server has it and has not verified it yet."""
        upload = self._uplink.begin_upload(session_id, camera, segment=segment)
        if not upload.complete:
            upload = self._send(session_id, camera, segment, upload)
        if not upload.verified:
            upload = self._uplink.upload(upload.upload_id)
        if upload.verified:
            self._station.spool.mark_delivered(session_id, camera, index=segment.index)
        return upload.verified

    def _send(self, session_id: str, camera: str, segment: Segment, upload: Upload) -> Upload:
        stalls = 0
        with self._station.spool.segment_path(session_id, camera, index=segment.index).open("rb") as file:
            while not upload.complete:
                file.seek(upload.offset)
                after = self._uplink.send_chunk(upload.upload_id, upload.offset, chunk=file.read(CHUNK_BYTES))
                stalls = stalls + 1 if after.offset <= upload.offset and not after.complete else 0
                if stalls == STALLS_MAX:
                    raise LinkDownError(f"upload {upload.upload_id} stands still at {after.offset} of {segment.length}")
                upload = after
        return upload

    def _conclude(self, session_id: str, progress: _Progress) -> bool:
        session = self._station.spool.find(session_id)
        if session is None or not session.unlock_acked:
            progress.put_off(self._station.clock.now_ns(), UNVERIFIED_S)
            return False
        missing = self._uplink.manifest(session_id, manifest_of(session))
        if missing:
            LOG.warning("server misses segments session=%s missing=%s", session_id, missing)
            self._station.spool.mark_missing(session_id, missing)
            progress.put_off(self._station.clock.now_ns(), UNVERIFIED_S)
            return False
        self._station.spool.remove(session_id)
        self._station.tell("evidence_delivered", {"session_id": session_id, "bytes": session.size_bytes})
        return True

    def _put_off(self, session: Spooled, progress: _Progress, *, error: RefusedError) -> None:
        if session.stage is Stage.CLOSED and error.body.get("code") == SEGMENT_CONFLICT:
            self._station.spool.change(session.session_id, stage=Stage.DISPUTED)
        wait_s = min(AGAIN_MAX_S, max(AGAIN_FIRST_S, 2 * progress.wait_s))
        progress.put_off(self._station.clock.now_ns(), wait_s)
        LOG.warning("evidence refused session=%s again_in_s=%s: %s", session.session_id, wait_s, error)
        self._station.tell("evidence_refused", {"session_id": session.session_id, "status": error.status})

    def _mind_age(self, server_ns: int) -> None:
        for session in self._station.spool.sessions():
            if session.stage is not Stage.OPEN and session.closed_server_ns is None:
                self._station.spool.change(session.session_id, closed_server_ns=server_ns)
        for session_id in self._station.spool.remove_too_old(server_ns):
            self._station.tell("evidence_expired", {"session_id": session_id})


def manifest_of(session: Spooled) -> dict[str, Any]:
    """What a session's evidence consists of, as the server wants it.

    Args:
        session: closed, and opened before that.
    Returns:
        start of the device, times by its clock, and each camera's segments; `pts_…_ns` count from the first picture.
    """
    names = ("index", "sha256", "length", "pts_start_ns", "pts_end_ns")
    return {
        "boot_id": session.boot_id,
        "opened_ns": session.opened_ns,
        "closed_ns": session.closed_ns,
        "cameras": [
            {"camera": camera, "segments": [{name: getattr(segment, name) for name in names} for segment in segments]}
            for camera, segments in session.cameras.items()
        ],
    }
