"""Contenders in clean processes of their own, measured in turn: one runs while the others wait for their next order.

A contender is a process that reads one JSON order per line, {"task": NAME, "runs": N}, and answers {"seconds": [...]}.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Times = dict[str, dict[str, list[float]]]
"""Contender -> task -> seconds of every measured run."""


def serve(tasks: Mapping[str, Callable[[], Any]]) -> None:
    """Be a contender: warm every task up once it is asked for, then time it.

    Args:
        tasks: what can be asked for.
    """
    warm: set[str] = set()
    print(json.dumps({"ready": sorted(tasks)}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        task = tasks[order["task"]]
        if order["task"] not in warm:
            task()
            task()
            warm.add(order["task"])
        seconds = []
        for _ in range(order["runs"]):
            began = time.perf_counter()
            task()
            seconds.append(time.perf_counter() - began)
        print(json.dumps({"seconds": seconds}), flush=True)


def race(commands: Mapping[str, Sequence[str]], tasks: Sequence[str], *, rounds: int, runs: int) -> Times:
    """Measure every contender on every task it knows, in turn.

    Args:
        commands: how each contender is started.
        tasks: in the order of measuring.
        rounds: how often everybody's turn comes.
        runs: runs per turn.

    Returns:
        all times.
    """
    contenders: dict[str, subprocess.Popen[str]] = {}
    times: Times = {}
    try:
        known: dict[str, list[str]] = {}
        for name, command in commands.items():
            print(f"starting {name}", file=sys.stderr, flush=True)
            contenders[name] = subprocess.Popen(
                [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            known[name] = _answer(contenders[name], name)["ready"]
            times[name] = {task: [] for task in tasks if task in known[name]}
        for turn in range(rounds):
            for task in tasks:
                for name, process in contenders.items():
                    if task in times[name]:
                        assert process.stdin is not None
                        process.stdin.write(json.dumps({"task": task, "runs": runs}) + "\n")
                        process.stdin.flush()
                        times[name][task] += _answer(process, name)["seconds"]
            print(f"round {turn + 1} of {rounds} done", file=sys.stderr, flush=True)
    finally:
        for process in contenders.values():
            if process.stdin is not None:
                process.stdin.close()
            process.wait(timeout=60)
    return times


def middle_ms(seconds: Sequence[float]) -> float:
    """Median in milliseconds."""
    return 1000.0 * statistics.median(seconds)


def spread_ms(seconds: Sequence[float]) -> str:
    """Median and range for a table."""
    return f"{middle_ms(seconds):.1f} ({1000 * min(seconds):.1f} to {1000 * max(seconds):.1f})"


def _answer(process: "subprocess.Popen[str]", name: str) -> dict[str, Any]:
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.startswith("{"):  # libraries talk on stdout too
            answer: dict[str, Any] = json.loads(line)
            return answer
    raise SystemExit(f"contender {name!r} ended: exit code {process.wait()}")
