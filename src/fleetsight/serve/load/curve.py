"""A point of the curve: what was offered, what came back in time, and what the generator itself took."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fleetsight.serve.load.shots import LoadError, Outcome, Shots, percentile


@dataclass(frozen=True)
class CurvePoint:
    """What one rate, or one number of callers, brought.

    Attributes:
        offered_hz: requests that should have been sent each second.
        answered_hz: those that were answered, in time or not.
        good_hz: those that were answered within the deadline.
        p50_ms: median latency of the answered, from the scheduled send; None when nothing was.
        p99_ms: 99th percentile of the same.
        rejected: requests that were refused (429, 503).
        rejected_p99_ms: 99th percentile of the time a refusal took; None when nothing was refused.
        failed: requests that ended any other way.
        late_p99_ms: 99th percentile of the time from the scheduled to the actual send, with the wait for one of the generator's
            connections: large under overload; large at a low rate, it says that the generator is the limit.
        generator_cpu: processor time of the generators by the time of the run, in cores.
        n: requests counted.
    """

    offered_hz: float
    answered_hz: float
    good_hz: float
    p50_ms: float | None
    p99_ms: float | None
    rejected: int
    rejected_p99_ms: float | None
    failed: int
    late_p99_ms: float | None
    generator_cpu: float
    n: int

    @property
    def good_share(self) -> float:
        """Answers within the deadline by what was offered, 0 to 1."""
        return self.good_hz / self.offered_hz if self.offered_hz > 0 else 0.0

    def as_row(self) -> dict[str, Any]:
        """The point for a JSON file, rounded to what was measured."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def summarise(shots: Shots, *, slo_ms: float, window_s: float) -> CurvePoint:
    """Count what a run brought.

    Args:
        shots: requests after the warm-up.
        slo_ms: the deadline.
        window_s: time in which they were scheduled, > 0.

    Returns:
        the point.

    Raises:
        LoadError: the window is empty.
    """
    if window_s <= 0:
        raise LoadError(
            f"a window of {window_s:g} s, expected more than 0", hint="let the run be longer than its warm-up"
        )
    answered = shots.outcome == Outcome.ANSWERED
    rejected = shots.outcome == Outcome.REJECTED
    in_time = answered & (shots.latency_ms <= slo_ms)
    return CurvePoint(
        offered_hz=len(shots) / window_s,
        answered_hz=float(np.count_nonzero(answered)) / window_s,
        good_hz=float(np.count_nonzero(in_time)) / window_s,
        p50_ms=_or_none(percentile(shots.latency_ms[answered], 50)),
        p99_ms=_or_none(percentile(shots.latency_ms[answered], 99)),
        rejected=int(np.count_nonzero(rejected)),
        rejected_p99_ms=_or_none(percentile(shots.latency_ms[rejected], 99)),
        failed=int(np.count_nonzero(shots.outcome == Outcome.FAILED)),
        late_p99_ms=_or_none(percentile(shots.lag_ms, 99)),
        generator_cpu=shots.cpu_s / shots.wall_s if shots.wall_s > 0 else 0.0,
        n=len(shots),
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if isinstance(value, float) else value
