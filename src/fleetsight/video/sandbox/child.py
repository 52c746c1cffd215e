"""The parent's handle on the decoder process: start it, read its messages within a deadline, end it.

The only module that knows about processes, pipes and shared memory. The ring of pictures is an anonymous file that the parent
sizes and seals, because the child may neither grow a file (RLIMIT_FSIZE 0) nor shrink this one (the parent would die of SIGBUS).
"""

import fcntl
import json
import mmap
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fleetsight.video.container import Kind
from fleetsight.video.sandbox import wire
from fleetsight.vision.image import Image

RING_BYTES = 64 * 1024 * 1024  # shared by parent and child; a 4K picture has 25 MB
SLOTS_MIN, SLOTS_MAX = 2, 8  # two let the child decode while the parent copies; more than eight only leave the cache
BOOT = "import json,sys; sys.path[:] = json.loads(sys.argv[1])['sys_path']; from fleetsight.video.sandbox.worker import main; main()"
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one clip may cost: memory, time and descriptors of the decoder process, then size, rate and length of the clip.

    Attributes:
        ram_bytes: address space of the child; about 300 MB of it are libraries.
        cpu_s: processor seconds of the child.
        wall_s: seconds the parent waits for the child, summed over the clip; time the caller spends on a picture is free.
        pixels: width × height of a picture (8.3 million: 4K UHD is 3840 × 2160 = 8,294,400).
        rate_hz: frames per second, measured on the first packets.
        open_files: descriptors of the child.
        frames: pictures per clip (20 minutes at 30 frames/s).
        duration_s: presentation time per clip.
    """

    ram_bytes: int = 1024**3
    cpu_s: int = 60
    wall_s: float = 120.0
    pixels: int = 8_300_000
    rate_hz: int = 120
    open_files: int = 16
    frames: int = 36_000
    duration_s: float = 1200.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the child; ``payload`` is empty for a FRAME."""

    kind: wire.Kind
    slot: int
    stamp: int | None
    corrupt: bool
    payload: dict[str, Any]


class ChildGone(Exception):  # noqa: N818 - an outcome that the reader turns into a summary or a MediaError
    """No more messages will come.

    Args:
        reason: "limit_cpu", "limit_wall", "limit_memory" or "decoder_crashed".
        detail: for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class DecoderChild:
    """A running decoder process and the ring it fills.

    Args:
        path: the clip.
        kind: its container, which forces the demuxer.
        limits: what the process may use.
    """

    def __init__(self, path: Path, kind: Kind, limits: Limits) -> None:
        source_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._left_s = limits.wall_s
        self._buffer = bytearray()
        self._memory: mmap.mmap | None = None
        self._slots: NDArray[np.uint8] | None = None
        self._out_fd, child_out = os.pipe()
        child_in, self._in_fd = os.pipe()
        self._talk_fd, child_talk = os.pipe()
        os.set_blocking(child_talk, False)  # a child that talks too much loses words, not time
        self._ring_fd = os.memfd_create("fleetsight-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        lent = (source_fd, child_out, child_in, child_talk)
        config = {
            "sys_path": [str(Path(entry).absolute()) for entry in sys.path],
            "source_fd": source_fd, "out_fd": child_out, "in_fd": child_in, "ring_fd": self._ring_fd,
            "demuxer": kind.value, "limits": asdict(limits),
        }  # fmt: skip
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", BOOT, json.dumps(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=child_talk,
                pass_fds=(*lent, self._ring_fd),
                env=ENVIRONMENT,
                cwd="/",
            )
        except BaseException:
            self._close_descriptors()
            raise
        finally:
            for fd in lent:
                os.close(fd)
        self._poll = select.poll()
        self._poll.register(self._out_fd, select.POLLIN | select.POLLHUP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def receive(self) -> Message:
        """Wait for the next message.

        Returns:
            The message; END and FAIL are the last ones.
        Raises:
            ChildGone: the process ended without saying so, broke the protocol, or used up its wall time.
        """
        kind, flags, slot, length, stamp = wire.HEADER.unpack(self._take(wire.HEADER.size))
        try:
            payload = json.loads(self._take(length)) if length else {}
            return Message(
                wire.Kind(kind), slot, stamp if flags & wire.HAS_STAMP else None, bool(flags & wire.CORRUPT), payload
            )
        except ValueError as error:
            raise ChildGone("decoder_crashed", f"the decoder process sent nonsense: {error}") from error

    def open_ring(self, height: int, width: int) -> None:
        """Size the ring for pictures of (height, width) and tell the child that it may begin."""
        count = max(SLOTS_MIN, min(SLOTS_MAX, RING_BYTES // (height * width * 3)))
        size = count * height * width * 3
        os.ftruncate(self._ring_fd, size)
        fcntl.fcntl(self._ring_fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self._memory = mmap.mmap(self._ring_fd, size, prot=mmap.PROT_READ)
        self._slots = np.frombuffer(self._memory, np.uint8).reshape(count, height, width, 3)
        self._say(wire.RING.pack(count))

    def take_picture(self, slot: int) -> Image:
        """Copy a picture out of the ring and give its slot back.

        Args:
            slot: as a FRAME message names it.
        Returns:
            (h, w, 3) uint8 RGB, the caller's own.
        Raises:
            ChildGone: there is no such slot.
        """
        if self._slots is None or slot >= len(self._slots):
            raise ChildGone("decoder_crashed", f"the decoder process named slot {slot}, which does not exist")
        image: Image = self._slots[slot].copy()
        self._say(bytes((slot,)))
        return image

    def close(self) -> None:
        """End the process, if it still runs, and free everything; calling twice does no harm."""
        if self._out_fd < 0:
            return
        self._process.kill()
        self._process.wait()
        self._close_descriptors()
        self._slots = None
        if self._memory is not None:
            self._memory.close()

    def _close_descriptors(self) -> None:
        for fd in (self._out_fd, self._in_fd, self._talk_fd, self._ring_fd):
            os.close(fd)
        self._out_fd = -1

    def _say(self, data: bytes) -> None:
        try:
            os.write(self._in_fd, data)
        except BrokenPipeError:
            return  # it has ended; the messages it left are still to be read

    def _take(self, size: int) -> bytes:
        if size > wire.PAYLOAD_MAX_BYTES:
            raise ChildGone("decoder_crashed", f"the decoder process announced {size} bytes")
        while len(self._buffer) < size:
            self._buffer += self._read()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _read(self) -> bytes:
        begin = time.monotonic()
        ready = self._poll.poll(max(0.0, self._left_s) * 1000)
        self._left_s -= time.monotonic() - begin
        if not ready:
            raise ChildGone("limit_wall", "the decoder process took too long")
        data = os.read(self._out_fd, 65_536)
        if not data:
            raise self._cause_of_death()
        return data

    def _cause_of_death(self) -> ChildGone:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return ChildGone("decoder_crashed", "the decoder process closed its pipe and lives on")
        if code == -signal.SIGXCPU:
            return ChildGone("limit_cpu", "the decoder process used up its processor time")
        if code == -signal.SIGKILL:
            return ChildGone(
                "limit_memory", "the decoder process was killed, as a rule by the kernel for want of memory"
            )
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return ChildGone("decoder_crashed", f"the decoder process ended with {name} {self._last_words()}".rstrip())

    def _last_words(self) -> str:
        poll = select.poll()
        poll.register(self._talk_fd, select.POLLIN)
        words = os.read(self._talk_fd, 65_536).decode(errors="replace").strip() if poll.poll(0) else ""
        return repr(words.splitlines()[-1][:200]) if words else ""
