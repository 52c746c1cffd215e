"""Claims N3, N4: how much is answered in time as the load grows to five times, what a refusal takes, and how soon all is well again."""

import argparse
from typing import Any

import numpy as np
from stage import figure, payloads, publish, staged

from fleetsight.serve.load.curve import CurvePoint, summarise
from fleetsight.serve.load.processes import Generators
from fleetsight.serve.load.shots import Outcome, Shots
from fleetsight.serve.tier.plan import Variant

ENGINE_MS = 20.0
SLO_MS = 5 * ENGINE_MS
WINDOW_S = 0.1
SHARES = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def recovery_s(shots: Shots, slo_ms: float) -> float:
    """From the start of a run at a fair load to the first tenth of a second from which on 95 % are answered in time."""
    good = (shots.outcome == Outcome.ANSWERED) & (shots.latency_ms <= slo_ms)
    windows = (shots.scheduled_s / WINDOW_S).astype(int)
    shares = [good[windows == number].mean() for number in range(int(windows.max()) + 1) if (windows == number).any()]
    for number in range(len(shares)):
        if float(np.mean(shares[number:])) >= 0.95 and shares[number] >= 0.95:
            return number * WINDOW_S
    return len(shares) * WINDOW_S


def main() -> None:
    """Find the rate that is carried, then go beyond it and back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    seconds = 2.0 if options.quick else options.seconds
    raw_hz = 1000 / ENGINE_MS
    rows: list[dict[str, Any]] = []
    with staged([Variant("m", "cpu", f"burn:{ENGINE_MS:g}")]) as stage, Generators(payloads()) as generators:
        target = stage.target(deadline_ms=SLO_MS)

        def offer(rate_hz: float, seed: int) -> CurvePoint:
            shots = generators.open_loop(target, rate_hz, duration_s=seconds, seed=seed)
            point = summarise(shots, slo_ms=SLO_MS, window_s=seconds)
            rows.append({"offered": round(rate_hz, 1), **point.as_row()})
            return point

        generators.open_loop(target, raw_hz / 2, duration_s=seconds / 3, seed=99)
        carried = [(share, offer(share * raw_hz, number)) for number, share in enumerate(SHARES)]
        n3 = max((share for share, point in carried if point.good_share >= 0.99), default=SHARES[0])
        rss_mb = stage.rss_mb()
        once, twice, five = (offer(factor * n3 * raw_hz, 20 + factor) for factor in (1, 2, 5))
        grown = stage.rss_mb() / rss_mb - 1
        back = generators.open_loop(target, 0.8 * n3 * raw_hz, duration_s=max(2.0, seconds / 3), seed=50)
    figures = {
        "N3": figure(100 * n3, "% of raw at 99 % in time", goal=">= 80"),
        "N4_2x": figure(100 * twice.good_hz / once.good_hz, "% of goodput at 1x", goal=">= 95"),
        "N4_5x": figure(100 * five.good_hz / once.good_hz, "% of goodput at 1x", goal=">= 90"),
        "N4_accepted_p99": figure(five.p99_ms or 0.0, "ms at 5x", goal=f"<= {SLO_MS:g}"),
        "N4_rejection_p99": figure(five.rejected_p99_ms or 0.0, "ms at 5x", goal="<= 5"),
        "N4_recovery": figure(recovery_s(back, SLO_MS), "s", goal="<= 1"),
        "N4_rss": figure(100 * grown, "% more memory", goal="<= 10"),
    }
    publish("overload", figures, detail={"curve": rows, "command": "python bench/serve/measure_overload.py"})


if __name__ == "__main__":
    main()
