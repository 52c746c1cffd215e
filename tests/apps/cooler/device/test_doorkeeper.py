"""What happens at the door, event by event, on a test stand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.doorkeeper import NEVER_OPENED_S, RELOCK_S, Doorkeeper
from fleetsight.apps.cooler.device.hardware import Door
from fleetsight.apps.cooler.device.journal import EVENTS_MAX, Journal
from fleetsight.apps.cooler.device.recording.preprocess import RecordingConfig
from fleetsight.apps.cooler.device.recording.recorder import MARGIN_AFTER_S
from fleetsight.apps.cooler.device.recording.transport_stream import PacketFile
from fleetsight.apps.cooler.device.spool import Spooled, Stage
from fleetsight.apps.cooler.device.station import Station
from fleetsight.clock import SECOND_NS
from tests.apps.cooler.device.stand import Stand, command, kinds, spooled

TICK_S = 0.05


class Shift:
    """A doorkeeper at work on a stand."""

    def __init__(self, folder: Path, stand: Stand | None = None) -> None:
        self.stand = stand or Stand(folder)
        self.station: Station = self.stand.station()
        self.station.config = RecordingConfig(segment_s=0.5)
        self.keeper = Doorkeeper(self.station)
        self.keeper.open_shop()

    def go(self, seconds: float, *, pictures: bool = True) -> None:
        """Let time pass; the camera shows 20 pictures a second."""
        for _ in range(round(seconds / TICK_S)):
            self.stand.pass_s(TICK_S)
            if pictures:
                self.stand.camera.show()
            self.keeper.tick()

    def door(self, state: Door) -> None:
        self.stand.lock.state = state
        self.keeper.tick()

    def sale(self, open_s: float = 2.0, seq: int = 1) -> str:
        """A whole session."""
        session_id = self.unlock(seq)
        self.go(0.5)
        self.door(Door.OPEN)
        self.go(open_s)
        self.door(Door.CLOSED)
        self.go(RELOCK_S + MARGIN_AFTER_S + 0.5)
        return session_id

    def unlock(self, seq: int = 1) -> str:
        wanted = command(seq)
        assert self.keeper.unlock(wanted) is None
        return wanted.session_id

    def found(self, session_id: str) -> Spooled:
        session = self.station.spool.find(session_id)
        assert session is not None
        return session

    def told(self, happening: str) -> list[dict[str, object]]:
        return [facts for name, facts in self.stand.told if name == happening]


@pytest.fixture
def shift(tmp_path: Path) -> Shift:
    return Shift(tmp_path)


def test_a_sale_from_command_to_closed_evidence(shift: Shift) -> None:
    shift.go(3.0)
    session_id = shift.sale(open_s=2.0)
    assert kinds(shift.station) == ["door_opened", "door_closed", "locked"]
    assert shift.stand.lock.state is Door.LOCKED
    session = shift.found(session_id)
    assert session.stage is Stage.CLOSED
    segments = session.cameras["front"]
    seconds = segments[-1].pts_end_ns / SECOND_NS
    assert seconds == pytest.approx(1.0 + 2.0 + MARGIN_AFTER_S, abs=0.2)
    assert [segment.pts_start_ns for segment in segments[1:]] == [segment.pts_end_ns for segment in segments[:-1]]
    assert session.opened_ns is not None
    assert session.closed_ns is not None
    assert shift.told("session_closed") == [{"session_id": session_id, "opened": True, "segments": len(segments)}]
    assert shift.keeper.session_id is None
    assert shift.keeper.inviting


def test_the_next_sale_starts_its_own_recording(shift: Shift) -> None:
    first, second = shift.sale(seq=1), shift.sale(seq=2)
    assert shift.found(second).cameras["front"][0].index == 0
    assert shift.found(first).cameras != shift.found(second).cameras


def test_a_door_that_is_not_opened_is_locked_again(shift: Shift) -> None:
    session_id = shift.unlock()
    shift.go(NEVER_OPENED_S - 0.5)
    assert shift.keeper.session_id == session_id
    shift.go(1.0)
    assert shift.stand.lock.state is Door.LOCKED
    shift.go(MARGIN_AFTER_S + 1)
    assert kinds(shift.station) == ["locked"]
    session = shift.found(session_id)
    assert (session.stage, session.opened_ns, session.cameras) == (Stage.CLOSED, None, {})
    assert shift.told("session_closed") == [{"session_id": session_id, "opened": False, "segments": 0}]


def test_a_door_opened_again_before_the_bolt_engages_is_one_session(shift: Shift) -> None:
    session_id = shift.unlock()
    shift.door(Door.OPEN)
    shift.go(1.0)
    shift.door(Door.CLOSED)
    shift.go(RELOCK_S - 0.5)
    shift.door(Door.OPEN)
    shift.go(1.0)
    shift.door(Door.CLOSED)
    shift.go(RELOCK_S + MARGIN_AFTER_S + 0.5)
    assert kinds(shift.station) == ["door_opened", "door_closed", "door_opened", "door_closed", "locked"]
    seconds = shift.found(session_id).cameras["front"][-1].pts_end_ns / SECOND_NS
    assert seconds == pytest.approx(1.0 + RELOCK_S - 0.5 + 1.0 + MARGIN_AFTER_S, abs=0.2)


def test_a_door_open_without_a_session_is_forced_and_belongs_to_nobody(shift: Shift) -> None:
    shift.sale()
    shift.door(Door.OPEN)
    shift.go(1.0)
    shift.door(Door.CLOSED)
    shift.go(RELOCK_S + 1)
    batch = shift.station.journal.next_batch(100)
    assert batch is not None
    forced = batch.events[3:]
    assert [(event.kind.value, event.session_id) for event in forced] == [
        ("forced", None),
        ("door_closed", None),
        ("locked", None),
    ]


def test_a_camera_that_falls_silent_is_told_and_told_again_when_it_is_back(shift: Shift) -> None:
    session_id = shift.unlock()
    shift.door(Door.OPEN)
    shift.go(1.0)
    shift.go(4.0, pictures=False)
    assert kinds(shift.station) == ["door_opened", "camera_dead"]
    assert not shift.keeper.cameras_ok
    shift.go(1.0)
    assert kinds(shift.station)[2:] == ["camera_back"]
    shift.door(Door.CLOSED)
    shift.go(RELOCK_S)
    shift.go(MARGIN_AFTER_S + 1, pictures=False)  # and it does not keep the session open either
    assert shift.found(session_id).stage is Stage.CLOSED


REFUSALS: dict[str, Callable[[Shift], object]] = {
    "closed": lambda shift: shift.keeper.close_shop(),
    "busy": lambda shift: shift.unlock(77),
    "door_not_locked": lambda shift: shift.door(Door.CLOSED),
    "camera_dead": lambda shift: setattr(shift.stand.camera, "alive", False),
    "no_face_finder": lambda shift: setattr(shift.station, "config", RecordingConfig(blur_faces=True)),
    "spool_sessions": lambda shift: [spooled(shift.station, seq) for seq in range(10, 13)],
    "lock_failed": lambda shift: setattr(shift.stand.lock, "broken", True),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_door_stays_locked_where_a_sale_could_not_be_proved(shift: Shift, reason: str) -> None:
    REFUSALS[reason](shift)
    before = (shift.stand.lock.state, shift.keeper.session_id, len(shift.station.spool.sessions()))
    assert shift.keeper.unlock(command(5)) == reason
    assert (shift.stand.lock.state, shift.keeper.session_id, len(shift.station.spool.sessions())) == before
    assert not shift.keeper.inviting or reason in ("lock_failed", "spool_sessions")


def test_a_full_journal_and_a_known_session_are_refused_too(shift: Shift, monkeypatch: pytest.MonkeyPatch) -> None:
    known = shift.sale()
    assert shift.keeper.unlock(command(2, known)) == "known_session"
    monkeypatch.setattr(Journal, "waiting", EVENTS_MAX + 1)
    assert shift.keeper.unlock(command(3)) == "journal_full"


def test_a_disk_that_fills_in_the_middle_of_a_sale_is_recorded_into_the_reserve(
    shift: Shift, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = shift.unlock()
    reserve = shift.stand.folder / "spool" / "reserve"
    assert reserve.exists()
    shift.door(Door.OPEN)
    shift.go(1.0)

    def full(*_: object) -> None:
        if reserve.exists():
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(PacketFile, "_renumber", full)
    shift.go(0.1)
    monkeypatch.undo()
    assert not reserve.exists()
    shift.go(1.0)
    shift.door(Door.CLOSED)
    shift.go(RELOCK_S + MARGIN_AFTER_S + 0.5)
    segments = shift.found(session_id).cameras["front"]
    frames = sum(segment.frames for segment in segments)
    assert frames == pytest.approx((2.1 + MARGIN_AFTER_S) * 20, abs=4)


@pytest.mark.parametrize("door", [Door.OPEN, Door.CLOSED, Door.LOCKED])
def test_a_restart_in_the_middle_of_a_sale_goes_on_or_closes_it(tmp_path: Path, door: Door) -> None:
    before = Shift(tmp_path)
    session_id = before.unlock()
    before.door(Door.OPEN)
    before.go(2.2)
    stand = replace(before.stand, told=[])
    stand.lock.state = door
    stand.pass_s(5.0)
    after = Shift(tmp_path, stand)
    after.keeper.boot()
    if door is Door.OPEN:
        assert after.keeper.session_id == session_id
        after.go(1.0)
        after.door(Door.CLOSED)
    after.go(RELOCK_S + MARGIN_AFTER_S + 1)
    session = after.found(session_id)
    assert session.stage is Stage.CLOSED
    batch = after.station.journal.next_batch(10)  # of the first start
    assert batch is not None
    assert [event.kind.value for event in batch.events] == ["door_opened"]
    after.station.journal.acknowledge(batch.boot_id, 1, missing=())
    assert kinds(after.station) == ["door_closed", "locked"]
    segments = session.cameras["front"]
    seconds = segments[-1].pts_end_ns / SECOND_NS
    if door is Door.OPEN:  # the five seconds are missing and the times after them say so
        assert seconds == pytest.approx(2.2 + 5.0 + 1.0 + MARGIN_AFTER_S, abs=0.7)
    else:
        assert seconds == pytest.approx(2.2, abs=0.7)


@pytest.mark.parametrize("restart", [False, True])
def test_a_door_that_was_opened_and_shut_unseen_counts_as_opened(tmp_path: Path, restart: bool) -> None:
    shift = Shift(tmp_path)
    session_id = shift.unlock()
    shift.stand.lock.state = Door.CLOSED
    if restart:
        shift = Shift(tmp_path, replace(shift.stand, told=[]))
        shift.keeper.boot()
    shift.go(RELOCK_S + MARGIN_AFTER_S + 1)
    assert kinds(shift.station) == ["door_opened", "door_closed", "locked"]
    assert shift.found(session_id).opened_ns is not None
    assert shift.told("session_closed")[0]["opened"] is True


def test_a_power_cut_between_note_and_bolt_leaves_a_session_that_was_never_opened(tmp_path: Path) -> None:
    before = Shift(tmp_path)
    left = spooled(before.station)
    after = Shift(tmp_path, replace(before.stand, told=[]))
    after.keeper.boot()
    session = after.found(left.session_id)
    assert (session.stage, session.opened_ns, session.unlock_acked) == (Stage.CLOSED, None, True)
    assert kinds(after.station) == ["locked"]
    assert after.keeper.inviting
