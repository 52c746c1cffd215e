"""Pictures to segments: MPEG-TS files of about two seconds, each playable alone, all of them together one clip.

A segment begins with a key picture and refers to nothing before it (closed group, no reordered pictures). Times run on from segment to
segment on one grid of 1/90000 s, and so do packet numbers (`transport_stream`): the bytes of all segments in order decode like one clip
written whole. While a segment is being written its pictures reach the operating system one by one, so a killed process loses none of
them and `salvage` closes the file.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame

from fleetsight.apps.cooler.device.durable import sync_folder
from fleetsight.apps.cooler.device.recording.transport_stream import TICK_HZ, PacketFile, last_numbers, remains_of
from fleetsight.clock import SECOND_NS
from fleetsight.store.crashpoint import crashpoint
from fleetsight.video.media_error import MediaEncodeError
from fleetsight.vision.image import Image

CRF = 26  # in the middle of what baskets are scored with (sim.knobs.EncodingKnobs); 23 is half as large again and no better
RATE_HZ = 30  # nominal, for the encoder's header; times are those of the pictures
CODING = {
    "preset": "veryfast",
    "tune": "zerolatency",  # a picture goes to the file at once and does not wait in a look-ahead
    "crf": str(CRF),
    "bf": "0",
    "g": "100000",  # key pictures only where a segment begins
    "sc_threshold": "0",
}
PART_SUFFIX = ".part"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """One finished segment.

    Attributes:
        index: 0 for the first of its session and camera, then 1, 2, …
        sha256: of the file, 64 hexadecimal digits.
        length: bytes of the file.
        pts_start_ns: time of its first picture, nanoseconds since the first picture of the session.
        pts_end_ns: where the next segment starts, or how long the last picture stands; above pts_start_ns.
        frames: pictures in it.
    """

    index: int
    sha256: str
    length: int
    pts_start_ns: int
    pts_end_ns: int
    frames: int


def segment_name(index: int) -> str:
    """The file name of a finished segment.

    Args:
        index: number of the segment.
    Returns:
        such as ``000003.ts``.
    """
    return f"{index:06}.ts"


class SegmentWriter:
    """Writes one camera's pictures of one session.

    Args:
        folder: an existing folder; segments that it holds already are gone on from.
        target_s: a segment is closed by the first picture this long after its start, > 0.
        sealed: called with each finished segment, when its file is safe under its name.
    """

    def __init__(self, folder: Path, target_s: float, *, sealed: Callable[[Segment], None]) -> None:
        self._folder = folder
        self._target_ticks = round(target_s * TICK_HZ)
        self._sealed = sealed
        before = sorted(folder.glob("*.ts"))
        self._index = int(before[-1].stem) + 1 if before else 0
        self._counters = last_numbers(before[-1]) if before else {}
        self._open: _OpenSegment | None = None
        self._step_ticks = round(TICK_HZ / RATE_HZ)

    def write(self, image: Image, pts_ns: int) -> None:
        """Add a picture.

        Args:
            image: (h, w, 3) uint8 RGB, even h and w, all of one size.
            pts_ns: its time since the first picture of the session; a picture that is not later than the one before (by 1/90000 s) is left out.
        Raises:
            MediaEncodeError: the picture cannot be encoded.
            OSError: the disk is full or broken; the pictures written so far stay.
        """
        tick = round(Fraction(pts_ns * TICK_HZ, SECOND_NS))
        current = self._open
        if current is not None:
            if tick <= current.last_tick:
                return
            self._step_ticks = tick - current.last_tick
            if tick - current.first_tick >= self._target_ticks:
                self._seal(current, end_tick=tick)
                current = None
        if current is None:
            current = self._open = _OpenSegment(self._folder, self._index, tick, counters=self._counters)
        current.add(image, tick)

    def give_up_segment(self) -> None:
        """After an `OSError`: close what can be used of the segment that was being written; the next picture begins another."""
        current, self._open = self._open, None
        if current is None:
            return
        current.abandon()
        segment = salvage(current.path)
        before = self._folder / segment_name(self._index if segment else self._index - 1)
        self._counters = last_numbers(before) if before.is_file() else {}
        if segment is not None:
            self._index += 1
            self._sealed(segment)

    def finish(self) -> None:
        """Close the segment that is being written, if there is one."""
        if self._open is not None:
            self._seal(self._open, end_tick=self._open.last_tick + self._step_ticks)

    def _seal(self, current: "_OpenSegment", *, end_tick: int) -> None:
        current.close()
        self._open = None
        self._index += 1
        self._sealed(_seal(current.path, current.span(end_tick), frames=current.frames))


class _OpenSegment:
    """A segment that is being written, under its temporary name ``<index>-<first tick>.part``."""

    def __init__(self, folder: Path, index: int, tick: int, *, counters: dict[int, int]) -> None:
        self.path = folder / f"{index:06}-{tick}{PART_SUFFIX}"
        self.index, self.first_tick, self.last_tick, self.frames = index, tick, tick, 0
        self._file = PacketFile(self.path, counters)
        # flush_packets: a picture is handed to the file as soon as it is encoded, not when a buffer is full
        self._out = av.open(self._file, "w", format="mpegts", options={"flush_packets": "1"})
        self._stream: Any = self._out.add_stream("libx264", rate=RATE_HZ, options=CODING)
        self._stream.pix_fmt = "yuv420p"
        self._stream.thread_count = 1  # the other core belongs to the network and the door
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, TICK_HZ)

    def add(self, image: Image, tick: int) -> None:
        if not self.frames:
            self._stream.height, self._stream.width = image.shape[:2]
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        picture.pts = tick
        picture.time_base = Fraction(1, TICK_HZ)
        try:
            self._out.mux(self._stream.encode(picture))
        except av.error.FFmpegError as error:
            raise MediaEncodeError(f"cannot encode picture {self.frames} of segment {self.index}: {error}") from error
        self.last_tick = tick
        self.frames += 1

    def close(self) -> None:
        self._out.mux(self._stream.encode(None))
        self._out.close()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        self._file.close()
        with contextlib.suppress(OSError, ValueError):  # the muxer's last words find no file any more
            self._out.close()

    def span(self, end_tick: int) -> tuple[int, int, int]:
        return self.index, self.first_tick, end_tick


def _seal(part: Path, span: tuple[int, int, int], *, frames: int) -> Segment:
    """Give a closed file its name, and describe it."""
    index, first_tick, end_tick = span
    crashpoint("device.segment-closed")
    final = part.with_name(segment_name(index))
    part.replace(final)
    sync_folder(part.parent)
    crashpoint("device.segment-named")
    return describe(final, (_ns(first_tick), _ns(end_tick)), frames=frames)


def describe(path: Path, pts_ns: tuple[int, int], *, frames: int) -> Segment:
    """Describe a finished segment.

    Args:
        path: the file.
        pts_ns: start and end.
        frames: pictures in it.
    Returns:
        the segment with its length and digest.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
        length = file.tell()
    return Segment(int(path.stem), digest.hexdigest(), length, *pts_ns, frames)


def salvage(part: Path) -> Segment | None:
    """Close a segment that was being written when the process died.

    Args:
        part: a file with the temporary name.
    Returns:
        the segment, now under its final name; None when the file holds no whole picture, and is gone.
    """
    index, first_tick = (int(word) for word in part.name.removesuffix(PART_SUFFIX).split("-"))
    remains = remains_of(part)
    if remains is None:
        part.unlink()
        sync_folder(part.parent)
        return None
    with part.open("r+b") as file:
        file.truncate(remains.length)
        os.fsync(file.fileno())
    ticks = remains.ticks
    step = ticks[-1] - ticks[-2] if len(ticks) > 1 else round(TICK_HZ / RATE_HZ)
    return _seal(part, (index, first_tick, first_tick + ticks[-1] + step), frames=len(ticks))


def read_again(path: Path, pts_start_ns: int) -> Segment:
    """Describe a finished segment that nobody noted down before the process died.

    Args:
        path: a file with a final name.
        pts_start_ns: where the segment before it ended.
    Returns:
        the segment; its end is that of its last picture, which stood as long as the one before.
    """
    found = remains_of(path)
    ticks = found.ticks if found is not None else ()
    # `remains_of` leaves the last picture out; it is whole here and stands as long as the others
    step = ticks[-1] - ticks[-2] if len(ticks) > 1 else round(TICK_HZ / RATE_HZ)
    end_ns = pts_start_ns + _ns((ticks[-1] if ticks else 0) + 2 * step)
    return describe(path, (pts_start_ns, end_ns), frames=len(ticks) + 1)


def _ns(tick: int) -> int:
    return round(Fraction(tick * SECOND_NS, TICK_HZ))
