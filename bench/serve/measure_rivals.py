"""Claim: what each server keeps of the same engine on the same machine, from 0.2 to 5 times of what the engine alone can do.

Each server runs in a virtual environment of its own (`make bench-serve`), at its defaults and at its best documented settings. Arrivals
are Poisson, latency counts from the scheduled send, and the generator is a process of its own. Writes bench/results/serve/rivals/NAME.json.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contestants import BUILD, CONTESTANTS, Contestant, Running, running
from engine import write_engines
from record import RESULTS, hardware

from fleetsight.serve.load.curve import CurvePoint, summarise
from fleetsight.serve.load.knee import find_knee
from fleetsight.serve.load.line import Payload
from fleetsight.serve.load.processes import Generators
from fleetsight.serve.load.shots import Outcome, Shots

HERE = Path(__file__).resolve().parent
FOLDER = RESULTS / "serve" / "rivals"
FACTORS = (0.2, 0.5, 0.8, 1.0, 1.2, 2.0, 5.0)
SLO_FACTOR = 5.0  # of the time of one frame (N3)
READY_S = 60.0
MODES = ("default", "tuned")
FRAMES = 24


def jpegs_in(folder: Path) -> list[bytes]:
    """The JPEGs that every server gets; rendered once."""
    if not any(folder.glob("*.jpg")):
        from fleetsight.cli.serving.load import rendered_bodies

        folder.mkdir(parents=True, exist_ok=True)
        for number, payload in enumerate(rendered_bodies(FRAMES)):
            (folder / f"{number:03}.jpg").write_bytes(payload.body)
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]


def raw_of(one: Contestant, engine: str, *, workers: int, seconds: float) -> dict[str, Any]:
    """What the engine alone does in the server's own virtual environment."""
    command = [str(one.python), str(HERE / "raw.py"), engine, str(workers), str(seconds), str(BUILD / "jpegs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _deadline(server: Running, slo_ms: float) -> Running:
    """The same server, whose requests say how long they may take."""
    headers = (*server.target.headers, f"X-Deadline-Ms: {slo_ms:.0f}")
    return replace(server, target=replace(server.target, headers=headers))


def curve_of(
    server: Running, payloads: list[Payload], *, raw: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Offer each rate, and count what came back and what it took."""
    slo_ms = SLO_FACTOR * raw["p50_ms"]
    rows = []
    with Generators(payloads, processes=options.generators) as generators:
        await_answer(generators, server)
        generators.closed_loop(server.target, 2, duration_s=options.warm_up)
        alone = generators.closed_loop(server.target, 1, duration_s=options.seconds)
        for number, factor in enumerate(options.factors):
            before_s = server.cpu_s()
            length_s = options.warm_up + options.seconds
            shots = generators.open_loop(server.target, factor * raw["raw_hz"], duration_s=length_s, seed=number)
            served = max(1, int((shots.outcome == Outcome.ANSWERED).sum()))
            point = summarise(shots.after(options.warm_up), slo_ms=slo_ms, window_s=options.seconds)
            cpu_ms = (server.cpu_s() - before_s) * 1000 / served
            rows.append({"factor": factor, **point.as_row(), "cpu_ms_per_request": round(cpu_ms, 3)})
            print(f"  {factor}x: {point.good_share:.3f} in time, {point.failed} failed", file=sys.stderr)
        knee_hz = (
            _knee_hz(generators, server, slo_ms, start_hz=0.7 * raw["raw_hz"], options=options)
            if options.knee
            else None
        )
    one = summarise(alone, slo_ms=slo_ms, window_s=options.seconds)
    return {
        "slo_ms": slo_ms,
        "alone": one.as_row(),
        "rss_mb": round(server.rss_mb(), 1),
        "curve": rows,
        "knee_hz": knee_hz,
    }


def _knee_hz(
    generators: Generators, server: Running, slo_ms: float, *, start_hz: float, options: argparse.Namespace
) -> float:
    """The highest rate of which 99 % is in time, to 5 %."""
    runs = count(1000)

    def measured(rate_hz: float) -> CurvePoint:
        length_s = options.warm_up + options.seconds
        shots = generators.open_loop(server.target, rate_hz, duration_s=length_s, seed=next(runs))
        return summarise(shots.after(options.warm_up), slo_ms=slo_ms, window_s=options.seconds)

    return find_knee(measured, start_hz, tolerance=0.05).knee_hz


@dataclass(frozen=True)
class Gun:
    """Generators that point at one server, for `fleetsight.serve.load.trial`; its requests say their deadline."""

    generators: Generators
    server: Running
    slo_ms: float

    def open_loop(self, rate_hz: float, duration_s: float, *, seed: int) -> Shots:
        """Offer a Poisson process."""
        target = _deadline(self.server, self.slo_ms).target
        return self.generators.open_loop(target, rate_hz, duration_s=duration_s, seed=seed)

    def closed_loop(self, callers: int, duration_s: float) -> Shots:
        """Let patient callers send; they say no deadline."""
        return self.generators.closed_loop(self.server.target, callers, duration_s=duration_s)


def await_answer(generators: Generators, server: Running) -> None:
    """Some servers listen long before their model is loaded."""
    until = time.monotonic() + READY_S
    while not (generators.closed_loop(server.target, 1, duration_s=0.3).outcome == Outcome.ANSWERED).any():
        if time.monotonic() > until:
            raise RuntimeError(f"no answer from {server.target}; see its log")


def measure(one: Contestant, options: argparse.Namespace) -> dict[str, Any]:
    """Both modes of one server with each engine."""
    payloads = [one.payload(jpeg) for jpeg in jpegs_in(BUILD / "jpegs")]
    result: dict[str, Any] = {}
    for engine in options.engines:
        raw = raw_of(one, engine, workers=options.workers, seconds=options.seconds)
        modes: dict[str, Any] = {}
        for mode in options.modes:
            print(f"{one.name} {mode} {engine}", file=sys.stderr)
            folder = BUILD / "logs" / f"{one.name}-{engine}"
            try:
                with running(one, mode=mode, engine=engine, workers=options.workers, folder=folder) as server:
                    if one.takes_deadline and mode == "tuned":
                        server = _deadline(server, SLO_FACTOR * raw["p50_ms"])  # noqa: PLW2901
                    modes[mode] = curve_of(server, payloads, raw=raw, options=options)
            except RuntimeError as error:  # published: a server that does not come up has lost
                modes[mode] = {"error": str(error)}
        result[engine] = {"raw": raw, **modes}
    return result


def _requirements(name: str) -> list[str]:
    """What its virtual environment was made of; ours is the project's own."""
    file = HERE / "requirements" / f"{name}.txt"
    return file.read_text(encoding="utf-8").split() if file.is_file() else ["constraints.txt"]


def main() -> None:
    """Measure the servers that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CONTESTANTS), choices=list(CONTESTANTS))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--generators", type=int, default=1)
    parser.add_argument("--engines", nargs="+", default=["20ms", "5ms"], choices=["20ms", "5ms"])
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--factors", nargs="+", type=float, default=list(FACTORS))
    parser.add_argument("--knee", action="store_true", help="also search for the knee: about eight runs more")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    write_engines(BUILD)
    options.out.mkdir(parents=True, exist_ok=True)
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    for name in options.names:
        found = measure(CONTESTANTS[name], options)
        stood_on = {
            "name": name,
            "requirements": _requirements(name),
            "commit": head.stdout.strip() or "unknown",
            "hardware": hardware(),
            "date": datetime.now(UTC).date().isoformat(),
            "seconds": options.seconds,
        }
        (options.out / f"{name}.json").write_text(
            json.dumps(stood_on | {"engines": found}, indent=1) + "\n", encoding="utf-8"
        )
        print(json.dumps({"bench": f"serve/rivals/{name}", "written": str(options.out / f"{name}.json")}))


if __name__ == "__main__":
    main()
