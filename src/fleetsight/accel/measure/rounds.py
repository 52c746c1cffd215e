"""Several measured processes that take turns, so that ratios hold on a machine that is never quite quiet.

Every subject gets a child process (`child`) that stays open. In each round each child measures for a moment while the others
wait; a ratio is taken within a round and the median over rounds is told, with its spread. What disturbs one round disturbs
both sides of its ratios.
"""

import json
import selectors
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from fleetsight.accel.measure.latency import MeasureError

OPEN_WAIT_S = 900.0
"""Longest wait for a child to open and warm up: a large detector on an ahead-of-time target takes minutes to load."""

ANSWER_WAIT_S = 900.0
"""Longest wait for one measurement."""

CLOSE_WAIT_S = 20.0

COMMAND = (sys.executable, "-m", "fleetsight.accel.measure.child")


class ChildError(MeasureError):
    """A measuring process failed."""

    code = "measure_child"


class Child:
    """A process that measures one thing.

    Args:
        request: what it opens (`child.opened`).
        command: how it is started.

    Attributes:
        ready: what it answered when it was open.
    """

    def __init__(self, request: Mapping[str, Any], *, command: Sequence[str] = COMMAND) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ready: dict[str, Any] = {}
        try:
            self.ready = self.ask(request, wait_s=OPEN_WAIT_S)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Mapping[str, Any], *, wait_s: float = ANSWER_WAIT_S) -> dict[str, Any]:
        """Let it measure.

        Args:
            request: one object.
            wait_s: longest wait.

        Returns:
            its answer.

        Raises:
            ChildError: it refused, died or took too long.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(wait_s):
                self._process.kill()
                raise ChildError(f"a measuring process gave no answer for {wait_s:.0f} s and was ended")
        line = stdout.readline()
        if not line:
            raise self._died()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildError(answer["error"]["message"], hint=answer["error"]["hint"])
        return answer

    def close(self) -> None:
        """End the process; a second call does nothing."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(CLOSE_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _died(self) -> ChildError:
        code = self._process.wait()
        hint = "it ran out of memory, or the machine ended it" if code == -9 else "its last words are on standard error"
        return ChildError(f"a measuring process ended with exit code {code}", hint=hint)


@dataclass(frozen=True)
class Turns:
    """What one subject measured over all rounds.

    Attributes:
        ready: answer to opening.
        turns: one answer for each round, in order.
    """

    ready: Mapping[str, Any]
    turns: tuple[Mapping[str, Any], ...]

    def middle(self, *path: str) -> float:
        """Median over the rounds.

        Args:
            *path: names that lead to the figure.

        Returns:
            the median.
        """
        return statistics.median(self.values(*path))

    def values(self, *path: str) -> list[float]:
        """A figure of each round.

        Args:
            *path: names that lead to the figure.

        Returns:
            one number for each round.
        """
        found: list[float] = []
        for turn in self.turns:
            value: Any = turn
            for name in path:
                value = value[name]
            found.append(float(value))
        return found


def take_turns(
    children: Mapping[str, Child], request: Mapping[str, Any], *, rounds: int
) -> dict[str, Turns | ChildError]:
    """Let open children measure in turns: A B C, A B C, ...

    Args:
        children: by name.
        request: what each of them measures in its turn.
        rounds: how often, >= 1.

    Returns:
        what each measured; the error of one that failed, which then takes no further part.
    """
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in children}
    failed: dict[str, ChildError] = {}
    for _ in range(rounds):
        for name, child in children.items():
            if name in failed:
                continue
            try:
                answers[name].append(child.ask(request))
            except ChildError as error:
                failed[name] = error
    return {
        name: failed[name] if name in failed else Turns(ready=child.ready, turns=tuple(answers[name]))
        for name, child in children.items()
    }


def open_all(requests: Mapping[str, Mapping[str, Any]], stack: ExitStack) -> dict[str, Child | ChildError]:
    """Open children one after the other.

    Args:
        requests: what each opens, by name.
        stack: closes them.

    Returns:
        the child, or why it could not be opened.
    """
    opened: dict[str, Child | ChildError] = {}
    for name, request in requests.items():
        try:
            opened[name] = stack.enter_context(Child(request))
        except ChildError as error:
            opened[name] = error
    return opened


def ratios(of: Turns, to: Turns, *path: str) -> list[float]:
    """A figure of one subject over that of another, within each round.

    Args:
        of: above the line.
        to: below the line.
        *path: names that lead to the figure.

    Returns:
        one ratio for each round.
    """
    return [above / below for above, below in zip(of.values(*path), to.values(*path), strict=True) if below > 0.0]
