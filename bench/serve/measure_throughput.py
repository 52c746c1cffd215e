"""Claim N2: how much of the engine's own rate is left when it is served; closed loop with enough callers, error-free, in pairs with raw."""

import argparse
import statistics
from typing import Any

from measure_overhead import raw_ms
from stage import figure, payloads, publish, staged

from fleetsight.serve.load.processes import Generators
from fleetsight.serve.load.shots import Outcome
from fleetsight.serve.tier.plan import Variant

CALLERS = (2, 4)


def main() -> None:
    """Measure each engine in rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds, seconds = (1, 1.5) if options.quick else (options.rounds, options.seconds)
    frames = payloads()
    figures: dict[str, Any] = {}
    detail: dict[str, Any] = {}
    with Generators(frames) as generators:
        for name, source, goal in (("N2", "burn:20", ">= 95"), ("N2_5ms", "burn:5", ">= 90")):
            shares = []
            with staged([Variant("m", "cpu", source)]) as stage:
                generators.closed_loop(stage.target(), 2, duration_s=seconds / 4)
                for _ in range(rounds):
                    raw_hz = len(raw_ms(source, frames, seconds=seconds)) / seconds
                    best = 0.0
                    for callers in CALLERS:
                        shots = generators.closed_loop(stage.target(), callers, duration_s=seconds)
                        if (shots.outcome == Outcome.ANSWERED).all():
                            best = max(best, len(shots) / shots.wall_s)
                    shares.append(100 * best / raw_hz)
            figures[name] = figure(statistics.median(shares), "% of raw", goal=goal)
            detail[source] = {"share_percent": [round(share, 2) for share in shares]}
    publish("throughput", figures, detail=detail | {"command": "python bench/serve/measure_throughput.py"})


if __name__ == "__main__":
    main()
