"""Keeps the processes of an installation alive: starts them, starts the dead again, ends them in order.

A child that dies is started again at once; one that keeps dying waits longer each time, so that a broken installation does not
burn a core. The children hold one end of a pipe (their stdin) and end when the supervisor is gone, however it went: two
processes with the same executor name must never run at once (see `fleetsight.store.jobs`).
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOG = logging.getLogger(__name__)

STEADY_S = 10.0
"""A child that lived this long starts without delay when it dies."""
DELAYS_S = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Before each start after a short life; the last one is repeated for ever. An operator sees the log, a restart cures most."""
GRACE_S = 10.0
"""What children have to finish what they do, between SIGTERM and SIGKILL."""
LOOK_S = 0.05


@dataclass(frozen=True)
class ChildPlan:
    """A process that shall run.

    Attributes:
        name: for logs; each plan has its own.
        command: program and arguments.
        environ: its whole environment.
        nice: added to the priority number; 10 lets others go first.
        descriptors: open files that it inherits.
        log: file that its stderr is added to; ours when None.
        may_finish: ending with status 0 is its end; otherwise whoever ends is started again.
        hear: gets each line that it prints, in a thread of its own; what it prints is talk on our stderr when None.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    nice: int = 0
    descriptors: tuple[int, ...] = ()
    log: Path | None = None
    may_finish: bool = False
    hear: Callable[[bytes], None] | None = None


@dataclass
class _Child:
    plan: ChildPlan
    process: "subprocess.Popen[bytes] | None" = None
    started_s: float = 0.0
    start_at_s: float = 0.0
    short_lives: int = 0
    deaths: int = 0
    finished: bool = False


@dataclass
class Supervisor:
    """Runs children until it is told to stop.

    Attributes:
        plans: in the order in which they are started; ended in the opposite order.
        seconds: a clock that never steps back.
    """

    plans: Sequence[ChildPlan]
    seconds: Callable[[], float] = time.monotonic
    _children: list[_Child] = field(default_factory=list, init=False)

    def start(self) -> None:
        """Start every child."""
        for plan in self.plans:
            self.add(plan)

    def add(self, plan: ChildPlan) -> None:
        """Start one child more.

        Args:
            plan: of the child.
        """
        child = _Child(plan)
        self._children.append(child)
        self._launch(child)

    def run(self, stop: threading.Event) -> None:
        """Start the children, tend them until told to stop, and end them.

        Args:
            stop: set by a signal handler or another thread.
        """
        self.start()
        try:
            while not stop.wait(LOOK_S):
                self.tend()
        finally:
            self.end()

    def tend(self) -> None:
        """Look once: note who died, start who is due."""
        now_s = self.seconds()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._bury(child, now_s)
            if child.process is None and not child.finished and now_s >= child.start_at_s:
                self._launch(child)

    def end(self) -> None:
        """Ask the children to end, last started first, and kill those that do not."""
        for child in reversed(self._children):
            if child.process is not None:
                child.process.terminate()
        limit_s = self.seconds() + GRACE_S
        for child in reversed(self._children):
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, limit_s - self.seconds()))
            except subprocess.TimeoutExpired:
                LOG.warning("child killed name=%s reason=%s", child.plan.name, f"did not end within {GRACE_S:.0f} s")
                child.process.kill()
                child.process.wait()
            _close(child.process)
            child.process = None

    def kill(self, name: str) -> bool:
        """Kill a child without warning, as a fault would; it is started again.

        Args:
            name: of its plan.
        Returns:
            whether it ran.
        """
        for child in self._children:
            if child.plan.name == name and child.process is not None and child.process.poll() is None:
                child.process.kill()
                return True
        return False

    def finished(self, name: str) -> bool:
        """Whether a child that may finish has done so.

        Args:
            name: of its plan.
        Returns:
            True when it ended with status 0.
        """
        return any(child.finished for child in self._children if child.plan.name == name)

    def deaths(self) -> dict[str, int]:
        """How often each child ended by itself or was killed.

        Returns:
            counts by name.
        """
        return {child.plan.name: child.deaths for child in self._children}

    def _launch(self, child: _Child) -> None:
        plan = child.plan
        command = [*(("nice", "-n", str(plan.nice)) if plan.nice else ()), *plan.command]
        with plan.log.open("ab") if plan.log is not None else contextlib.nullcontext(sys.stderr) as talk:
            child.process = subprocess.Popen(
                command,
                env=dict(plan.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if plan.hear else talk.fileno(),  # our own stdout is for data
                stderr=talk.fileno(),
                pass_fds=plan.descriptors,
                start_new_session=True,  # Ctrl-C reaches the supervisor, who ends the children in order
            )
        if plan.hear is not None:
            threading.Thread(target=_listen, args=(child.process, plan.hear), name=plan.name, daemon=True).start()
        child.started_s = self.seconds()
        LOG.info("child started name=%s pid=%d", plan.name, child.process.pid)

    def _bury(self, child: _Child, now_s: float) -> None:
        if child.process is None:
            return
        _close(child.process)
        if child.plan.may_finish and child.process.returncode == 0:
            LOG.info("child finished name=%s", child.plan.name)
            child.process, child.finished = None, True
            return
        child.deaths += 1
        child.short_lives = 0 if now_s - child.started_s >= STEADY_S else child.short_lives + 1
        # the first death is free: whatever was killed is back at once
        delay_s = DELAYS_S[min(max(child.short_lives - 1, 0), len(DELAYS_S) - 1)]
        child.start_at_s = now_s + delay_s
        LOG.warning(
            "child died name=%s status=%s deaths=%d restart_in_s=%.2f",
            child.plan.name, child.process.returncode, child.deaths, delay_s,
        )  # fmt: skip
        child.process = None


def end_with_supervisor() -> None:
    """Let this process die, at once, when the other end of its stdin closes: the supervisor is gone, perhaps killed."""
    threading.Thread(target=_wait_for_end, name="lifeline", daemon=True).start()


def _wait_for_end() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os.kill(os.getpid(), signal.SIGKILL)


def _listen(process: "subprocess.Popen[bytes]", hear: Callable[[bytes], None]) -> None:
    if process.stdout is not None:
        with process.stdout as lines:
            for line in lines:
                hear(line)


def _close(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
