"""MPEG-TS at the level of its packets: numbering that runs on from segment to segment, and what is left of a torn one.

Each segment is a file of its own with tables of its own, so that any of them can be played alone. A muxer numbers the packets of each file
from 0; a player that reads the files as one stream takes that for lost packets. `PacketFile` renumbers while it writes, so the bytes of
all segments in order are one stream without a seam. Fields are named after ISO/IEC 13818-1, 2.4.3.
"""

import io
from dataclasses import dataclass
from pathlib import Path

PACKET_BYTES = 188
SYNC = 0x47
NULL_PID = 0x1FFF  # numbers of null packets mean nothing
VIDEO_PID = 0x100  # libav's first stream
TICK_HZ = 90_000
PTS_SPAN = 1 << 33
STREAM_ID_VIDEO = 0xE0


class PacketFile(io.RawIOBase):
    """A file that a muxer writes transport packets to; every write reaches the operating system before it returns.

    Args:
        path: made or emptied.
        counters: last number by PID; continued and kept up to date.
    """

    def __init__(self, path: Path, counters: dict[int, int]) -> None:
        super().__init__()
        self._file = path.open("wb", buffering=0)
        self._counters = counters
        self._rest = b""

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        """Take bytes from the muxer.

        Args:
            data: any number of bytes; whole packets are written, the rest waits for the next call.
        Returns:
            the length of data.
        """
        pending = self._rest + bytes(data)
        whole = len(pending) - len(pending) % PACKET_BYTES
        packets = bytearray(pending[:whole])
        for start in range(0, whole, PACKET_BYTES):
            self._renumber(packets, start)
        place = 0
        while place < whole:
            place += self._file.write(memoryview(packets)[place:])
        self._rest = pending[whole:]
        return len(data)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _renumber(self, packets: bytearray, start: int) -> None:
        pid = _pid(packets, start)
        if pid == NULL_PID:
            return
        has_payload = bool(packets[start + 3] & 0x10)  # adaptation_field_control; only payload counts (2.4.3.3)
        number = (self._counters.get(pid, 15) + has_payload) % 16
        self._counters[pid] = number
        packets[start + 3] = (packets[start + 3] & 0xF0) | number


def last_numbers(path: Path) -> dict[int, int]:
    """The last continuity number of each PID in a file, to go on from.

    Args:
        path: a whole segment.
    Returns:
        number by PID.
    """
    data = path.read_bytes()
    return {_pid(data, start): data[start + 3] & 0x0F for start in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES)}


@dataclass(frozen=True, slots=True)
class Remains:
    """What can be used of a torn segment.

    Attributes:
        length: bytes from the start.
        ticks: presentation times of its frames, 1/90000 s, of the first frame 0, in the order of the file.
    """

    length: int
    ticks: tuple[int, ...]


def remains_of(path: Path) -> Remains | None:
    """Find the whole pictures at the start of a file that was being written when the power went.

    The last picture begun is left out: nobody can tell whether its end arrived. The segments have no reordered pictures, so the order
    of the file is the order of time.

    Args:
        path: written by `PacketFile`.
    Returns:
        what can be used, or None when that is no whole picture.
    """
    data = path.read_bytes()
    begins: list[tuple[int, int]] = []
    end = 0
    while end + PACKET_BYTES <= len(data) and data[end] == SYNC:
        if _pid(data, end) == VIDEO_PID and data[end + 1] & 0x40:  # payload_unit_start_indicator
            pts = _pts(data[end : end + PACKET_BYTES])
            if pts is None:
                break
            begins.append((end, pts))
        end += PACKET_BYTES
    if len(begins) < 2:
        return None
    first = begins[0][1]
    return Remains(begins[-1][0], tuple((pts - first) % PTS_SPAN for _, pts in begins[:-1]))


def _pid(data: bytes | bytearray, start: int) -> int:
    return (data[start + 1] & 0x1F) << 8 | data[start + 2]


def _pts(packet: bytes) -> int | None:
    """The presentation time of the picture that begins in a packet (2.4.3.7), or None when there is none."""
    payload = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    header = packet[payload : payload + 14]
    if len(header) < 14 or header[:3] != b"\x00\x00\x01" or not header[7] & 0x80:
        return None
    time = header[9:14]
    return (time[0] >> 1 & 7) << 30 | time[1] << 22 | (time[2] >> 1) << 15 | time[3] << 7 | time[4] >> 1
