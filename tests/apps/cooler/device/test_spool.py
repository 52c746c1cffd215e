"""Evidence is kept until it is verified, within limits, whatever dies."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.recording.segments import SegmentWriter
from fleetsight.apps.cooler.device.spool import Spool, Spooled, SpoolLimits, Stage
from fleetsight.clock import SECOND_NS
from fleetsight.store.crashpoint import Crash, SimulatedCrashError, arm, disarm
from fleetsight.store.ids import new_id
from tests.apps.cooler.device.stand import SMALL, START_NS, Stand, put_segment, scene, spooled

DAY_NS = 24 * 3600 * SECOND_NS


def again(stand: Stand, limits: SpoolLimits = SMALL) -> Spool:
    """The spool as the next start finds it."""
    return Spool(stand.folder / "spool", limits)


def test_everything_that_is_noted_survives_a_restart(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    station = stand.station()
    session = spooled(station)
    put_segment(station, session.session_id, 0, b"first")
    put_segment(station, session.session_id, 1, b"second")
    station.spool.mark_delivered(session.session_id, "front", index=0)
    changed = station.spool.change(session.session_id, stage=Stage.CLOSED, opened_ns=1, closed_ns=2, unlock_acked=True)
    assert again(stand).sessions() == [changed]
    assert [segment.index for _, segment in changed.undelivered] == [1]
    assert changed.size_bytes == 11


def test_sessions_come_oldest_first(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    station = stand.station()
    for seq in (3, 1, 2):
        spooled(station, seq)
    assert [session.seq for session in again(stand).sessions()] == [1, 2, 3]


def test_a_removed_session_is_gone_even_when_the_process_dies_on_the_way(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    station = stand.station()
    session = spooled(station)
    put_segment(station, session.session_id, 0, b"first")
    arm("device.session-gone", how=Crash.RAISE)
    try:
        with pytest.raises(SimulatedCrashError):
            station.spool.remove(session.session_id)
    finally:
        disarm()
    spool = again(stand)
    assert spool.sessions() == []
    assert list((tmp_path / "spool" / "sessions").iterdir()) == []
    spool.remove(session.session_id)  # once more does no harm


def test_a_session_that_died_before_its_first_note_never_was(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    station = stand.station()
    arm("device.before-rename", how=Crash.RAISE)
    try:
        with pytest.raises(SimulatedCrashError):
            spooled(station)
    finally:
        disarm()
    assert again(stand).sessions() == []


def test_limits_refuse_new_sessions_and_say_which(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    station = stand.station()
    assert station.spool.no_room_because() is None
    first = spooled(station)
    put_segment(station, first.session_id, 0, bytes(SMALL.total_bytes))
    assert station.spool.no_room_because() == "spool_bytes"
    station.spool.remove(first.session_id)
    for seq in range(SMALL.sessions):
        spooled(station, seq)
    assert station.spool.no_room_because() == "spool_sessions"


def test_a_full_disk_refuses_new_sessions_and_keeps_what_is_there(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    station = stand.station()
    session = spooled(station)
    put_segment(station, session.session_id, 0, b"evidence")
    spool = Spool(tmp_path / "spool", SMALL, free_bytes=lambda _path: SMALL.reserve_bytes)
    assert spool.no_room_because() == "disk_full"
    assert spool.segment_path(session.session_id, "front", index=0).read_bytes() == b"evidence"


def test_the_reserve_is_real_room_and_is_given_back(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    spool = stand.station().spool
    assert spool.no_room_because() is None
    reserve = tmp_path / "spool" / "reserve"
    assert reserve.stat().st_blocks * 512 >= SMALL.reserve_bytes
    full = Spool(tmp_path / "spool", SMALL, free_bytes=lambda _path: 0)
    assert full.no_room_because() is None  # the reserve is held already
    full.release_reserve()
    assert not reserve.exists()
    assert full.no_room_because() == "disk_full"


def test_evidence_too_old_by_the_servers_clock_is_deleted(tmp_path: Path) -> None:
    station = Stand(tmp_path).station()
    closed = {"stage": Stage.CLOSED, "opened_ns": 1, "closed_ns": 2}
    old = spooled(station, 1, closed_server_ns=START_NS - 4 * DAY_NS, **closed)
    young = spooled(station, 2, closed_server_ns=START_NS - 2 * DAY_NS, **closed)
    untimed = spooled(station, 3, **closed)
    assert station.spool.remove_too_old(START_NS) == [old.session_id]
    assert [session.session_id for session in station.spool.sessions()] == [young.session_id, untimed.session_id]


@pytest.mark.parametrize("point", ["device.segment-closed", "device.segment-named", "device.segment-noted"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_recording_that_died_anywhere_keeps_all_whole_segments(tmp_path: Path, point: str, nth: int) -> None:
    stand = Stand(tmp_path)
    station = stand.station()
    session_id = spooled(station).session_id
    folder = station.spool.camera_folder(session_id, "front")
    pts_ns = [round(Fraction(index, 20) * SECOND_NS) for index in range(40)]

    def note(segment: object) -> None:
        station.spool.add_segment(session_id, "front", segment=segment, recorded_to_ns=START_NS)  # type: ignore[arg-type]

    writer = SegmentWriter(folder, 0.5, sealed=note)

    def record() -> None:
        for index, at_ns in enumerate(pts_ns):
            writer.write(scene(index), at_ns)

    arm(point, nth, how=Crash.RAISE)
    try:
        with pytest.raises(SimulatedCrashError):
            record()
    finally:
        disarm()
    found = again(stand).recover(session_id)
    segments = found.cameras["front"]
    assert [segment.index for segment in segments] == list(range(nth))
    assert [segment.pts_start_ns for segment in segments] == [pts_ns[10 * index] for index in range(nth)]
    lost = (
        1 if point == "device.segment-closed" else 0
    )  # of a file that had no final name the last picture is not trusted
    assert [segment.frames for segment in segments] == [10] * (nth - 1) + [10 - lost]
    assert segments[-1].pts_end_ns == pts_ns[10 * nth - lost]
    assert {path.name for path in folder.iterdir()} == {f"{index:06}.ts" for index in range(nth)}
    assert again(stand).recover(session_id) == found


def test_what_the_server_misses_is_undelivered_again(tmp_path: Path) -> None:
    station = Stand(tmp_path).station()
    session = spooled(station)
    for index in range(2):
        put_segment(station, session.session_id, index, b"x")
        station.spool.mark_delivered(session.session_id, "front", index=index)
    station.spool.mark_missing(session.session_id, [("front", 1)])
    found = station.spool.find(session.session_id)
    assert found is not None
    assert [segment.index for _, segment in found.undelivered] == [1]


def test_a_session_is_a_value() -> None:
    session = Spooled(new_id(), 1, "boot", START_NS)
    assert replace(session, opened_ns=5).opened_ns == 5
    assert session.opened_ns is None
