"""Claim N5: one of two replicas is killed, or stopped dead, at 70 % load: frames lost, and how long others are late."""

import argparse
import os
import signal
import statistics
import threading
import time
from typing import Any

import numpy as np
from stage import Stage, figure, payloads, publish, staged

from fleetsight.serve.load.processes import START_S, Generators
from fleetsight.serve.load.shots import Outcome
from fleetsight.serve.tier.plan import Variant

ENGINE_MS = 20.0
SLO_MS = 5 * ENGINE_MS
LOAD = 0.7
QUIET_S = 0.7
"""So long without a late frame, and the death is over; longer than the watchdog's half second."""
DEADLINE_MS = 5000.0
"""What callers wait: far beyond the SLO, so that a frame that is late shows as late and not as refused."""


def once(generators: Generators, stage: Stage, *, how: signal.Signals, seconds: float) -> dict[str, Any]:
    """Load, kill in the middle, count."""
    rate_hz = LOAD * 1000 / ENGINE_MS  # of what is left when one of two is gone
    begin_s = time.monotonic() + START_S
    told: list[float] = []

    def strike() -> None:
        os.kill(stage.children()[0], how)
        told.append(time.monotonic() - begin_s)

    timer = threading.Timer(seconds / 2, strike)
    timer.start()
    shots = generators.open_loop(stage.target(deadline_ms=DEADLINE_MS), rate_hz, duration_s=seconds, seed=int(begin_s))
    timer.join()
    kill_s = told[0]
    late = (shots.latency_ms > SLO_MS) & (shots.scheduled_s > kill_s - SLO_MS / 1000)
    ends_s = np.sort((shots.scheduled_s + shots.latency_ms / 1000)[late])
    over_s = kill_s
    for end_s in ends_s:
        if end_s - over_s > QUIET_S:
            break  # what is late from here on is late for another reason: a Poisson burst
        over_s = max(over_s, float(end_s))
    lost = int((shots.outcome != Outcome.ANSWERED).sum())
    return {"lost": lost, "late_ms": round(1000 * (over_s - kill_s), 1), "late": int(late.sum()), "n": len(shots)}


def main() -> None:
    """Kill and stop, several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds, seconds = (1, 4.0) if options.quick else (options.rounds, options.seconds)
    rows: dict[str, list[dict[str, Any]]] = {}
    source = (
        f"sleep:{ENGINE_MS:g}"  # sleeping stands for two chips: two burning replicas would leave no core for anybody
    )
    with Generators(payloads()) as generators, staged([Variant("m", "cpu", source, replicas=2)], isolate=True) as stage:
        generators.closed_loop(stage.target(), 2, duration_s=1.0)
        for name, how in (("killed", signal.SIGKILL), ("hung", signal.SIGSTOP)):
            for _ in range(rounds):
                rows.setdefault(name, []).append(once(generators, stage, how=how, seconds=seconds))
                time.sleep(3.0)  # until the new one is warm
    worst = {name: max(row["late_ms"] for row in found) for name, found in rows.items()}
    figures = {
        "N5_lost": figure(sum(row["lost"] for row in rows["killed"]), "frames", goal="0"),
        "N5": figure(statistics.median(row["late_ms"] for row in rows["killed"]), "ms", goal="<= 150"),
        "N5_hang_lost": figure(sum(row["lost"] for row in rows["hung"]), "frames", goal="0"),
        "N5_hang": figure(statistics.median(row["late_ms"] for row in rows["hung"]), "ms", goal="<= 1000"),
    }
    publish(
        "death", figures, detail={"rows": rows, "worst_ms": worst, "command": "python bench/serve/measure_death.py"}
    )


if __name__ == "__main__":
    main()
