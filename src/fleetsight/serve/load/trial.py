"""A load test from end to end: patient callers first, then the search for the knee, then the whole curve around it.

A trial asks a *gun* for shots and does not know whether they come from generator processes or from a server in virtual time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fleetsight.serve.load.curve import CurvePoint, summarise
from fleetsight.serve.load.knee import find_knee
from fleetsight.serve.load.shots import LoadError, Outcome, Shots, percentile
from fleetsight.serve.profile import BATCH_MAX, BatchPoint

CALLERS_MAX = 256
"""Most patient callers; a server that still gains from more is measured by the open loop."""

GAIN_MIN = 1.05
"""More callers are tried while each doubling brings at least 5 %."""

FACTORS = (0.2, 0.5, 0.8, 1.0, 1.2, 2.0, 5.0)
"""Rates of the curve, as multiples of the knee (design rule 7 of the serving reference: the whole curve)."""

BATCH_SAMPLES_MIN = 20
"""A batch size is in the profile when at least so many requests were answered in batches of it."""


class Gun(Protocol):
    """Something that sends requests and says what came back."""

    def open_loop(self, rate_hz: float, duration_s: float, *, seed: int) -> Shots:
        """Offer a Poisson process."""
        ...

    def closed_loop(self, callers: int, duration_s: float) -> Shots:
        """Let patient callers send one request after the other."""
        ...


@dataclass(frozen=True)
class LoadPlan:
    """How a load test is run.

    Attributes:
        slo_ms: the deadline.
        replicas: replicas of the server.
        duration_s: what is counted of each run.
        warm_up_s: what is left out before it.
        tolerance: how exactly the knee is searched for, as a share.
        factors: rates of the curve, as multiples of the knee.
        seed: of the arrivals.
    """

    slo_ms: float
    replicas: int = 1
    duration_s: float = 10.0
    warm_up_s: float = 2.0
    tolerance: float = 0.03
    factors: tuple[float, ...] = FACTORS
    seed: int = 0


@dataclass(frozen=True)
class ClosedPoint:
    """What a number of patient callers brought.

    Attributes:
        callers: how many.
        point: what came back.
    """

    callers: int
    point: CurvePoint


@dataclass(frozen=True)
class Load:
    """What a load test found.

    Attributes:
        knee_hz: the highest rate that was carried.
        curve: multiples of the knee, by offered rate.
        searched: the points of the search.
        closed: patient callers, by number.
        service: what a batch takes.
    """

    knee_hz: float
    curve: tuple[CurvePoint, ...]
    searched: tuple[CurvePoint, ...]
    closed: tuple[ClosedPoint, ...]
    service: tuple[BatchPoint, ...]


def run_trial(gun: Gun, plan: LoadPlan, *, told: Callable[[str], None] = lambda _line: None) -> Load:
    """Run a load test.

    Args:
        gun: sends the requests.
        plan: how.
        told: hears one line for each run.

    Returns:
        knee, curve and service times.

    Raises:
        LoadError: the server answers nothing.
    """
    closed, shots = _patient_callers(gun, plan, told)
    best_hz = max(step.point.answered_hz for step in closed)
    runs = 0

    def measure(rate_hz: float) -> CurvePoint:
        nonlocal runs
        runs += 1
        length_s = plan.warm_up_s + plan.duration_s
        found = gun.open_loop(rate_hz, length_s, seed=plan.seed + runs)
        point = summarise(found.after(plan.warm_up_s), slo_ms=plan.slo_ms, window_s=plan.duration_s)
        told(f"{rate_hz:.1f} Hz offered: {100 * point.good_share:.2f} % in time, {point.rejected} refused")
        return point

    knee = find_knee(measure, best_hz * 0.8, tolerance=plan.tolerance)
    base_hz = knee.knee_hz or best_hz
    curve = tuple(measure(base_hz * factor) for factor in plan.factors)
    return Load(
        knee_hz=knee.knee_hz,
        curve=curve,
        searched=knee.points,
        closed=tuple(closed),
        service=service_curve(shots, replicas=plan.replicas),
    )


def _patient_callers(
    gun: Gun, plan: LoadPlan, told: Callable[[str], None]
) -> tuple[list[ClosedPoint], list[tuple[int, Shots]]]:
    """Double the callers while that brings more answers."""
    closed: list[ClosedPoint] = []
    shots: list[tuple[int, Shots]] = []
    callers = 1
    while callers <= CALLERS_MAX:
        found = gun.closed_loop(callers, plan.warm_up_s + plan.duration_s).after(plan.warm_up_s)
        point = summarise(found, slo_ms=plan.slo_ms, window_s=plan.duration_s)
        if point.answered_hz == 0:
            raise LoadError(
                f"{callers} callers got no answer: {point.rejected} refused, {point.failed} failed",
                hint="send one picture with curl to see what the server says",
            )
        told(f"{callers} callers: {point.answered_hz:.1f} Hz, p50 {point.p50_ms:.2f} ms")
        gains = callers <= 2 * plan.replicas or point.answered_hz >= GAIN_MIN * closed[-1].point.answered_hz
        closed.append(ClosedPoint(callers, point))
        shots.append((callers, found))
        if not gains:
            break
        callers *= 2
    return closed, shots


def service_curve(runs: list[tuple[int, Shots]], *, replicas: int) -> tuple[BatchPoint, ...]:
    """What a batch takes.

    A server that says in its answers how large a batch was and what it took is believed. Otherwise, c patient callers on r replicas
    stand for batches of c / r: by Little's law their latency is what so many frames take, whether the server batches them or not.

    Args:
        runs: number of patient callers and what they saw, by rising number.
        replicas: replicas of the server.

    Returns:
        a point for each batch with enough samples, by rising batch.
    """
    batch = np.concatenate([shots.batch for _, shots in runs])
    took_ms = np.concatenate([shots.service_ms for _, shots in runs])
    points = []
    for size in np.unique(batch[(batch > 0) & (batch <= BATCH_MAX) & (took_ms > 0)]):
        found = took_ms[(batch == size) & (took_ms > 0)]
        if len(found) >= BATCH_SAMPLES_MIN:
            points.append(BatchPoint(int(size), percentile(found, 50), percentile(found, 99)))
    if points:
        return tuple(points)
    for callers, shots in runs:
        answered = shots.latency_ms[shots.outcome == Outcome.ANSWERED]
        if callers % replicas == 0 and len(answered):
            points.append(BatchPoint(callers // replicas, percentile(answered, 50), percentile(answered, 99)))
    if not points:
        raise LoadError(f"too few answers to say what a batch takes on {replicas} replicas", hint="let it run longer")
    return tuple(points)
