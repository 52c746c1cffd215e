"""Starts service processes fast: everything is imported once, each process is a fork of it.

``python -m tests.chaos.forge FD`` answers on a socket pair: a start comes with the listening socket, each message is one JSON object.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WAIT_S = 60.0
MESSAGE_BYTES = 1 << 16


class Forge:
    """The test's handle on the process that forks."""

    def __init__(self) -> None:
        self._turn = threading.Lock()  # an order and its answer belong together
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(WAIT_S)
        command = [sys.executable, "-m", "tests.chaos.forge", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        theirs.close()
        self._line.recv(MESSAGE_BYTES)  # it has imported everything

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()
        self._process.wait(WAIT_S)

    def start(
        self, folder: Path, listening: socket.socket, armed: Sequence[tuple[str, int]] = (), *, number: int = 0
    ) -> int:
        """Start a service on a folder; returns its process id."""
        order = {"folder": str(folder), "armed": list(armed), "number": number}
        with self._turn:
            socket.send_fds(self._line, [json.dumps(order).encode()], [listening.fileno()])
            return int(json.loads(self._line.recv(MESSAGE_BYTES))["pid"])

    def status(self, pid: int) -> int | None:
        """How a process ended (as `os.waitstatus_to_exitcode` says); None while it lives."""
        with self._turn:
            self._line.send(json.dumps({"pid": pid}).encode())
            found = json.loads(self._line.recv(MESSAGE_BYTES))["status"]
        return None if found is None else int(found)

    def kill(self, pid: int) -> None:
        """Kill a process, and return when it is gone."""
        if self.status(pid) is None:
            os.kill(pid, signal.SIGKILL)
        limit = time.monotonic() + WAIT_S
        while self.status(pid) is None:
            assert time.monotonic() < limit
            time.sleep(0.002)


def main() -> None:
    from tests.chaos import service  # the slow part, done once

    line = socket.socket(fileno=int(sys.argv[1]))
    ended: dict[int, int] = {}
    line.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(line, MESSAGE_BYTES, 1)
        if not message:
            break
        order = json.loads(message)
        while (found := _reaped()) is not None:
            ended[found[0]] = found[1]
        if "folder" in order:
            pid = os.fork()
            if pid == 0:
                line.close()
                _serve(service, order, descriptors[0])
            os.close(descriptors[0])
            ended.pop(pid, None)  # numbers of processes are used again
            line.send(json.dumps({"pid": pid}).encode())
        else:
            line.send(json.dumps({"status": ended.get(order["pid"])}).encode())


def _reaped() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def _serve(service: Any, order: dict[str, Any], descriptor: int) -> None:
    """The rest of the child's life."""
    folder = Path(order["folder"])
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    armed = [(str(name), int(nth)) for name, nth in order["armed"]]
    try:
        service.run(folder, socket.socket(fileno=descriptor), armed, number=order["number"])
    except BaseException:  # noqa: BLE001 - whatever it is, it belongs into the log of this life
        traceback.print_exc()
    os._exit(70)


if __name__ == "__main__":
    main()
