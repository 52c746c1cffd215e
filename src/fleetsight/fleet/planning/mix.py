"""The cheapest instances that carry a rate: an integer program, solved exactly.

minimise sum(price_i * count_i) subject to sum(capacity_i * count_i) >= rate, counts whole and >= 0. With a handful of offers HiGHS
(`scipy.optimize.milp`) proves the optimum in milliseconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import LinearConstraint, milp

from fleetsight.fleet.planning.offers import Offer, PlanError

COUNT_MAX = 1_000_000
"""Most instances of one type in a plan."""

HEADROOM = 0.3
"""Share of the knee that is kept free: targets stand at 0.7 of it (serving reference, section 3)."""


@dataclass(frozen=True)
class Part:
    """So many of one offer.

    Attributes:
        offer: what is rented.
        count: how many, at least 1.
    """

    offer: Offer
    count: int

    @property
    def usd_per_hour(self) -> float:
        """Price of all of them."""
        return self.offer.usd_per_hour * self.count


@dataclass(frozen=True)
class Mix:
    """What is rented together.

    Attributes:
        parts: the offers that are used, dearest part first.
    """

    parts: tuple[Part, ...]

    @property
    def usd_per_hour(self) -> float:
        """Price of the whole."""
        return sum(part.usd_per_hour for part in self.parts)

    @property
    def knee_hz(self) -> float:
        """What the whole carries at the knee of each instance."""
        return sum(part.offer.knee_hz * part.count for part in self.parts)

    @property
    def predicted_hz(self) -> float:
        """What the service times alone say the whole carries."""
        return sum(part.offer.predicted_hz * part.count for part in self.parts)

    @property
    def prediction_error(self) -> float:
        """The error of the prediction: those of the parts, weighed by what they carry; an upper bound, as errors may cancel."""
        weighed = sum(part.offer.prediction_error * part.offer.knee_hz * part.count for part in self.parts)
        return weighed / self.knee_hz if self.knee_hz > 0 else 0.0


def cheapest_mix(offers: Sequence[Offer], rate_hz: float, *, headroom: float = HEADROOM) -> Mix:
    """Find the cheapest mix that carries a rate.

    Args:
        offers: what can be rented, at least one.
        rate_hz: what has to be carried.
        headroom: share of each knee that stays free, 0 to below 1.

    Returns:
        the mix; empty for a rate of 0.

    Raises:
        PlanError: nothing is offered, or the numbers make no sense, or there would be too many instances.
    """
    if not offers:
        raise PlanError("nothing that can be rented carries this deadline", hint="allow more with --slo-ms")
    if not 0 <= headroom < 1:
        raise PlanError(f"a headroom of {headroom}, expected 0 to below 1", hint="30 % is --headroom 0.3")
    if rate_hz <= 0:
        return Mix(())
    usable = np.array([offer.knee_hz for offer in offers]) * (1 - headroom)
    price = np.array([offer.usd_per_hour for offer in offers])
    most = np.ceil(rate_hz / usable)
    if most.min() > COUNT_MAX:
        raise PlanError(f"{rate_hz:g} Hz take more than {COUNT_MAX} instances of any type", hint="measure a larger one")
    found = milp(
        price,
        constraints=LinearConstraint(usable[None, :] / rate_hz, lb=1.0),
        integrality=np.ones(len(offers)),
        bounds=(np.zeros(len(offers)), np.minimum(most, COUNT_MAX)),
        options={"mip_rel_gap": 0.0},
    )
    assert found.x is not None, found.message  # the bounds above always hold a solution
    counts = _covering(np.rint(found.x), usable, rate_hz=rate_hz)
    parts = [Part(offer, int(count)) for offer, count in zip(offers, counts, strict=True) if count > 0]
    return Mix(tuple(sorted(parts, key=lambda part: (-part.usd_per_hour, part.offer.instance))))


def only_mix(offer: Offer, rate_hz: float, *, headroom: float = HEADROOM) -> Mix:
    """So many of one offer that they carry a rate.

    Args:
        offer: the offer.
        rate_hz: what has to be carried, > 0.
        headroom: share of the knee that stays free.

    Returns:
        the mix.
    """
    return Mix((Part(offer, max(1, math.ceil(rate_hz / (offer.knee_hz * (1 - headroom)) - 1e-9))),))


def _covering(
    counts: "np.typing.NDArray[np.float64]", usable: "np.typing.NDArray[np.float64]", *, rate_hz: float
) -> list[int]:
    """The solver works to a tolerance of 1e-6: where that leaves the rate uncovered, one more of the smallest that covers it."""
    whole = [int(count) for count in counts]
    short_hz = rate_hz - float(np.dot(counts, usable))
    if short_hz > rate_hz * 1e-9:
        fitting = [at for at, hz in enumerate(usable) if hz >= short_hz] or [int(np.argmax(usable))]
        whole[min(fitting, key=lambda at: usable[at])] += 1
    return whole
