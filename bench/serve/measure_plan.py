"""Claim: how far the plan's prediction is from the measured knee (N8), what a million frames cost (N9), how soon the rule scales (N7).

Our own server runs the 20 ms engine on every core; `fleetsight load`'s trial finds its knee and service times, and the simulation predicts the knee from
the service times alone. N7 is the rule in virtual time: a step to three times the rate, ten minutes of Poisson arrivals by the second.
Writes bench/results/serve/figures/plan.json.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import itertools

from contestants import BUILD, CONTESTANTS, OURS, running
from engine import write_engines
from measure_rivals import Gun, await_answer, jpegs_in
from record import RESULTS, hardware

from fleetsight.accel.measure.prices import Prices, usd_per_million
from fleetsight.serve.load.line import Payload
from fleetsight.serve.load.processes import Generators
from fleetsight.serve.load.trial import Load, LoadPlan, run_trial
from fleetsight.serve.load.virtual import VirtualServer, predicted_knee_hz
from fleetsight.serve.profile import Profile
from fleetsight.serve.scaling.rule import ScalingRule, ScalingState, decide

INSTANCE = "c7i.xlarge"  # two cores, as the machine that measures
STEP_RATE_HZ = 100.0


def measured(options: argparse.Namespace) -> Load:
    """Load our server until its knee is found."""
    write_engines(BUILD)
    payloads = [Payload(jpeg) for jpeg in jpegs_in(BUILD / "jpegs")]
    plan = LoadPlan(
        slo_ms=options.slo_ms,
        replicas=options.workers,
        duration_s=options.seconds,
        warm_up_s=options.warm_up,
        factors=(0.5, 1.0, 2.0),
    )
    server = running(
        CONTESTANTS[OURS], mode="tuned", engine="20ms", workers=options.workers, folder=BUILD / "logs" / "plan"
    )
    with server as up, Generators(payloads) as generators:
        await_answer(generators, up)
        return run_trial(Gun(generators, up, options.slo_ms), plan, told=lambda line: print(line, file=sys.stderr))


def scaling() -> tuple[float, int]:
    """Seconds from a step to the first right decision, and changes of direction in the ten minutes after it."""
    rng = np.random.default_rng(0)
    rule, state = ScalingRule(), ScalingState(STEP_RATE_HZ / ScalingRule().target_share)
    right_after_s, directions = float("inf"), []
    for second in range(60 + 600):
        rate_hz = STEP_RATE_HZ * (1 if second < 60 else 3)
        told = decide(state, rule, now_s=float(second), rate_hz=float(rng.poisson(rate_hz)))
        if told.wanted_hz != state.wanted_hz:
            directions.append(told.wanted_hz > state.wanted_hz)
        if second >= 60 and told.wanted_hz >= 3 * STEP_RATE_HZ:
            right_after_s = min(right_after_s, second - 59)
        state = told
    return right_after_s, sum(1 for one, other in itertools.pairwise(directions) if one != other)


def figures(found: Load, options: argparse.Namespace) -> dict[str, Any]:
    """N7, N8 and N9 as the summary wants them."""
    prices = Prices.load()
    profile = Profile(
        model="engine-20ms",
        variant="cpu",
        hardware=hardware(),
        instance=INSTANCE,
        usd_per_hour=prices.on_demand(INSTANCE),
        replicas=options.workers,
        slo_ms=options.slo_ms,
        service=found.service,
        knee_hz=found.knee_hz,
        measured=datetime.now(UTC).date().isoformat(),
        commit="unknown",
    )
    predicted_hz = predicted_knee_hz(VirtualServer(profile))
    after_s, oscillations = scaling()
    error = abs(predicted_hz - found.knee_hz) / found.knee_hz
    dollars = usd_per_million(profile.usd_per_hour, found.knee_hz, utilisation=1.0)
    return {
        "N7": {"value": after_s, "unit": "s, simulated", "goal": 5.0, "oscillations": oscillations},
        "N8": {
            "value": round(error, 4),
            "unit": "of measured",
            "goal": 0.10,
            "predicted_hz": predicted_hz,
            "measured_hz": found.knee_hz,
            "service": [[point.batch, point.p50_ms, point.p99_ms] for point in found.service],
        },
        "N9": {
            "value": round(dollars, 4),
            "unit": f"$ per million frames, {INSTANCE} on demand, prices of {prices.dated}, busy",
            "goal": None,
        },
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm-up", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--slo-ms", type=float, default=100.0)
    parser.add_argument("--out", type=Path, default=RESULTS / "serve" / "figures")
    options = parser.parse_args()
    found = figures(measured(options), options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "plan.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"bench": "serve/figures/plan"} | found))


if __name__ == "__main__":
    main()
