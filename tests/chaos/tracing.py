"""Faults below the program, by strace: a kill at a sync of the disk, an error from a write."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.service import HELD
from tests.chaos.shop import Shop

SYNCS = "fsync,fdatasync"
WRITES = "pwrite64"
WAIT_S = 30.0


def reason_not_to_trace() -> str:
    """Why no process can be traced here; empty when one can."""
    if shutil.which("strace") is None:
        return "strace is not installed (tools/install_test_services.sh installs it)"
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        tried = subprocess.run(
            ["strace", "-qq", "-e", "trace=none", "-p", str(child.pid)], capture_output=True, timeout=1, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    finally:
        child.kill()
        child.wait()
    return f"tracing is not allowed here: {tried.stderr.decode().strip()}"


def kill_at_sync(number: int) -> str:
    """The first thread that comes to its sync of this number takes the process with it."""
    return f"inject={SYNCS}:signal=KILL:when={number}"


def fail_write(number: int, error: str) -> str:
    """The write of this number of each thread fails, once."""
    return f"inject={WRITES}:error={error}:when={number}"


@dataclass
class TracedShop:
    """A shop whose first life runs under strace."""

    shop: Shop
    fault: str
    tracers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shop.armed = [[(HELD, 1)]]

    def keep_alive(self) -> None:
        """Start the service when it is dead; the first time it is traced before it does anything."""
        before = self.shop.pid
        self.shop.keep_alive()
        if self.shop.pid != before and not self.tracers:
            self._trace(self.shop.pid)

    def end(self) -> None:
        for tracer in self.tracers:
            tracer.terminate()
            tracer.wait(WAIT_S)

    def _trace(self, pid: int) -> None:
        _until(lambda: _state(pid) == "T")
        syscalls = self.fault.removeprefix("inject=").split(":")[0]
        log = (self.shop.folder / "trace").open("wb")
        with log:
            command = ["strace", "-f", "-qq", "-e", f"trace={syscalls}", "-e", self.fault, "-p", str(pid)]
            self.tracers.append(subprocess.Popen(command, stdout=log, stderr=log))
        _until(lambda: _tracer(pid) == self.tracers[0].pid)
        os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return ""


def _tracer(pid: int) -> int:
    with suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("TracerPid:"):
                return int(line.split()[1])
    return 0


def _until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.005)
