"""Images to a clip file, with exact times.

The container follows the name's ending: .mp4 (index in front, so that a cut costs only the tail; or fragmented), .mkv, .ts.
A constant rate is written in a time base that holds it exactly wherever the container can (MP4, MPEG-TS; Matroska rounds to 1 ms).
It ends with a ``seal``, so that a reader knows whether a byte is missing or changed.
The file appears under its name only when it is whole.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fleetsight.video.media_error import MediaEncodeError
from fleetsight.video.seal import ANNOUNCEMENT, make_seal
from fleetsight.video.timeline import NS
from fleetsight.vision.image import Image

ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "mpeg4": "mpeg4"}
SPEED = {
    "h264": {"preset": "veryfast"},
    "hevc": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    "av1": {"preset": "10", "svtav1-params": "lp=1"},
    "vp9": {"deadline": "realtime", "cpu-used": "8", "b": "0"},
    "mpeg4": {},
}
FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".ts": "mpegts"}
THREADS = 2  # fixed, because x264's output depends on it; two is the smallest machine we promise
FINE_TICK = Fraction(1, 90_000)  # MPEG-TS cannot be finer; 24, 25, 30, 60 and their NTSC kin are whole ticks


def write_clip(  # noqa: PLR0913 - every value describes the one clip, and callers name them
    path: Path | str,
    frames: Iterable[Image],
    *,
    rate_hz: Fraction,
    codec: str = "h264",
    crf: int = 23,
    pts_ns: Iterable[int] | None = None,
    fragmented: bool = False,
) -> int:
    """Write images as a clip.

    Args:
        path: ends with .mp4, .mkv or .ts; an existing file is replaced.
        frames: (h, w, 3) uint8 RGB, all of one even size; consumed as they come.
        rate_hz: frames per second, exact, > 0; with pts_ns only the nominal rate.
        codec: "h264", "hevc", "av1", "vp9" or "mpeg4".
        crf: constant quality, lower is better; 0-51 for h264 and hevc, 0-63 for av1 and vp9, quantiser 1-31 for mpeg4.
        pts_ns: rising presentation times, one per frame, rounded to 1/90000 s; None for the constant rate.
        fragmented: for .mp4: self-contained pieces of a group of pictures each, so that a cut recording keeps its start.
    Returns:
        Number of frames written.
    Raises:
        MediaEncodeError: unknown ending or codec, no frame, odd or changing size, times that do not rise.
    """
    path = Path(path)
    if path.suffix not in FORMATS or codec not in ENCODERS:
        raise MediaEncodeError(
            f"cannot write {codec} into {path.name!r}",
            hint=f"endings: {', '.join(FORMATS)}; codecs: {', '.join(ENCODERS)}",
        )
    if rate_hz <= 0:
        raise MediaEncodeError(f"a rate of {rate_hz} frames per second; it must be above 0")
    draft = path.with_name(f".{path.name}.part")
    try:
        with av.open(
            draft, "w", format=FORMATS[path.suffix], options=_muxer_options(path.suffix, fragmented=fragmented)
        ) as out:
            tick = 1 / rate_hz if pts_ns is None else FINE_TICK
            stream = _add_stream(out, codec, crf, rate_hz, tick)
            stamps = count() if pts_ns is None else _ticks(pts_ns)
            out.metadata["service_provider" if path.suffix == ".ts" else "comment"] = ANNOUNCEMENT
            written = _encode(out, stream, frames, stamps)
        with draft.open("r+b") as file:
            file.write(make_seal(file, path.suffix))
        draft.replace(path)
    except av.error.FFmpegError as error:
        raise MediaEncodeError(f"cannot write {path.name}: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return written


def _muxer_options(suffix: str, *, fragmented: bool) -> dict[str, str]:
    if suffix != ".mp4":
        return {}
    return {"movflags": "+frag_keyframe+empty_moov+default_base_moof" if fragmented else "+faststart"}


def _add_stream(out: OutputContainer, codec: str, crf: int, rate_hz: Fraction, tick: Fraction) -> VideoStream:
    quality = {"global_quality": str(crf * 118), "flags": "+qscale"} if codec == "mpeg4" else {"crf": str(crf)}
    stream: Any = out.add_stream(ENCODERS[codec], rate=rate_hz, options={**SPEED[codec], **quality})
    stream.codec_context.time_base = tick
    stream.time_base = tick
    stream.pix_fmt = "yuv420p"
    stream.thread_count = THREADS
    video: VideoStream = stream
    return video


def _ticks(pts_ns: Iterable[int]) -> Iterator[int]:
    before = -1
    for time_ns in pts_ns:
        tick = round(Fraction(time_ns, NS) / FINE_TICK)
        if tick <= before:
            raise MediaEncodeError(f"the time {time_ns} ns does not lie after the one before it")
        before = tick
        yield tick


def _encode(out: OutputContainer, stream: VideoStream, frames: Iterable[Image], stamps: Iterable[int]) -> int:
    size_hw: tuple[int, ...] = ()
    written = 0
    for image, stamp in zip(frames, stamps, strict=False):
        if not size_hw:
            size_hw = image.shape
            _check_first(size_hw)
            stream.height, stream.width = size_hw[:2]
        if image.shape != size_hw or image.dtype != np.uint8:
            raise MediaEncodeError(f"frame {written} is {image.shape} {image.dtype}, the first was {size_hw} uint8")
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        picture.pts = stamp
        picture.time_base = stream.codec_context.time_base
        out.mux(stream.encode(picture))
        written += 1
    if not written:
        raise MediaEncodeError("there is no frame to write")
    out.mux(stream.encode(None))
    return written


def _check_first(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or shape[2] != 3 or shape[0] % 2 or shape[1] % 2 or 0 in shape:
        raise MediaEncodeError(
            f"a frame has the shape {shape}; wanted (h, w, 3) with even h and w", hint="crop or pad by one"
        )
