"""Claims N1, N1b, N2c, N10: what a frame pays for being served, one caller, side by side.

Every round asks each arrangement in turn, so that a noisy neighbour hits all of them. The engine takes a known time and releases the
interpreter's lock, as real ones do; `raw` is the same callable in this process. Overheads are differences of medians within one round.
"""

import argparse
import statistics
import time
from contextlib import ExitStack
from typing import Any

from stage import Stage, figure, payloads, publish, staged

from fleetsight.serve.engine.protocol import Frame
from fleetsight.serve.engine.source import Source, open_engine
from fleetsight.serve.load.line import Payload
from fleetsight.serve.load.processes import Generators
from fleetsight.serve.load.shots import Outcome
from fleetsight.serve.tier.plan import Variant


def raw_ms(source: str, frames: list[Payload], *, seconds: float) -> list[float]:
    """The callable alone."""
    engine = open_engine(Source(source))
    engine.load()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < until:
        engine.infer_batch([Frame(frames[len(times) % len(frames)].body)])
        times.append((time.perf_counter() - begin) * 1000)
    return times


def served_ms(stage: Stage, generators: Generators, *, seconds: float) -> list[float]:
    """One caller of a service."""
    shots = generators.closed_loop(stage.target(), 1, duration_s=seconds)
    times: list[float] = shots.latency_ms[shots.outcome == Outcome.ANSWERED].tolist()
    return times


def quantile(times: list[float], share: float) -> float:
    """A quantile of a list."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def main() -> None:
    """Measure in rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="burn:20")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds, seconds = (2, 1.5) if options.quick else (options.rounds, options.seconds)
    frames = payloads()
    one = Variant("m", "cpu", options.source)
    rows: dict[str, list[list[float]]] = {}
    with ExitStack() as stack:
        stages = {
            "direct": stack.enter_context(staged([one])),
            "two_tiers": stack.enter_context(staged([one], isolate=True)),
            "batcher_on": stack.enter_context(staged([Variant("m", "cpu", f"{options.source}+1", batch_max=8)])),
            "uncounted": stack.enter_context(staged([one], counts=False)),
        }
        generators = stack.enter_context(Generators(frames))
        for stage in stages.values():
            served_ms(stage, generators, seconds=seconds / 4)
        cpu_s = {name: stage.cpu_s() for name, stage in stages.items()}
        for _ in range(rounds):
            rows.setdefault("raw", []).append(raw_ms(options.source, frames, seconds=seconds))
            for name, stage in stages.items():
                rows.setdefault(name, []).append(served_ms(stage, generators, seconds=seconds))
        asked = {name: sum(map(len, rows[name])) for name in stages}
        cpu_ms = {name: (stage.cpu_s() - cpu_s[name]) * 1000 / asked[name] for name, stage in stages.items()}

    def over(name: str, than: str, share: float) -> float:
        return statistics.median(
            quantile(a, share) - quantile(b, share) for a, b in zip(rows[name], rows[than], strict=True)
        )

    relative = over("direct", "uncounted", 0.5) / statistics.median(quantile(a, 0.5) for a in rows["uncounted"])
    figures = {
        "N1": figure(over("direct", "raw", 0.5), "ms p50", goal="<= 0.5"),
        "N1_p99": figure(over("direct", "raw", 0.99), "ms p99", goal="<= 1.0"),
        "N1b": figure(over("two_tiers", "direct", 0.5), "ms p50", goal="<= 0.7"),
        "N2c": figure(over("batcher_on", "direct", 0.5), "ms p50", goal="<= 0.1"),
        "N10": figure(100 * relative, "% of p50", goal="<= 1"),
    }
    detail: dict[str, Any] = {
        "n": {name: [len(times) for times in found] for name, found in rows.items()},
        "p50_ms": {name: [round(quantile(times, 0.5), 3) for times in found] for name, found in rows.items()},
        "p99_ms": {name: [round(quantile(times, 0.99), 3) for times in found] for name, found in rows.items()},
        "service_cpu_ms_per_frame": {name: round(value, 3) for name, value in cpu_ms.items()},
        "command": f"python bench/serve/measure_overhead.py --source {options.source} --rounds {rounds}",
    }
    publish("overhead", figures, detail=detail)


if __name__ == "__main__":
    main()
