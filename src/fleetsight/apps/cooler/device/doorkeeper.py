"""Watches door and cameras, unlocks for a command, records while the door is open, locks again.

One thread calls `tick` many times a second; the thread that listens for commands calls `unlock`. A session begins with the command and ends
when the door is locked again and the recording's margin is over. What happens is in the journal before anything follows from it.
"""

import logging
import threading

from fleetsight.apps.cooler.device.hardware import Camera, Door, HardwareError
from fleetsight.apps.cooler.device.journal import EVENTS_MAX, EventKind
from fleetsight.apps.cooler.device.link.tokens import UnlockCommand
from fleetsight.apps.cooler.device.recording.recorder import MARGIN_AFTER_S, Recorder
from fleetsight.apps.cooler.device.recording.segments import Segment
from fleetsight.apps.cooler.device.spool import Spooled, Stage
from fleetsight.apps.cooler.device.station import Station
from fleetsight.clock import SECOND_NS
from fleetsight.store.crashpoint import crashpoint

NEVER_OPENED_S = 14  # A-POP relocks after 14 s (reliability, promise P8); the server gives up then too
RELOCK_S = 2  # a door that falls shut while a hand is on it is opened again; then the bolt engages
MARGIN_SLACK_S = 0.5  # a camera that stops sending must not keep a session open for ever
CAMERA_DEAD_S = 3
RESUME_GAP_MAX_S = 600  # two starts of a clock that was set meanwhile say nothing about how long the gap was
FRAMES_PER_TICK = 8
LOG = logging.getLogger(__name__)


class Doorkeeper:
    """Keeps the door.

    Args:
        station: the device.
    """

    def __init__(self, station: Station) -> None:
        self._station = station
        self._lock = threading.RLock()
        self._session_id: str | None = None
        self._door = Door.LOCKED
        self._changed_ns = self._shut_ns = station.clock.now_ns()
        self._recorders = {camera.name: Recorder(station.hardware.faces) for camera in station.hardware.cameras}
        self._seen_ns = dict.fromkeys(self._recorders, self._changed_ns)
        self._dead: set[str] = set()
        self._selling = False
        self.openings = 0
        """How often the shop was opened; a code that was shown before belongs to another shelf."""

    @property
    def session_id(self) -> str | None:
        """The session that has the door; None when nobody has it."""
        return self._session_id

    @property
    def door(self) -> Door:
        """How lock and door stood at the last tick."""
        return self._door

    @property
    def cameras_ok(self) -> bool:
        """Whether every camera answers."""
        return not self._dead and all(camera.ok() for camera in self._station.hardware.cameras)

    @property
    def inviting(self) -> bool:
        """Whether a shopper may be invited now."""
        return self._selling and self._session_id is None and self._door is Door.LOCKED and self._unfit() is None

    def open_shop(self) -> None:
        """Obey commands from now on."""
        self.openings += 1
        self._selling = True

    def close_shop(self) -> None:
        """Refuse commands, because somebody restocks or repairs; a session that is going on is not disturbed."""
        self._selling = False

    def boot(self) -> None:
        """Look at the door, and take up or close the sessions that the last start left open; before the first tick."""
        with self._lock:
            self._door, self._changed_ns = self._station.hardware.lock.door(), self._station.clock.now_ns()
            for left in self._station.spool.sessions():
                if left.stage is Stage.OPEN:
                    self._take_up(self._station.spool.recover(left.session_id))

    def unlock(self, command: UnlockCommand) -> str | None:
        """Unlock the door for a command that was checked and taken up.

        Args:
            command: the command.
        Returns:
            None when the bolt is free, else why it is not.
        """
        with self._lock:
            reason = self._refusal(command)
            if reason is not None:
                return reason
            now_ns = self._station.clock.now_ns()
            session = Spooled(command.session_id, command.seq, self._station.journal.boot_id, now_ns)
            self._station.spool.begin(session)
            try:
                self._station.hardware.lock.unlock()
            except HardwareError:
                LOG.exception("bolt did not move session=%s", command.session_id)
                self._station.spool.remove(command.session_id)
                return "lock_failed"
            crashpoint("device.unlocked")
            self._session_id = command.session_id
            self._door, self._changed_ns = Door.UNLOCKED, now_ns
        self._station.tell("unlocked", {"session_id": command.session_id, "seq": command.seq})
        self._station.reports_due.set()
        return None

    def tick(self) -> bool:
        """Look at cameras and door once.

        Returns:
            whether a picture came, so that the next look should follow at once.
        """
        with self._lock:
            busy = [self._watch(camera) for camera in self._station.hardware.cameras]
            self._watch_door()
            self._mind_time()
            return any(busy)

    def _refusal(self, command: UnlockCommand) -> str | None:
        if not self._selling:
            return "closed"
        if self._session_id is not None:
            return "busy"
        if self._door is not Door.LOCKED or self._station.hardware.lock.door() is not Door.LOCKED:
            return "door_not_locked"
        if self._station.spool.find(command.session_id) is not None:
            return "known_session"
        return self._unfit() or self._station.spool.no_room_because()

    def _unfit(self) -> str | None:
        """Why the device could not prove a sale now, apart from want of room."""
        if not self.cameras_ok:
            return "camera_dead"
        if self._station.config.blur_faces and self._station.hardware.faces is None:
            return "no_face_finder"
        return "journal_full" if self._station.journal.waiting > EVENTS_MAX else None

    def _watch(self, camera: Camera) -> bool:
        recorder, now_ns = self._recorders[camera.name], self._station.clock.now_ns()
        came = 0
        while came < FRAMES_PER_TICK and (frame := camera.poll()) is not None:
            came += 1
            try:
                recorder.take(frame)
            except OSError:
                LOG.exception("recording failed session=%s", self._session_id)
                self._station.spool.release_reserve()
                recorder.give_up_segment()
        if came:
            self._seen_ns[camera.name] = now_ns
        silent = recorder.active and self._door is Door.OPEN and not came
        silent = silent and now_ns - self._seen_ns[camera.name] > CAMERA_DEAD_S * SECOND_NS
        dead = silent or not camera.ok() or (camera.name in self._dead and recorder.active and not came)
        if dead and camera.name not in self._dead:
            self._dead.add(camera.name)
            self._note(EventKind.CAMERA_DEAD, now_ns)
        elif not dead and camera.name in self._dead:
            self._dead.discard(camera.name)
            self._note(EventKind.CAMERA_BACK, now_ns)
        return came > 0

    def _watch_door(self) -> None:
        door = self._station.hardware.lock.door()
        if door is self._door:
            return
        now_ns = self._station.clock.now_ns()
        before, self._door, self._changed_ns = self._door, door, now_ns
        passed_by = before is Door.UNLOCKED and door is Door.CLOSED  # opened and shut between two looks
        if door is Door.OPEN or passed_by:
            self._opened(now_ns)
        if before is Door.OPEN or passed_by:
            self._shut(now_ns)
        if door is Door.LOCKED:
            self._note(EventKind.LOCKED, now_ns)

    def _opened(self, now_ns: int) -> None:
        session_id = self._session_id
        self._note(EventKind.FORCED if session_id is None else EventKind.DOOR_OPENED, now_ns)
        if session_id is None:
            return
        session = self._station.spool.find(session_id)
        if session is not None and session.opened_ns is None:
            cameras: dict[str, tuple[Segment, ...]] = dict.fromkeys(self._recorders, ())
            self._station.spool.change(session_id, opened_ns=now_ns, cameras=cameras)
        for name, recorder in self._recorders.items():
            if recorder.active:
                recorder.door_open_again()
            else:
                self._seen_ns[name] = now_ns
                self._begin(session_id, name)

    def _shut(self, now_ns: int) -> None:
        self._shut_ns = now_ns
        self._note(EventKind.DOOR_CLOSED, now_ns)
        for recorder in self._recorders.values():
            recorder.door_shut()

    def _begin(self, session_id: str, camera: str, *, resume_at_ns: int = 0) -> None:
        folder = self._station.spool.camera_folder(session_id, camera)
        self._recorders[camera].begin(
            folder,
            self._station.config,
            sealed=lambda segment: self._keep_segment(session_id, camera, segment),
            resume_at_ns=resume_at_ns,
        )

    def _keep_segment(self, session_id: str, camera: str, segment: Segment) -> None:
        now_ns = self._station.clock.now_ns()
        try:
            self._station.spool.add_segment(session_id, camera, segment=segment, recorded_to_ns=now_ns)
        except OSError:
            LOG.exception("segment not noted session=%s index=%d", session_id, segment.index)
            self._station.spool.release_reserve()
            self._station.spool.add_segment(session_id, camera, segment=segment, recorded_to_ns=now_ns)
        self._station.evidence_due.set()

    def _mind_time(self) -> None:
        now_ns = self._station.clock.now_ns()
        stands_s = (now_ns - self._changed_ns) / SECOND_NS
        limit_s = {Door.UNLOCKED: NEVER_OPENED_S, Door.CLOSED: RELOCK_S}.get(self._door)
        if limit_s is not None and stands_s > limit_s:
            self._station.hardware.lock.lock()
            self._watch_door()
        if self._session_id is None or self._door is not Door.LOCKED:
            return
        recording = [recorder for recorder in self._recorders.values() if recorder.active]
        over = now_ns - self._shut_ns > round((MARGIN_AFTER_S + MARGIN_SLACK_S) * SECOND_NS)
        if over or all(recorder.past_margin for recorder in recording):
            self._end(self._session_id)

    def _end(self, session_id: str) -> None:
        for recorder in self._recorders.values():
            try:
                recorder.finish()
            except OSError:
                LOG.exception("recording not finished session=%s", session_id)
                self._station.spool.release_reserve()
                recorder.give_up_segment()
                recorder.finish()
        self._close(session_id)
        self._session_id = None

    def _close(self, session_id: str) -> None:
        """Nothing more will be added to a session."""
        server_time = self._station.server_time
        closed = self._station.spool.change(
            session_id,
            stage=Stage.CLOSED,
            closed_ns=self._station.clock.now_ns(),
            closed_server_ns=server_time.now_ns() if server_time.known else None,
        )
        segments = sum(map(len, closed.cameras.values()))
        self._station.tell(
            "session_closed",
            {"session_id": session_id, "opened": closed.opened_ns is not None, "segments": segments},
        )
        self._station.evidence_due.set()

    def _take_up(self, left: Spooled) -> None:
        """Go on with a session after a power cut, or close it when the door was shut meanwhile."""
        now_ns = self._station.clock.now_ns()
        self._session_id = left.session_id
        self._station.tell("session_resumed", {"session_id": left.session_id, "door": self._door.value})
        if self._door is Door.OPEN:
            if left.opened_ns is None:
                self._opened(now_ns)
                return
            for name in self._recorders:
                segments = left.cameras.get(name, ())
                gap_ns = min(max(0, now_ns - left.recorded_to_ns), RESUME_GAP_MAX_S * SECOND_NS)
                self._begin(left.session_id, name, resume_at_ns=segments[-1].pts_end_ns + gap_ns if segments else 1)
        elif self._door is Door.LOCKED:
            if left.opened_ns is not None:
                self._note(EventKind.DOOR_CLOSED, now_ns)
            else:  # nobody knows whether the bolt was ever free: that it is engaged now says all
                self._station.spool.change(left.session_id, unlock_acked=True)
            self._note(EventKind.LOCKED, now_ns)
            self._close(left.session_id)
            self._session_id = None
        elif self._door is Door.CLOSED:
            if left.opened_ns is None:  # nobody saw it, and the contact says that it was
                self._opened(now_ns)
            self._shut(now_ns)

    def _note(self, kind: EventKind, now_ns: int) -> None:
        self._station.journal.append(kind, now_ns, session_id=self._session_id)
        self._station.reports_due.set()
        self._station.tell(kind.value, {"session_id": self._session_id})
