"""Times of many answers, said in a few numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fleetsight.errors import Error


class MeasureError(Error):
    """A measurement that cannot be made as it was asked for."""

    code = "measure"


@dataclass(frozen=True)
class Latency:
    """Times of single answers.

    Attributes:
        n: how many were measured.
        p50_ms: median.
        p90_ms: nine of ten are at most this.
        p99_ms: 99 of a hundred are at most this.
        worst_ms: the slowest.
    """

    n: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    worst_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Sum times up.

        Args:
            seconds: at least one.

        Returns:
            their percentiles in milliseconds.

        Raises:
            MeasureError: there are none.
        """
        p50, p90, p99, worst = (1000.0 * percentile(seconds, share) for share in (0.5, 0.9, 0.99, 1.0))
        return cls(n=len(seconds), p50_ms=p50, p90_ms=p90, p99_ms=p99, worst_ms=worst)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least a share of all values does not exceed (nearest rank, no interpolation).

    Args:
        values: at least one.
        share: 0 to 1.

    Returns:
        one of the values.

    Raises:
        MeasureError: no values, or a share outside 0 to 1.
    """
    if not values or not 0.0 <= share <= 1.0:
        raise MeasureError(f"a percentile needs values and a share of 0 to 1, got {len(values)} values and {share}")
    # Rounding guards the product: 0.07 * 100 is 7.000000000000001.
    rank = max(1, math.ceil(round(share * len(values), 9)))
    return sorted(values)[rank - 1]
