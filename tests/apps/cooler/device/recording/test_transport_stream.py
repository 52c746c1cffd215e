"""Packet numbers run on over files, and torn files give up what is whole."""

from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.recording.segments import SegmentWriter, segment_name
from fleetsight.apps.cooler.device.recording.transport_stream import (
    NULL_PID,
    PACKET_BYTES,
    SYNC,
    PacketFile,
    last_numbers,
    remains_of,
)
from fleetsight.clock import SECOND_NS
from tests.apps.cooler.device.stand import scene

FRAMES = 20
STEP_TICKS = 4500


def packet(pid: int, *, payload: bool = True, number: int = 0) -> bytes:
    return bytes((SYNC, pid >> 8, pid & 0xFF, (0x10 if payload else 0x20) | number)).ljust(PACKET_BYTES, b"\xff")


def numbers(data: bytes, pid: int) -> list[int]:
    packets = [data[start : start + PACKET_BYTES] for start in range(0, len(data), PACKET_BYTES)]
    return [part[3] & 15 for part in packets if (part[1] & 31) << 8 | part[2] == pid]


def write(path: Path, counters: dict[int, int], packets: bytes, *, piece: int) -> None:
    file = PacketFile(path, counters)
    for start in range(0, len(packets), piece):
        assert file.write(packets[start : start + piece]) == len(packets[start : start + piece])
    file.close()


@pytest.mark.parametrize("piece", [1, 100, 188, 1000])
def test_numbers_run_on_from_file_to_file_however_the_muxer_writes(tmp_path: Path, piece: int) -> None:
    counters: dict[int, int] = {}
    first = packet(256) * 9 + packet(17) + packet(256, payload=False)
    write(tmp_path / "0.ts", counters, first, piece=piece)
    write(tmp_path / "1.ts", counters, packet(17, number=9) + packet(256) * 9, piece=piece)
    both = (tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes()
    assert numbers(both, 256) == [*range(9), 8, *range(9, 16), 0, 1]
    assert numbers(both, 17) == [0, 1]
    assert last_numbers(tmp_path / "1.ts") == counters == {256: 1, 17: 1}


def test_null_packets_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "0.ts", {}, packet(NULL_PID, number=7), piece=188)
    assert (tmp_path / "0.ts").read_bytes() == packet(NULL_PID, number=7)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    writer = SegmentWriter(folder, 60.0, sealed=lambda _segment: None)
    for index in range(FRAMES):
        writer.write(scene(index), index * SECOND_NS // 20)
    writer.finish()
    return (folder / segment_name(0)).read_bytes()


def test_every_cut_keeps_the_pictures_before_the_last_one_begun(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "torn.part"
    kept = []
    for cut in range(0, len(whole) + 1, 97):
        path.write_bytes(whole[:cut])
        found = remains_of(path)
        kept.append(len(found.ticks) if found is not None else 0)
        if found is not None:
            assert found.ticks == tuple(STEP_TICKS * index for index in range(len(found.ticks)))
            assert found.length % PACKET_BYTES == 0
            assert found.length <= cut
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert kept[-1] >= FRAMES - 2


def test_zeros_that_a_power_cut_left_at_the_end_are_not_pictures(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "torn.part"
    half = len(whole) // 2 // PACKET_BYTES * PACKET_BYTES
    path.write_bytes(whole[:half] + bytes(5000))
    zeroed = remains_of(path)
    path.write_bytes(whole[:half])
    assert zeroed == remains_of(path)


@pytest.mark.parametrize("data", [b"", b"no transport stream", bytes(1000)])
def test_a_file_without_a_whole_picture_gives_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "torn.part"
    path.write_bytes(data)
    assert remains_of(path) is None
