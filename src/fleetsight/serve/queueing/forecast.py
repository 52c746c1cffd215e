"""What a batch will take: the curve of the profile (or of the warm-up), corrected by what batches took lately.

The correction is a factor and its mean deviation, both moving averages, as TCP estimates its round trip (Jacobson 1988): a chip that
throttles or a neighbour that takes half the machine is seen within a dozen batches, and admission tightens by itself.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

WEIGHT = 0.125
"""Share of a new observation in the factor (Jacobson 1988: 1/8)."""
DEVIATION_WEIGHT = 0.25
"""Share of a new observation in the deviation (Jacobson 1988: 1/4)."""
CAUTION = 2.0
"""Mean deviations added to the factor for promises; for a normal spread 2 mean deviations are 1.6 sigma, one batch in 20 is slower."""
FACTOR_MIN, FACTOR_MAX = 0.1, 10.0
"""A single observation further off than this is a fault (a hang, a clock) and counts as this much."""
CURVE_SIZE = 512
"""Points of a curve that are kept: every batch there is (`BATCH_MAX` of a plan is 256). Admission asks several times for each request, also for
those that it refuses."""

Curve = Callable[[int], float]


def curve_of(points: Mapping[int, float]) -> Curve:
    """Join measured points.

    Args:
        points: milliseconds by batch; at least one.
    Returns:
        a function: linear between points and beyond the last two, proportional where there is one point.
    """
    known = sorted(points.items())
    first, first_ms = known[0]

    def service_ms(batch: int) -> float:
        if len(known) == 1:
            return first_ms * batch / first
        upper = next((i for i in range(1, len(known)) if known[i][0] >= batch), len(known) - 1)
        (low, low_ms), (high, high_ms) = known[upper - 1], known[upper]
        return max(low_ms + (high_ms - low_ms) * (batch - low) / (high - low), first_ms * min(1.0, batch / first))

    return service_ms


class Forecast:
    """Predicts batches of one variant.

    Args:
        curve: milliseconds by batch, as measured before.
    """

    def __init__(self, curve: Curve) -> None:
        self._curve: Curve = lru_cache(maxsize=CURVE_SIZE)(curve)
        self.factor = 1.0
        self.deviation = 0.0

    def service_ms(self, batch: int) -> float:
        """What a batch takes as a rule."""
        return self._curve(batch) * self.factor

    def safe_ms(self, batch: int) -> float:
        """What nearly every batch stays within: for promises."""
        return self._curve(batch) * (self.factor + CAUTION * self.deviation)

    def observe(self, batch: int, actual_ms: float) -> None:
        """Learn from a batch that ended.

        Args:
            batch: its frames.
            actual_ms: what it took.
        """
        seen = min(max(actual_ms / max(self._curve(batch), 1e-6), FACTOR_MIN), FACTOR_MAX)
        error = seen - self.factor
        self.factor += WEIGHT * error
        self.deviation += DEVIATION_WEIGHT * (abs(error) - self.deviation)
