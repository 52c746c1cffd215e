"""Segments are playable alone, and all of them together are one clip."""

import errno
import hashlib
from fractions import Fraction
from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.recording.segments import (
    Segment,
    SegmentWriter,
    read_again,
    salvage,
    segment_name,
)
from fleetsight.apps.cooler.device.recording.transport_stream import PacketFile
from fleetsight.clock import SECOND_NS
from fleetsight.video.decode import ClipReader, DecodeSummary
from fleetsight.video.encode import write_clip
from fleetsight.video.frame import Frame
from fleetsight.video.media_error import MediaEncodeError
from tests.apps.cooler.device.stand import scene


def grid_ns(rate_hz: Fraction, count: int) -> list[int]:
    return [round(Fraction(index) / rate_hz * SECOND_NS) for index in range(count)]


def record(folder: Path, pts_ns: list[int], *, target_s: float = 1.0, start: int = 0) -> list[Segment]:
    segments: list[Segment] = []
    writer = SegmentWriter(folder, target_s, sealed=segments.append)
    for index, at_ns in enumerate(pts_ns, start=start):
        writer.write(scene(index), at_ns)
    writer.finish()
    return segments


def joined(folder: Path) -> Path:
    path = folder / "joined.bin"
    path.write_bytes(b"".join(part.read_bytes() for part in sorted(folder.glob("*.ts"))))
    return path


def decoded(path: Path) -> tuple[list[Frame], DecodeSummary]:
    with ClipReader(path) as reader:
        frames = list(reader)
        return frames, reader.summary


@pytest.mark.parametrize("rate_hz", [Fraction(30), Fraction(30_000, 1001), Fraction(25), Fraction(15)], ids=str)
def test_the_bytes_of_all_segments_in_order_are_one_clip(tmp_path: Path, rate_hz: Fraction) -> None:
    pts_ns = grid_ns(rate_hz, 100)
    segments = record(tmp_path, pts_ns)
    frames, summary = decoded(joined(tmp_path))
    write_clip(tmp_path / "whole.mp4", (scene(index) for index in range(100)), rate_hz=rate_hz)
    whole, _ = decoded(tmp_path / "whole.mp4")
    assert len(segments) >= 3
    assert [frame.pts_ns for frame in frames] == [frame.pts_ns for frame in whole] == pts_ns
    assert summary == DecodeSummary(100, 1.0, ())
    errors = [abs(int(a.image.mean()) - int(b.image.mean())) for a, b in zip(frames, whole, strict=True)]
    assert max(errors) <= 2


def test_uneven_times_survive_to_the_tick(tmp_path: Path) -> None:
    pts_ns = [round(Fraction(tick, 90_000) * SECOND_NS) for tick in (0, 3000, 6010, 9020, 11990, 15000, 21000, 24003)]
    record(tmp_path, pts_ns, target_s=0.1)
    frames, summary = decoded(joined(tmp_path))
    assert max(abs(frame.pts_ns - at_ns) for frame, at_ns in zip(frames, pts_ns, strict=True)) <= SECOND_NS / 90_000
    assert set(summary.degraded) <= {"variable_rate"}


def test_every_segment_plays_alone_and_is_described_exactly(tmp_path: Path) -> None:
    segments = record(tmp_path, grid_ns(Fraction(20), 50))
    assert [segment.index for segment in segments] == [0, 1, 2]
    assert [segment.frames for segment in segments] == [20, 20, 10]
    edges = [(segment.pts_start_ns, segment.pts_end_ns) for segment in segments]
    assert edges == [(0, SECOND_NS), (SECOND_NS, 2 * SECOND_NS), (2 * SECOND_NS, 2_500_000_000)]
    for segment in segments:
        path = tmp_path / segment_name(segment.index)
        data = path.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (segment.length, segment.sha256)
        frames, summary = decoded(path)
        assert (len(frames), summary.degraded) == (segment.frames, ())


def test_recording_goes_on_in_a_folder_after_a_restart(tmp_path: Path) -> None:
    pts_ns = grid_ns(Fraction(20), 60)
    first = record(tmp_path, pts_ns[:25])
    second = record(tmp_path, pts_ns[30:], start=30)
    assert [segment.index for segment in first + second] == [0, 1, 2, 3]
    frames, summary = decoded(joined(tmp_path))
    assert [frame.pts_ns for frame in frames] == pts_ns[:25] + pts_ns[30:]
    assert "corrupt_packets" not in summary.degraded


def test_pictures_that_do_not_rise_in_time_are_left_out(tmp_path: Path) -> None:
    segments = record(tmp_path, [0, 50_000_000, 50_000_000, 49_000_000, 50_000_100, 100_000_000])
    assert [segment.frames for segment in segments] == [3]


def test_a_killed_recording_keeps_its_pictures_as_they_come(tmp_path: Path) -> None:
    pts_ns = grid_ns(Fraction(20), 30)
    writer = SegmentWriter(tmp_path, 60.0, sealed=lambda _segment: None)
    for index, at_ns in enumerate(pts_ns):
        writer.write(scene(index), at_ns)
    (part,) = tmp_path.glob("*.part")
    saved = salvage(part)
    assert saved is not None
    frames, summary = decoded(tmp_path / segment_name(0))
    assert saved.frames == len(frames) >= 10
    assert [frame.pts_ns for frame in frames] == pts_ns[: len(frames)]
    assert saved.pts_end_ns == pts_ns[len(frames)]
    assert summary.degraded == ()
    assert not part.exists()


def test_a_killed_recording_without_a_picture_leaves_nothing(tmp_path: Path) -> None:
    part = tmp_path / "000000-0.part"
    part.write_bytes(b"\x47")
    assert salvage(part) is None
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_nobody_noted_is_described_again(tmp_path: Path) -> None:
    segments = record(tmp_path, grid_ns(Fraction(20), 40))
    for segment in segments:
        assert read_again(tmp_path / segment_name(segment.index), segment.pts_start_ns) == segment


def test_a_full_disk_costs_one_picture_or_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments: list[Segment] = []
    writer = SegmentWriter(tmp_path, 60.0, sealed=segments.append)
    pts_ns = grid_ns(Fraction(20), 60)
    failed = []

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for index, at_ns in enumerate(pts_ns):
        with monkeypatch.context() as patch:
            if index == 30:
                patch.setattr(PacketFile, "_renumber", full)
            try:
                writer.write(scene(index), at_ns)
            except OSError as error:
                failed.append(error.errno)
        if failed and index == 30:
            writer.give_up_segment()
    writer.finish()
    assert failed == [errno.ENOSPC]
    frames, summary = decoded(joined(tmp_path))
    assert 57 <= len(frames) == sum(segment.frames for segment in segments)
    assert {frame.pts_ns for frame in frames} <= set(pts_ns)
    assert "corrupt_packets" not in summary.degraded
    assert frames[-1].pts_ns == pts_ns[-1]


@pytest.mark.parametrize("size", [(47, 64), (48, 63)])
def test_a_picture_that_cannot_be_encoded_says_so(tmp_path: Path, size: tuple[int, int]) -> None:
    writer = SegmentWriter(tmp_path, 1.0, sealed=lambda _segment: None)
    with pytest.raises(MediaEncodeError):
        writer.write(scene(0, height=size[0], width=size[1]), 0)
