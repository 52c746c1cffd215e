"""Clips of every accepted kind come back with their pictures and their times."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetsight.video.decode import ClipReader, Limits
from fleetsight.video.encode import write_clip
from fleetsight.video.summary import HARMLESS
from fleetsight.video.timeline import NS

SUFFIXES = ("plain.mp4", "fragmented.mp4", "clip.mkv", "clip.ts")
RATES = (Fraction(24_000, 1001), Fraction(30_000, 1001), Fraction(25), Fraction(15))


@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SUFFIXES), st.sampled_from(RATES), st.integers(1, 40))
def test_frames_come_back_at_their_exact_times(
    tmp_path: Path, read: Any, images: Any, name: str, rate_hz: Fraction, count: int
) -> None:
    path = tmp_path / name
    assert write_clip(path, images(count), rate_hz=rate_hz, fragmented=name.startswith("frag")) == count
    outcome = read(path)
    assert [frame.pts_ns for frame in outcome.frames] == [round(index * NS / rate_hz) for index in range(count)]
    assert outcome.summary.decoded_fraction == 1.0
    assert outcome.degraded == ()


@pytest.mark.parametrize("name", SUFFIXES)
def test_the_header_is_reported(tmp_path: Path, clip_bytes: dict[str, bytes], name: str) -> None:
    path = tmp_path / name
    path.write_bytes(clip_bytes[name])
    with ClipReader(path) as reader:
        info = reader.info
        assert (info.width, info.height, info.codec, info.rate_hz) == (64, 48, "h264", Fraction(30_000, 1001))
        assert info.container == {".mp4": "mov", ".mkv": "matroska", ".ts": "mpegts"}[path.suffix]
        first = next(iter(reader))
        assert reader.summary.degraded == ("unread",)
    assert first.image.shape == (48, 64, 3)
    assert first.image.dtype == np.uint8


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("hevc", ".mp4"), ("hevc", ".ts"), ("av1", ".mkv"), ("av1", ".mp4"), ("vp9", ".mkv"), ("mpeg4", ".mp4")],
)
def test_every_accepted_codec_decodes(tmp_path: Path, read: Any, images: Any, codec: str, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    write_clip(
        path, images(10, width=128, height=96), rate_hz=Fraction(25), codec=codec, crf=5 if codec == "mpeg4" else 20
    )
    outcome = read(path)
    assert len(outcome.frames) == 10
    assert outcome.degraded == ()


def test_colours_come_back_in_rgb_order(tmp_path: Path, read: Any) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[:, :] = (220, 20, 20)
    write_clip(tmp_path / "red.mp4", [red] * 5, rate_hz=Fraction(25), crf=10)
    frame = read(tmp_path / "red.mp4").frames[2]
    assert np.abs(frame.image.astype(int) - (220, 20, 20)).max() < 12


def test_frames_are_the_callers_own(tmp_path: Path, read: Any, images: Any) -> None:
    write_clip(tmp_path / "clip.mp4", images(40), rate_hz=Fraction(25), crf=5)
    frames = read(tmp_path / "clip.mp4").frames
    for frame, image in zip(frames, images(40), strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 60  # chroma of noise is lost, the order is not
    frames[0].image[:] = 0
    assert frames[1].image.any()


def test_given_times_are_kept_and_called_variable(tmp_path: Path, read: Any, images: Any) -> None:
    times_ns = [0, 33_000_000, 100_000_000, 400_000_000, 410_000_000, 700_000_000, 720_000_000, 1_500_000_000]
    write_clip(tmp_path / "vfr.mp4", images(8), rate_hz=Fraction(30), pts_ns=times_ns)
    outcome = read(tmp_path / "vfr.mp4")
    assert [abs(frame.pts_ns - time_ns) < 6_000 for frame, time_ns in zip(outcome.frames, times_ns, strict=True)] == [
        True
    ] * 8
    assert outcome.degraded == ("variable_rate",)
    assert set(outcome.degraded) <= HARMLESS


def test_a_long_gap_is_reported(tmp_path: Path, read: Any, images: Any) -> None:
    write_clip(tmp_path / "gap.mkv", images(4), rate_hz=Fraction(30), pts_ns=[0, NS // 30, 5 * NS, 5 * NS + NS // 30])
    assert "gap" in read(tmp_path / "gap.mkv").degraded


@pytest.mark.parametrize("rotation_deg", [90, 180, 270])
def test_rotation_metadata_is_applied(tmp_path: Path, read: Any, foreign: Any, rotation_deg: int) -> None:
    path = tmp_path / "turned.mp4"
    foreign(path, count=3)
    with av.open(str(path)) as source, av.open(str(tmp_path / "turned2.mp4"), "w") as out:
        stream: Any = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(rotation_deg)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    plain, turned = read(path), read(tmp_path / "turned2.mp4")
    assert turned.degraded == ("rotated",)
    assert np.array_equal(turned.frames[0].image, np.rot90(plain.frames[0].image, rotation_deg // 90))


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix"),
    [
        ("libx264", "yuv420p10le", ".mp4"),
        ("libx264", "yuv444p", ".mkv"),
        ("libvpx-vp9", "yuva420p", ".mkv"),
        ("libx265", "yuv422p10le", ".mp4"),
    ],
)
def test_deep_dense_and_transparent_pictures_decode(
    tmp_path: Path, read: Any, foreign: Any, codec: str, pixel_format: str, suffix: str
) -> None:
    foreign(tmp_path / f"clip{suffix}", codec=codec, pixel_format=pixel_format, count=8)
    outcome = read(tmp_path / f"clip{suffix}")
    assert len(outcome.frames) == 8
    assert not outcome.degraded
    assert {frame.image.shape for frame in outcome.frames} == {(48, 64, 3)}


def test_a_change_of_size_is_scaled_to_the_first_and_reported(tmp_path: Path, read: Any, foreign: Any) -> None:
    parts = []
    for place, size in enumerate([(64, 48), (96, 64)]):
        foreign(tmp_path / f"{place}.ts", size_wh=size, count=20)
        parts.append((tmp_path / f"{place}.ts").read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    outcome = read(tmp_path / "both.ts")
    assert {frame.image.shape for frame in outcome.frames} == {(48, 64, 3)}
    assert len(outcome.frames) == 40
    assert "resolution_changed" in outcome.degraded


def test_two_recordings_in_one_file_keep_rising_times(tmp_path: Path, read: Any, foreign: Any) -> None:
    foreign(tmp_path / "one.ts", count=20)
    (tmp_path / "twice.ts").write_bytes((tmp_path / "one.ts").read_bytes() * 2)
    outcome = read(tmp_path / "twice.ts")
    times = [frame.pts_ns for frame in outcome.frames]
    assert len(times) == 40
    assert all(later > earlier for earlier, later in pairwise(times))
    assert outcome.degraded


def test_stopping_early_is_no_success(tmp_path: Path, clip_bytes: dict[str, bytes]) -> None:
    path = tmp_path / "plain.mp4"
    path.write_bytes(clip_bytes["plain.mp4"])
    with ClipReader(path) as reader:
        for frame in reader:
            if frame.index == 9:
                break
    assert reader.summary.degraded == ("unread",)
    assert reader.summary.decoded_fraction == pytest.approx(10 / 60, abs=0.001)


def test_a_reader_that_is_not_open_says_so(tmp_path: Path) -> None:
    reader = ClipReader(tmp_path / "clip.mp4")
    with pytest.raises(RuntimeError, match="not open"):
        _ = reader.info
    with pytest.raises(RuntimeError, match="not open"):
        _ = reader.summary


def test_limits_on_pictures_and_length_end_a_clip_and_say_so(
    tmp_path: Path, clip_bytes: dict[str, bytes], read: Callable[..., Any]
) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(clip_bytes["clip.mkv"])
    few = read(path, Limits(frames=12))
    assert len(few.frames) == 12
    assert few.degraded == ("limit_frames",)
    assert few.summary.decoded_fraction == pytest.approx(0.2, abs=0.01)
    short = read(path, Limits(duration_s=1.0))
    assert len(short.frames) == 30
    assert short.degraded == ("limit_duration",)


def test_the_real_clip_decodes_whole_at_its_own_rate(shared_dir: Path) -> None:
    with ClipReader(shared_dir / "data" / "clips" / "bottles.mp4") as reader:
        assert reader.info.rate_hz == Fraction(179, 6)
        times = [frame.pts_ns for frame in reader]
    assert times == [round(index * NS / Fraction(179, 6)) for index in range(640)]
    assert reader.summary.degraded == ()


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, not paths
    yield
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
