"""Clips to frames: a hostile file goes in, pictures with exact times come out, and the caller survives.

The parent looks at the first bytes and the outermost boxes (``container``), starts a decoder process behind walls (``sandbox``),
copies pictures out of a shared ring, gives them their time (``timeline``) and, at the end, judges the run (``summary``). What cannot be used at all is a MediaError; what can be used in part is a degraded summary.
"""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fleetsight.video.container import RECORD_HINT, Structure, inspect
from fleetsight.video.frame import Frame
from fleetsight.video.media_error import (
    MediaCodecError,
    MediaCorruptError,
    MediaCrashedError,
    MediaError,
    MediaLimitError,
    MediaMissingError,
    MediaNoVideoError,
    MediaTimeoutError,
    MediaTruncatedError,
)
from fleetsight.video.sandbox import wire
from fleetsight.video.sandbox.child import ChildGone, DecoderChild, Limits, Message
from fleetsight.video.summary import SOUND_SLACK_S, ClipInfo, DecodeSummary, Tally, parse_duration_tag, summarise
from fleetsight.video.timeline import NS, Timeline, standard_rate

__all__ = ["ClipInfo", "ClipReader", "DecodeSummary", "Limits", "MediaError"]

RATE_MIN_HZ = Fraction(1, 10)  # a declared rate below is a slip of the header
STOPPED = {
    "frames": "limit_frames", "memory": "limit_memory", "pixels": "limit_pixels", "corrupt": "corrupt_container"
}  # fmt: skip
LOG = logging.getLogger(__name__)


class ClipReader:
    """Reads one clip once, front to back.

    ``with ClipReader(path) as reader: for frame in reader: …; reader.summary``

    Args:
        path: the clip: MP4 (fragmented or not), MKV, WebM or MPEG-TS, whatever its name ends with.
        limits: what it may cost.
    Raises:
        MediaError: on entering, when nothing in the file can be used; each subclass has a stable ``code``.
    """

    def __init__(self, path: Path | str, *, limits: Limits | None = None) -> None:
        self.path = Path(path)
        self.limits = limits or Limits()
        self._child: DecoderChild | None = None
        self._info: ClipInfo | None = None
        self._structure: Structure | None = None
        self._timeline = Timeline(Fraction(1, NS), None)
        self._tally = Tally(stopped="unread")

    def __enter__(self) -> Self:
        self._structure = _look(self.path)
        try:
            self._child = DecoderChild(self.path, self._structure.kind, self.limits)
        except OSError as error:
            raise MediaCrashedError(f"the decoder process cannot be started: {error}") from error
        try:
            self._begin(self._child, self._structure)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def info(self) -> ClipInfo:
        """The stream as its header describes it; known on entering."""
        if self._info is None:
            raise RuntimeError("the clip is not open: use `with ClipReader(path) as reader`")
        return self._info

    @property
    def summary(self) -> DecodeSummary:
        """What came out so far; final after the last frame, before that with the reason "unread"."""
        if self._structure is None:
            raise RuntimeError("the clip is not open: use `with ClipReader(path) as reader`")
        return summarise(self.info, self._structure, timeline=self._timeline, tally=self._tally)

    def __iter__(self) -> Iterator[Frame]:
        while self._child is not None:
            try:
                message = self._child.receive()
                if message.kind is wire.Kind.FRAME:
                    frame = self._accept(self._child, message)
                    if frame is not None:
                        yield frame
                        continue
                else:
                    self._finish(message)
            except ChildGone as gone:
                LOG.warning(
                    "decoding ended early reason=%s detail=%s clip=%s", gone.reason, gone.detail, self.path.name
                )
                self._tally.stopped = gone.reason
            self.close()

    def close(self) -> None:
        """End the decoder process; calling twice does no harm."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _begin(self, child: DecoderChild, structure: Structure) -> None:
        try:
            message = child.receive()
        except ChildGone as gone:
            raise _refusal_of_death(gone) from gone
        if message.kind is wire.Kind.FAIL:
            raise _refusal(message.payload, structure, self.limits)
        try:
            if message.kind is not wire.Kind.INFO:
                raise ValueError(f"it began with {message.kind.name}")
            self._info = _read_info(message.payload, structure, self.limits)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise MediaCrashedError(f"the decoder process described the clip with nonsense: {error}") from error
        if not message.payload.get("walled"):
            LOG.warning("decoder process has resource limits only, no system call filter on this machine")
        self._timeline = Timeline(self._info.time_base, self._info.rate_hz)
        child.open_ring(self._info.height, self._info.width)

    def _accept(self, child: DecoderChild, message: Message) -> Frame | None:
        """Place a picture in time; None when the clip has become too long."""
        image = child.take_picture(message.slot)
        pts_ns = self._timeline.place(message.stamp)
        if pts_ns > self.limits.duration_s * NS:
            self._tally.stopped = "limit_duration"
            return None
        self._tally.frames += 1
        self._tally.corrupt_frames += message.corrupt
        return Frame(self._tally.frames - 1, pts_ns, image)

    def _finish(self, message: Message) -> None:
        counters = message.payload
        self._tally.counters = {name: value for name, value in counters.items() if isinstance(value, int)}
        stopped = counters.get("stopped") if message.kind is wire.Kind.END else counters.get("cause", "crashed")
        self._tally.stopped = STOPPED.get(stopped, "decoder_crashed") if stopped is not None else None


def _look(path: Path) -> Structure:
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "does not exist"
        raise MediaMissingError(f"{path} {what}", hint="give the path of a clip")
    try:
        with path.open("rb") as file:
            return inspect(file)
    except OSError as error:
        raise MediaMissingError(f"{path} cannot be read: {error.strerror}") from error


def _read_info(payload: dict[str, Any], structure: Structure, limits: Limits) -> ClipInfo:
    width, height = int(payload["width"]), int(payload["height"])
    if width <= 0 or height <= 0 or width * height > limits.pixels:
        raise ValueError(f"a picture of {width}x{height} pixels")
    time_base = Fraction(*payload["time_base"])
    if time_base <= 0:
        raise ValueError(f"a time base of {time_base} s")
    rate_hz = standard_rate(Fraction(*payload["rate"])) if payload["rate"] else None
    if rate_hz is not None and not RATE_MIN_HZ <= rate_hz <= limits.rate_hz:
        rate_hz = None
    return ClipInfo(
        width=width,
        height=height,
        rate_hz=rate_hz,
        codec=str(payload["codec"]),
        container=structure.kind.value,
        declared_s=_declared_s(payload, time_base) if structure.declares_length else None,
        declared_frames=int(payload["frames"]) or None,
        rotation_deg=int(payload["rotation"]),
        time_base=time_base,
    )


def _declared_s(payload: dict[str, Any], time_base: Fraction) -> float | None:
    if payload["duration_ticks"]:
        return float(int(payload["duration_ticks"]) * time_base)
    tagged_s = parse_duration_tag(payload["duration_tag"])
    if tagged_s:
        return tagged_s
    return max(0.0, int(payload["container_us"]) / 1e6 - SOUND_SLACK_S) or None if payload["container_us"] else None


def _refusal(payload: dict[str, Any], structure: Structure, limits: Limits) -> MediaError:
    cause, detail = str(payload.get("cause")), str(payload.get("detail"))
    """Turn the child's FAIL message into the error that its cause deserves."""
    if cause == "no_video":
        return MediaNoVideoError(f"the clip has no moving picture: {detail}", hint="check the recorder's video track")
    if cause == "codec":
        return MediaCodecError(f"the picture is coded as {detail}", hint="use H.264, HEVC, AV1, VP9, VP8 or MPEG-4")
    if cause == "pixels":
        return MediaLimitError(f"{detail}, the limit is {limits.pixels}", hint="record at 4K or less")
    if cause == "rate":
        return MediaLimitError(f"{detail}, the limit is {limits.rate_hz}", hint="record at 15 to 60 frames per second")
    if cause == "memory":
        ram = f"{limits.ram_bytes / 2**20:.0f} MiB"
        return MediaLimitError(f"decoding needs more memory than the {ram} allowed", hint="record smaller pictures")
    if cause == "forbidden":
        return MediaCrashedError(f"decoding tried what it may not: {detail}", hint="treat the file as hostile")
    if structure.truncated:
        return MediaTruncatedError(f"the file ends before its first whole picture: {detail}", hint=RECORD_HINT)
    return MediaCorruptError(f"no picture can be decoded: {detail}", hint="upload the clip again")


def _refusal_of_death(gone: ChildGone) -> MediaError:
    if gone.reason == "limit_wall":
        return MediaTimeoutError(
            f"{gone.detail} before the first picture", hint="raise wall_s, or look at the machine's load"
        )
    if gone.reason.startswith("limit_"):
        return MediaLimitError(f"{gone.detail} before the first picture")
    return MediaCrashedError(f"{gone.detail} before the first picture", hint="treat the file as hostile")
