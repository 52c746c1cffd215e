"""The closed loop over a grid: threads of the server by threads of the client.

Each row starts the server anew with another number of threads, where the caller says how; else there is one row, the server as it is.
Cells are named server-client, such as "2-8".
"""

import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from fleetsight.serve.load.curve import CurvePoint, summarise
from fleetsight.serve.load.line import Target
from fleetsight.serve.load.shots import LoadError
from fleetsight.serve.load.trial import Gun, LoadPlan

SIDE_MAX = 32
"""Most rows, and most columns, of a grid."""

THREADS_MAX = 1024

READY_S = 60.0
"""How long a server may take until it accepts connections; it loads and warms up its model."""

END_S = 10.0
"""How long a server may take to end before it is killed."""


@dataclass(frozen=True)
class Cell:
    """One cell of the grid.

    Attributes:
        server: threads of the server; 0 for the server as it is.
        client: patient callers.
        point: what came back.
    """

    server: int
    client: int
    point: CurvePoint

    @property
    def label(self) -> str:
        """Server-client, such as "2-8"."""
        return f"{self.server or 'as is'}-{self.client}"

    def as_row(self) -> dict[str, Any]:
        """The cell for a JSON file."""
        return {"label": self.label, "server": self.server, "client": self.client, **self.point.as_row()}


def run_grid(
    gun: Gun,
    plan: LoadPlan,
    *,
    sides: tuple[Sequence[int], Sequence[int]],
    started: Callable[[int], AbstractContextManager[object]] = nullcontext,
    told: Callable[[str], None] = lambda _line: None,
) -> tuple[Cell, ...]:
    """Measure each cell.

    Args:
        gun: sends the requests.
        plan: length of the runs and the deadline.
        sides: threads of the server (0 for the server as it is), and of the client.
        started: runs the server with a number of threads while the row is measured.
        told: hears one line for each cell.

    Returns:
        the cells, row by row.
    """
    cells = []
    for server in sides[0]:
        with started(server):
            for client in sides[1]:
                shots = gun.closed_loop(client, plan.warm_up_s + plan.duration_s).after(plan.warm_up_s)
                cell = Cell(server, client, summarise(shots, slo_ms=plan.slo_ms, window_s=plan.duration_s))
                told(f"{cell.label}: {cell.point.answered_hz:.1f} Hz, p99 {cell.point.p99_ms or float('nan'):.1f} ms")
                cells.append(cell)
    return tuple(cells)


def parse_sides(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Read the sides of a grid.

    Args:
        text: threads of the server, an x, those of the client, such as "1,2x1,2,4,8"; without the x only those of the client.

    Returns:
        both sides; (0,) for a server as it is.

    Raises:
        LoadError: anything else.
    """
    number = r"[1-9][0-9]{0,3}"
    if re.fullmatch(rf"({number}(,{number})*x)?{number}(,{number})*", text) is None:
        raise LoadError(
            f"{text!r} is not a grid", hint="such as 1,2x1,2,4,8: threads of the server x those of the client"
        )
    server, _, client = text.rpartition("x")
    rows = tuple(int(part) for part in server.split(",")) if server else (0,)
    columns = tuple(int(part) for part in client.split(","))
    if max(len(rows), len(columns)) > SIDE_MAX or max(*rows, *columns) > THREADS_MAX:
        raise LoadError(f"the grid {text!r} is too large", hint=f"at most {SIDE_MAX} numbers of at most {THREADS_MAX}")
    return rows, columns


@contextmanager
def server_running(command: str, threads: int, *, target: Target, ready_s: float = READY_S) -> Iterator[None]:
    """Run a server while a row is measured.

    Args:
        command: how to start it; "{threads}" stands for the number.
        threads: the number.
        target: where it will listen.
        ready_s: how long it may take until it accepts connections.

    Yields:
        nothing; the server accepts connections.

    Raises:
        LoadError: it does not come up.
    """
    if "{threads}" not in command:
        raise LoadError(
            f"the command {command!r} does not say {{threads}}", hint="it is replaced by the number of threads"
        )
    if _accepts(target):
        raise LoadError(
            f"something already listens on {target.host}:{target.port}", hint="stop it; the grid starts its own"
        )
    words = [word.replace("{threads}", str(threads)) for word in shlex.split(command)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + ready_s
            while not _accepts(target):
                if process.poll() is not None or time.monotonic() > until:
                    raise LoadError(f"{words[0]} with {threads} threads does not listen on {target.host}:{target.port}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _accepts(target: Target) -> bool:
    try:
        with socket.create_connection((target.host, target.port), timeout=1.0):
            return True
    except OSError:
        return False
