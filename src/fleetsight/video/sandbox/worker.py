"""The decoder process: one file in, upright RGB pictures and raw time stamps out.

Runs only as a child of ``fleetsight.video.decode``; imports av and numpy, then locks itself in (``walls``) and only then looks
at the clip. Everything that depends on the file happens here, everything that is promised to users (times, summary, errors) in
the parent. Errors of single packets are counted and decoding goes on; the first picture decides the size of all others.
"""

import io
import json
import mmap
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.subtitles.codeccontext  # av imports these while opening a file, when files can no longer be opened
import av.subtitles.stream
import av.subtitles.subtitle
import numpy as np
from av.codec import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fleetsight.video.sandbox import walls, wire
from fleetsight.video.sandbox.diagnosis import Diagnosis

if TYPE_CHECKING:
    VideoPacket = Packet[VideoStream]  # generic for the type checker only
else:
    VideoPacket = Packet

CODECS = ("h264", "hevc", "av1", "vp9", "vp8", "mpeg4")
DEMUXERS = "mov,mp4,matroska,webm,mpegts"
STREAMS_MAX = 32
RATE_WINDOW = 48  # packets looked at before decoding, to measure the true frame rate
BROKEN_READS_MAX = 100  # reads that fail in a row without a packet in between


class RefusalError(Exception):
    """Ends the process with a FAIL message."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


class _Outlet:
    """The child's end of the pipes and of the ring of pictures."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.out_fd: int = config["out_fd"]
        self.in_fd: int = config["in_fd"]
        self.ring_fd: int = config["ring_fd"]
        self.slots: NDArray[np.uint8] = np.zeros((0, 0, 0, 3), np.uint8)
        self.free: list[int] = []

    def send(self, message: bytes) -> None:
        sent = 0
        while sent < len(message):
            sent += os.write(self.out_fd, message[sent:])

    def fail(self, cause: str, detail: str, *, log: list[str]) -> None:
        """Send the last message of a process that has nothing to show."""
        self.send(wire.pack(wire.Kind.FAIL, {"cause": cause, "detail": detail[:500], "log": log}))

    def map_ring(self, height: int, width: int) -> None:
        """Wait for the parent's ring and use it for pictures of (height, width)."""
        (count,) = wire.RING.unpack(self._read(wire.RING.size))
        memory = mmap.mmap(self.ring_fd, count * height * width * 3)
        self.slots = np.frombuffer(memory, np.uint8).reshape(count, height, width, 3)
        self.free = list(range(count))

    def put(self, pixels: NDArray[np.uint8], stamp: int | None, *, corrupt: bool) -> None:
        """Copy a picture into a free slot, waiting for one, and announce it."""
        if not self.free:
            self.free.extend(self._read(0))
        slot = self.free.pop()
        np.copyto(self.slots[slot], pixels)
        self.send(wire.pack_frame(slot, stamp, corrupt=corrupt))

    def _read(self, exactly: int) -> bytes:
        """Read so many bytes, or with 0 whatever there is; exit when the parent has gone."""
        data = b""
        while not data or len(data) < exactly:
            more = os.read(self.in_fd, (exactly - len(data)) or 4096)
            if not more:
                os._exit(0)
            data += more
        return data


class _Decoding:
    """One pass over the video stream."""

    def __init__(self, container: InputContainer, stream: VideoStream, limits: dict[str, Any]) -> None:
        self.container = container
        self.stream = stream
        self.limits = limits
        self.reformatter = VideoReformatter()
        self.size_wh = (0, 0)
        self.rotation = 0
        self.counts = {
            "packets": 0, "discarded": 0, "corrupt_packets": 0, "failed_packets": 0, "broken_reads": 0, "resized": 0, "frames": 0
        }  # fmt: skip

    def packets(self) -> Iterator[VideoPacket]:
        """Demux to the end, going on after reads that fail."""
        idle = 0
        while idle < BROKEN_READS_MAX:
            try:
                for packet in self.container.demux(self.stream):
                    if packet.size:
                        idle = 0
                        self._note(packet)
                        yield packet
            except av.error.FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise
                self.counts["broken_reads"] += 1
                idle += 1
            else:
                return

    def _note(self, packet: VideoPacket) -> None:
        self.counts["packets"] += 1
        self.counts["discarded"] += packet.is_discard
        self.counts["corrupt_packets"] += packet.is_corrupt

    def frames(self, packets: Iterator[VideoPacket]) -> Iterator[VideoFrame]:
        """Decode packets and flush the decoder; a packet that fails is counted and left out."""
        for packet in chain(packets, (None,)):
            try:
                frames = self.stream.codec_context.decode(packet)
            except EOFError:
                continue
            except av.error.FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise
                self.counts["failed_packets"] += 1
                continue
            for frame in frames:
                if frame.width * frame.height > self.limits["pixels"]:
                    raise RefusalError("pixels", f"a picture has {frame.width}x{frame.height} pixels")
                self.counts["frames"] += 1
                yield frame

    def upright(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Convert to RGB of the first picture's size and turn by the stream's rotation: (h, w, 3), a view of libav's memory."""
        width, height = self.size_wh
        self.counts["resized"] += (frame.width, frame.height) != self.size_wh
        rgb = self.reformatter.reformat(frame, width, height, "rgb24", threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, : width * 3]
        return np.rot90(rows.reshape(height, width, 3), self.rotation // 90)


def main() -> None:
    """Run the process; the configuration is the last argument, as JSON."""
    config = json.loads(sys.argv[-1])
    limits = config["limits"]
    outlet = _Outlet(config)
    diagnosis = Diagnosis(limits["ram_bytes"])
    walls.limit_resources(ram_bytes=limits["ram_bytes"], cpu_s=limits["cpu_s"], open_files=limits["open_files"])
    walled = walls.forbid_system_calls()
    try:
        counters = _decode(config, outlet, diagnosis, walled=walled)
    except RefusalError as refusal:
        outlet.fail(refusal.cause, refusal.detail, log=diagnosis.lines)
    except (
        av.error.FFmpegError,
        OSError,
        EOFError,
        MemoryError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        outlet.fail(diagnosis.cause(error, 0), f"{type(error).__name__}: {error}", log=diagnosis.lines)
    else:
        outlet.send(wire.pack(wire.Kind.END, counters))


def _decode(config: dict[str, Any], outlet: _Outlet, diagnosis: Diagnosis, *, walled: bool) -> dict[str, Any]:
    limits = config["limits"]
    source = io.FileIO(config["source_fd"], "rb")
    options = {
        "format_whitelist": DEMUXERS, "protocol_whitelist": "file", "max_streams": str(STREAMS_MAX),
        "max_pixels": str(limits["pixels"]), "threads": "1",
    }  # fmt: skip
    with av.open(source, "r", format=config["demuxer"], options=options, metadata_errors="replace") as container:
        stream = _choose_stream(container)
        _refuse_size(stream, limits)
        context = stream.codec_context
        context.thread_count = 1
        context.options = {"max_pixels": str(limits["pixels"]), "err_detect": "crccheck+careful"}
        decoding = _Decoding(container, stream, limits)
        packets = decoding.packets()
        head = list(islice(packets, RATE_WINDOW))
        _refuse_rate(head, stream, limits)
        frames = decoding.frames(chain(head, packets))
        first = next(frames, None)
        pixels = context.width * context.height
        if first is None:
            raise RefusalError(diagnosis.cause(None, pixels), f"no picture in {decoding.counts['packets']} packets")
        stopped = _pump(decoding, first, frames, outlet, walled=walled)
        damaged = decoding.counts["failed_packets"] + diagnosis.complaints > 0
        if damaged and stopped is None and diagnosis.lacked_memory(pixels):
            stopped = "memory"
        return {**decoding.counts, "stopped": stopped, "complaints": diagnosis.complaints, "log": diagnosis.lines}


def _choose_stream(container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
            continue
        context: CodecContext | None = stream.codec_context  # None where libav has no decoder for it
        name = context.codec.canonical_name if context is not None else "unknown to the decoder"
        if name not in CODECS:
            raise RefusalError("codec", name)
        return stream
    raise RefusalError("no_video", f"{len(container.streams)} streams, none of them a moving picture")


def _refuse_size(stream: VideoStream, limits: dict[str, Any]) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits["pixels"]:
        raise RefusalError("pixels", f"the stream is declared as {width}x{height} pixels")


def _refuse_rate(head: list[VideoPacket], stream: VideoStream, limits: dict[str, Any]) -> None:
    ticks = [packet.pts for packet in head if packet.pts is not None]
    if len(ticks) < RATE_WINDOW // 2 or stream.time_base is None:
        return
    span_s = (max(ticks) - min(ticks)) * stream.time_base
    if span_s * limits["rate_hz"] < (len(ticks) - 1) * 0.98:
        rate = f"{float((len(ticks) - 1) / span_s):.6g}" if span_s else "endlessly many"
        raise RefusalError("rate", f"the clip has {rate} frames per second")


def _pump(
    decoding: _Decoding, first: VideoFrame, frames: Iterator[VideoFrame], outlet: _Outlet, *, walled: bool
) -> str | None:
    """Send every picture; returns the cause when a limit ended it early."""
    decoding.size_wh = (first.width, first.height)
    decoding.rotation = round(first.rotation / 90) * 90 % 360
    height, width = (first.height, first.width) if decoding.rotation % 180 == 0 else (first.width, first.height)
    outlet.send(wire.pack(wire.Kind.INFO, _describe(decoding, width, height, walled=walled)))
    outlet.map_ring(height, width)
    try:
        for frame in chain((first,), frames):
            if decoding.counts["frames"] > decoding.limits["frames"]:
                return "frames"
            outlet.put(decoding.upright(frame), frame.pts, corrupt=frame.is_corrupt)
    except MemoryError:
        return "memory"
    except RefusalError as refusal:
        return refusal.cause
    return None


def _describe(decoding: _Decoding, width: int, height: int, *, walled: bool) -> dict[str, Any]:
    stream = decoding.stream
    ticks = stream.duration
    return {
        "width": width, "height": height, "rotation": decoding.rotation, "codec": stream.codec_context.codec.canonical_name,
        "rate": _pair(stream.average_rate), "time_base": _pair(stream.time_base), "frames": stream.frames,
        "duration_ticks": ticks if ticks is not None and ticks > 0 else None, "duration_tag": stream.metadata.get("DURATION"),
        "container_us": decoding.container.duration, "walled": walled,
    }  # fmt: skip


def _pair(value: Fraction | None) -> tuple[int, int] | None:
    return (value.numerator, value.denominator) if value else None
