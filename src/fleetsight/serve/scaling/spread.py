"""How many replicas of which variant a wanted capacity means. Pure: the rate comes in, counts go out."""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fleetsight.serve.scaling.rule import ScalingRule, ScalingState, decide

ROUNDING = 1e-9
"""A capacity that fits to nine digits fits."""


@dataclass(frozen=True)
class Elastic:
    """A variant as scaling sees it.

    Attributes:
        variant: its name.
        hz: that one replica carries: its share of the knee.
        usd_per_hour: of one replica.
        least: replicas at all times, >= 1.
        most: replicas at most; the same for one that is never scaled.
    """

    variant: str
    hz: float
    usd_per_hour: float
    least: int
    most: int

    def within(self, count: int) -> int:
        """The nearest count that is allowed."""
        return min(max(count, self.least), self.most)


def spread(variants: Iterable[Elastic], wanted_hz: float, *, shares: Mapping[str, int] | None) -> dict[str, int]:
    """Say how many replicas carry a rate.

    Each variant first gets what its share of the traffic takes; what is then missing goes to the cheapest per frame that may grow, because
    that is where the router sends it.

    Args:
        variants: of one model.
        wanted_hz: capacity that all together should have.
        shares: per cent by variant that a split asks for; None: by cost.
    Returns:
        replicas by variant; less than wanted when every variant is at its most.
    """
    found = list(variants)
    share = {one.variant: (shares or {}).get(one.variant, 0) / 100 for one in found}
    counts = {one.variant: one.within(_carry(share[one.variant] * wanted_hz, one)) for one in found}
    for one in sorted(found, key=lambda one: one.usd_per_hour / one.hz):
        missing_hz = wanted_hz - sum(other.hz * counts[other.variant] for other in found)
        if missing_hz > 0:
            counts[one.variant] = one.within(counts[one.variant] + _carry(missing_hz, one))
    return counts


class Steering:
    """One model: takes a sample of its rate each second and says how many replicas there should be.

    Args:
        rule: when the capacity changes.
    """

    def __init__(self, rule: ScalingRule) -> None:
        self._rule = rule
        self._state: ScalingState | None = None
        self._needs: deque[tuple[float, dict[str, int]]] = deque()

    def step(
        self, variants: Iterable[Elastic], *, now_s: float, rate_hz: float, shares: Mapping[str, int] | None
    ) -> dict[str, int]:
        """Take one sample in.

        A variant shrinks when it was not needed for a while (`ScalingRule.bucket_s`), so that traffic which an operator moves away and back
        finds what it left.

        Args:
            variants: that may be used now.
            now_s: time of the sample, never falling.
            rate_hz: requests a second since the last sample, those refused included.
            shares: per cent by variant that a split asks for; None: by cost.
        Returns:
            replicas by variant.
        """
        found = list(variants)
        least_hz = sum(one.hz * one.least for one in found)
        rule = replace(self._rule, min_hz=least_hz, max_hz=sum(one.hz * one.most for one in found))
        state = self._state or ScalingState(least_hz)
        self._state = decide(state, rule, now_s=now_s, rate_hz=rate_hz)
        need = spread(found, self._state.wanted_hz, shares=shares)
        while self._needs and now_s - self._needs[0][0] >= rule.bucket_s:
            self._needs.popleft()
        self._needs.append((now_s, need))
        return {name: max(before.get(name, 0) for _, before in self._needs) for name in need}


def _carry(hz: float, one: Elastic) -> int:
    return math.ceil(hz / one.hz - ROUNDING)
