"""The processes of an installation on one machine: one that answers requests, and workers that settle sessions.

The supervisor opens the listening socket and the API process inherits it: while the API restarts, callers wait instead of being
refused.
"""

import contextlib
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fleetsight.fleet.installation import InstallationError
from fleetsight.fleet.processes.supervisor import ChildPlan

API = "api"
BACKLOG = 2048
PROGRAM = (sys.executable, "-m", "fleetsight")


def listen(host: str, port: int) -> socket.socket:
    """Open the socket that the API process will answer on.

    Args:
        host: address or name of an interface of this machine.
        port: 0 takes a free one.
    Returns:
        the listening socket.
    Raises:
        InstallationError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise InstallationError(
            f"cannot listen on {host} port {port}: {error.strerror}", hint="choose another with FLEETSIGHT_PORT"
        ) from error
    return listening


def service_plans(
    environ: Mapping[str, str], listening: socket.socket, *, workers: int, logs: Path | None = None
) -> list[ChildPlan]:
    """The children of `fleetsight serve`.

    Args:
        environ: of every child; says which installation it is.
        listening: as `listen` opens it.
        workers: how many, >= 0.
        logs: folder with a log for each child; None for the stderr of this process.
    Returns:
        one plan for the API and one for each worker.
    """
    serve = (*PROGRAM, "serve", "--supervised")
    descriptor = listening.fileno()
    api = ChildPlan(API, (*serve, "--only", API, "--listen-fd", str(descriptor)), environ, descriptors=(descriptor,))
    plans = [api, *(worker_plan(environ, number) for number in range(workers))]
    return [replace(plan, log=logs / f"{plan.name}.log" if logs else None) for plan in plans]


def worker_plan(environ: Mapping[str, str], number: int) -> ChildPlan:
    """One worker, as urgent as the API.

    It holds locks of the database that an unlock may wait for. The child in which it looks at video gives way to both.

    Args:
        environ: says which installation it is.
        number: its own.
    Returns:
        the plan.
    """
    command = (*PROGRAM, "serve", "--supervised", "--only", "worker", "--number", str(number))
    return ChildPlan(f"worker-{number}", command, environ)


def inherited(descriptor: int) -> socket.socket:
    """The supervisor's socket, in the child.

    Args:
        descriptor: its number.
    Returns:
        the listening socket.
    Raises:
        InstallationError: no such descriptor.
    """
    with contextlib.suppress(OSError):
        return socket.socket(fileno=descriptor)
    raise InstallationError(f"there is no open socket {descriptor}", hint="leave --listen-fd to the supervisor")
