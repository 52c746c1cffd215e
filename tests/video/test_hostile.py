"""Hostile and broken files: a clear error or a degraded result, in bounded time, and the caller lives on."""

import os
import re
import resource
import signal
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fleetsight.video.decode import ClipReader, Limits
from fleetsight.video.encode import write_clip
from fleetsight.video.media_error import MediaCrashedError, MediaTimeoutError
from fleetsight.video.sandbox import child

NAMES = ("plain.mp4", "fragmented.mp4", "clip.mkv", "clip.ts")
SECONDS_MAX = 90.0  # a very busy machine; every one of these takes a fraction of a second on an idle one


def _strip_seal(clip: bytes, name: str) -> bytes:
    """A clip as other recorders write it."""
    length = 188 if name.endswith(".ts") else 63 if name.endswith(".mp4") else 57
    return clip[:-length].replace(b"fleetsight sealed", b"someone's camera ")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("percent", range(5, 100, 5))
def test_a_cut_clip_gives_what_it_holds_and_says_so(
    tmp_path: Path, clip_bytes: dict[str, bytes], read: Any, name: str, percent: int
) -> None:
    path = tmp_path / name
    path.write_bytes(clip_bytes[name][: len(clip_bytes[name]) * percent // 100])
    outcome = read(path)
    assert outcome.seconds < SECONDS_MAX
    if outcome.error is not None:
        assert outcome.code == "media_truncated"
        assert outcome.error.hint
        assert percent < 50
        return
    assert "truncated" in outcome.degraded
    assert 0 < len(outcome.frames) < 60
    if name in {"plain.mp4", "clip.mkv"}:
        assert outcome.summary.decoded_fraction == pytest.approx(len(outcome.frames) / 60, abs=0.02)
    assert outcome.summary.decoded_fraction < 1 or name.endswith(".ts")


@pytest.mark.parametrize("name", ["plain.mp4", "clip.mkv", "clip.ts"])
@pytest.mark.parametrize("percent", [33, 66])
def test_a_cut_clip_of_another_recorder_is_noticed_too(
    tmp_path: Path, clip_bytes: dict[str, bytes], read: Any, name: str, percent: int
) -> None:
    clip = _strip_seal(clip_bytes[name], name)
    path = tmp_path / name
    path.write_bytes(clip)
    assert read(path).degraded == ()
    path.write_bytes(clip[: len(clip) * percent // 100 // 188 * 188 + 100])
    outcome = read(path)
    assert "truncated" in outcome.degraded or outcome.code == "media_truncated"


def test_an_mp4_without_its_index_names_the_way_out(tmp_path: Path, read: Any, foreign: Any) -> None:
    foreign(tmp_path / "whole.mp4")  # the index comes last
    clip = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(clip[: len(clip) // 2])
    outcome = read(tmp_path / "half.mp4")
    assert outcome.code == "media_truncated"
    assert "MKV" in outcome.error.hint


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits_never_pass_unnoticed_in_a_sealed_clip(
    tmp_path: Path, clip_bytes: dict[str, bytes], read: Any, name: str, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    clip = bytearray(clip_bytes[name])
    for place in generator.integers(0, len(clip), (1, 4, 40)[seed % 3]):
        clip[place] ^= 1 << int(generator.integers(8))
    path = tmp_path / name
    path.write_bytes(clip)
    outcome = read(path)
    assert outcome.is_honest
    assert outcome.seconds < SECONDS_MAX


@pytest.mark.parametrize("name", NAMES)
def test_heavy_damage_in_a_clip_of_another_recorder_is_noticed(
    tmp_path: Path, clip_bytes: dict[str, bytes], read: Any, name: str
) -> None:
    generator = np.random.default_rng(7)
    clip = bytearray(_strip_seal(clip_bytes[name], name))
    for place in generator.integers(2000, len(clip), 200):
        clip[place] ^= 1 << int(generator.integers(8))
    path = tmp_path / name
    path.write_bytes(clip)
    assert read(path).is_honest


@pytest.mark.parametrize("length", [1, 7, 100, 4096, 100_000])
@pytest.mark.parametrize("magic", [b"", b"\x1a\x45\xdf\xa3", b"\0\0\0\x20ftypisom", b"\0\0\0\x08moov", b"\0\0\0\0moov"])
def test_random_bytes_are_refused(tmp_path: Path, read: Any, length: int, magic: bytes) -> None:
    path = tmp_path / "random.mp4"
    path.write_bytes(magic + np.random.default_rng(length).bytes(length))
    assert read(path).code in {"media_format", "media_truncated", "media_corrupt", "media_no_video"}


def test_random_transport_packets_are_refused(tmp_path: Path, read: Any) -> None:
    generator = np.random.default_rng(3)
    (tmp_path / "noise.ts").write_bytes(b"".join(b"\x47" + generator.bytes(187) for _ in range(300)))
    assert read(tmp_path / "noise.ts").is_honest


def test_an_empty_a_missing_and_a_special_file_are_refused(tmp_path: Path, read: Any) -> None:
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    assert read(tmp_path / "empty.mp4").code == "media_empty"
    for name in ("absent.mp4", "pipe.mp4", "."):
        assert read(tmp_path / name).code == "media_missing"


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile secret.mp4\n",
    "concat": "file 'secret.mp4'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nsecret.ts\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD><Period><BaseURL>secret.mp4</BaseURL></Period></MPD>',
    "text": "G" + "this begins like a transport stream and is none. " * 40,
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("name", ["upload.mp4", "upload.ts", "upload.mkv"])
def test_a_playlist_is_refused_and_the_file_beside_it_never_opened(
    tmp_path: Path, clip_bytes: dict[str, bytes], read: Any, kind: str, name: str
) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(clip_bytes["plain.mp4"])
    os.utime(secret, (1, secret.stat().st_mtime))
    (tmp_path / name).write_text(PLAYLISTS[kind])
    outcome = read(tmp_path / name)
    assert outcome.code == "media_format"
    assert secret.stat().st_atime == 1


def test_a_movie_that_refers_to_another_file_does_not_get_it(
    tmp_path: Path, clip_bytes: dict[str, bytes], read: Any
) -> None:
    (tmp_path / "secret.mp4").write_bytes(clip_bytes["plain.mp4"])
    clip = clip_bytes["plain.mp4"].replace(
        b"url \0\0\0\x01", b"url \0\0\0\0"
    )  # the data lies elsewhere: ISO/IEC 14496-12, 8.7.2
    assert clip != clip_bytes["plain.mp4"]
    (tmp_path / "upload.mp4").write_bytes(clip)
    outcome = read(tmp_path / "upload.mp4")
    assert outcome.is_honest


def test_sound_alone_is_no_video(tmp_path: Path, read: Any) -> None:
    for name in ("sound.mp4", "sound.mkv", "sound.ts"):
        with av.open(str(tmp_path / name), "w") as out:
            stream: Any = out.add_stream("aac", rate=16_000, layout="mono")
            for index in range(20):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 16_000, index * 1024
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        assert read(tmp_path / name).code == "media_no_video"


@pytest.mark.parametrize(
    ("codec", "pixel_format", "name"),
    [("prores_ks", "yuv422p10le", "clip.mov"), ("mjpeg", "yuvj420p", "clip.mkv"), ("ffv1", "yuv420p", "clip.mkv")],
)
def test_a_codec_off_the_list_is_refused(
    tmp_path: Path, read: Any, foreign: Any, codec: str, pixel_format: str, name: str
) -> None:
    foreign(tmp_path / name, codec=codec, pixel_format=pixel_format, count=3)
    assert read(tmp_path / name).code == "media_codec"


@pytest.mark.parametrize(
    ("codec", "pixel_format", "muxer"),
    [("gif", "rgb8", "gif"), ("apng", "rgb24", "apng"), ("mpeg4", "yuv420p", "avi"), ("libx264", "yuv420p", "flv")],
)
def test_a_container_off_the_list_is_refused_whatever_its_name(
    tmp_path: Path, read: Any, foreign: Any, codec: str, pixel_format: str, muxer: str
) -> None:
    foreign(tmp_path / "clip.mp4", codec=codec, pixel_format=pixel_format, muxer=muxer, count=3)
    assert read(tmp_path / "clip.mp4").code == "media_format"


def _golomb(value: int) -> str:
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _giant_sps(width: int, height: int) -> bytes:
    """A sequence parameter set of the Baseline profile: ITU-T H.264, 7.3.2.1.1."""
    bits = f"{66:08b}{0xC0:08b}{62:08b}" + _golomb(0) + _golomb(0) + _golomb(2) + _golomb(1) + "0"
    bits += _golomb(width // 16 - 1) + _golomb(height // 16 - 1) + "11001"
    bits += "0" * (-len(bits) % 8)
    return b"\x67" + int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("after", [0, 20])
def test_a_giant_picture_is_refused_before_it_is_decoded(tmp_path: Path, read: Any, foreign: Any, after: int) -> None:
    seen = []

    def blow_up(packet: Any) -> Any:
        seen.append(packet)
        if len(seen) <= after:
            return packet
        sps = b"\0\0\0\x01" + _giant_sps(16_384, 8_192)
        giant = av.Packet(
            re.sub(rb"\0\0\0\x01\x67.*?(?=\0\0\0\x01\x68)", lambda _: sps, bytes(packet), flags=re.DOTALL)
        )
        giant.stream, giant.time_base, giant.pts, giant.dts = packet.stream, packet.time_base, packet.pts, packet.dts
        giant.is_keyframe = packet.is_keyframe
        return giant

    foreign(tmp_path / "giant.ts", count=40, group=10, packet_edit=blow_up)
    outcome = read(tmp_path / "giant.ts")
    if after:
        assert len(outcome.frames) == 20
        assert outcome.is_honest
    else:
        assert outcome.code == "media_limit"
        assert "16384x8192" in str(outcome.error)


@pytest.mark.parametrize("rate_hz", [10**9, 1000, 200])
def test_more_pictures_a_second_than_allowed_are_refused(tmp_path: Path, read: Any, foreign: Any, rate_hz: int) -> None:
    foreign(tmp_path / "fast.mp4", count=60, time_base=Fraction(1, rate_hz))
    outcome = read(tmp_path / "fast.mp4")
    assert outcome.code == "media_limit"
    assert "frames per second" in str(outcome.error)


def test_a_fine_time_base_alone_is_no_offence(tmp_path: Path, read: Any, foreign: Any) -> None:
    foreign(tmp_path / "fine.mp4", time_base=Fraction(1, 10**9), stamps=[index * 40_000_000 for index in range(30)])
    outcome = read(tmp_path / "fine.mp4")
    assert [frame.pts_ns for frame in outcome.frames] == [index * 40_000_000 for index in range(30)]
    assert outcome.degraded == ()


def test_a_thousand_tracks_are_refused_or_read_in_bounded_time(
    tmp_path: Path, clip_bytes: dict[str, bytes], read: Any
) -> None:
    clip = clip_bytes["plain.mp4"]
    start = clip.index(b"trak") - 4
    track = clip[start : start + int.from_bytes(clip[start : start + 4], "big")]
    moov = clip.index(b"moov") - 4
    length = int.from_bytes(clip[moov : moov + 4], "big") + 1000 * len(track)
    (tmp_path / "many.mp4").write_bytes(
        clip[:moov] + length.to_bytes(4, "big") + clip[moov + 4 : start] + track * 1000 + clip[start:]
    )
    outcome = read(tmp_path / "many.mp4")
    assert outcome.is_honest
    assert outcome.seconds < SECONDS_MAX


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory, images: Any) -> Path:
    """Minutes of video in a small file: one recording, many times over."""
    path = tmp_path_factory.mktemp("long") / "long.ts"
    write_clip(path, images(100, width=640, height=360), rate_hz=Fraction(30), crf=40)
    path.write_bytes(path.read_bytes() * 300)
    return path


def test_a_clip_of_endless_pictures_stops_at_the_limit(long_clip: Path) -> None:
    count = 0
    with ClipReader(long_clip, limits=Limits(frames=700)) as reader:
        for _ in reader:
            count += 1
    assert count == 700
    assert "limit_frames" in reader.summary.degraded


def test_processor_time_ends_a_clip_and_is_named(long_clip: Path) -> None:
    with ClipReader(long_clip, limits=Limits(cpu_s=2)) as reader:
        count = sum(1 for _ in reader)
    assert 0 < count < 30_000
    assert "limit_cpu" in reader.summary.degraded


def test_a_decoder_that_does_not_answer_is_given_up(
    tmp_path: Path, clip_bytes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "BOOT", "import time; time.sleep(600)")
    path = tmp_path / "clip.mkv"
    path.write_bytes(clip_bytes["clip.mkv"])
    with pytest.raises(MediaTimeoutError), ClipReader(path, limits=Limits(wall_s=0.3)):
        pass


def _process_of(reader: ClipReader) -> int:
    assert reader._child is not None
    return reader._child._process.pid


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(signal.SIGSTOP, "limit_wall"), (signal.SIGKILL, "limit_memory"), (signal.SIGSEGV, "decoder_crashed")],
)
def test_a_decoder_that_dies_or_stalls_ends_the_clip_and_not_the_caller(
    long_clip: Path, sent: signal.Signals, reason: str
) -> None:
    with ClipReader(long_clip) as reader:
        for frame in reader:
            if frame.index == 3:
                assert reader._child is not None
                reader._child._left_s = 3.0  # only now, so that a slow start on a busy machine costs nothing
                os.kill(_process_of(reader), sent)
    assert reason in reader.summary.degraded
    assert 3 < reader.summary.frames < 100


def test_a_caller_who_takes_his_time_uses_up_none_of_the_decoders(tmp_path: Path, clip_bytes: dict[str, bytes]) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(clip_bytes["clip.mkv"])
    with ClipReader(path) as reader:
        assert reader._child is not None
        reader._child._left_s = 4.0  # less than the sixty naps, far more than decoding sixty tiny pictures takes
        for _ in reader:
            time.sleep(0.08)
    assert reader.summary.degraded == ()


def test_memory_that_does_not_suffice_is_a_limit_and_not_damage(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "large.mp4"
    flat = np.full((2160, 3840, 3), 90, np.uint8)
    write_clip(path, [flat] * 3, rate_hz=Fraction(30), crf=40)
    assert read(path).degraded == ()
    for ram in (230, 260, 300):
        outcome = read(path, Limits(ram_bytes=ram * 2**20))
        assert outcome.code == "media_limit" or outcome.degraded == ("limit_memory",), (ram, outcome)


def test_memory_of_parent_and_child_stays_bounded(long_clip: Path) -> None:
    with ClipReader(long_clip, limits=Limits(frames=300)) as reader:
        for _ in reader:
            pass
    peak_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert peak_bytes < 1024**3


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff" * 200,
        b"\x01\x00\x00\x00\xff\xff\xff\x7f" + bytes(8),
        b"\x01\x00\x00\x00\x02\x00\x00\x00" + bytes(8) + b"{}",
        b"\x01\x00\x00\x00\x03\x00\x00\x00" + bytes(8) + b"[1]",
        b"\x02\x00\x05\x00\x00\x00\x00\x00" + bytes(8),
        b"",
    ],
)
def test_a_decoder_that_was_taken_over_cannot_harm_the_caller(
    tmp_path: Path, clip_bytes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, nonsense: bytes
) -> None:
    monkeypatch.setattr(
        child, "BOOT", f"import json,os,sys; os.write(json.loads(sys.argv[-1])['out_fd'], {nonsense!r})"
    )
    path = tmp_path / "clip.mkv"
    path.write_bytes(clip_bytes["clip.mkv"])
    with pytest.raises(MediaCrashedError), ClipReader(path):
        pass
