"""Inside the decoder process: what went wrong, told apart.

libav reports want of memory as damaged data, often without a word. So its complaints are counted and searched, and when data seems
damaged the peak of the address space is compared with its limit: where the next picture would not have fitted, memory it was.
"""

import errno
import logging
import os
import re

import av.logging

ERRORS_KEPT = 5
MEMORY_WORDS = ("cannot allocate", "get_buffer() failed", "out of memory", "failed to allocate")
HEADROOM_BYTES = 32 * 1024 * 1024  # besides pictures: tables and packets, which grow with them


class Diagnosis:
    """Listens to libav and watches the memory; made before the process is locked in.

    Args:
        ram_bytes: the limit of the address space.
    """

    def __init__(self, ram_bytes: int) -> None:
        self.complaints = 0
        self.lines: list[str] = []
        self._ram_bytes = ram_bytes
        self._memory_complaints = 0
        self._status_fd = os.open("/proc/self/status", os.O_RDONLY)
        av.logging.set_level(av.logging.ERROR)
        logger = logging.getLogger("libav")
        logger.addHandler(_Ear(self))
        logger.propagate = False
        logging.raiseExceptions = False

    def hear(self, line: str) -> None:
        """Take in a complaint of libav."""
        self.complaints += 1
        self._memory_complaints += any(word in line.lower() for word in MEMORY_WORDS)
        if len(self.lines) < ERRORS_KEPT:
            self.lines.append(line[:200])

    def lacked_memory(self, pixels: int) -> bool:
        """Whether damage is really want of memory, for a stream of so many pixels per picture."""
        if self._memory_complaints:
            return True
        peak = re.search(rb"VmPeak:\s*(\d+) kB", os.pread(self._status_fd, 4096, 0))
        free_bytes = self._ram_bytes - int(peak[1]) * 1024 if peak else self._ram_bytes
        return free_bytes < 3 * pixels + HEADROOM_BYTES  # planar pictures take 1.5 to 3 bytes per pixel

    def cause(self, error: Exception | None, pixels: int) -> str:
        """Name the cause of a failure: "memory", "forbidden" or "corrupt"."""
        if (
            isinstance(error, MemoryError)
            or getattr(error, "errno", None) == errno.ENOMEM
            or self.lacked_memory(pixels)
        ):
            return "memory"
        return "forbidden" if isinstance(error, PermissionError) else "corrupt"


class _Ear(logging.Handler):
    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(logging.ERROR)
        self._diagnosis = diagnosis

    def emit(self, record: logging.LogRecord) -> None:
        self._diagnosis.hear(f"{record.name}: {record.getMessage()}")
