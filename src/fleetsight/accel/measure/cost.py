"""What answers cost on one machine against another: pure arithmetic over prices and measured frame rates.

Two questions, two answers. A saturated machine is judged by dollars per million frames: price over speed. A fleet of cameras
is not saturated: whole machines are paid by the hour whether frames come or not, so the machine with the smallest hour that
still holds the load wins, and a faster one pays only from some number of cameras on (`cameras_to_break_even`).
"""

import math
from dataclasses import dataclass

from fleetsight.accel.measure.prices import FRAMES, SECONDS_PER_HOUR, PriceError, usd_per_million

CAMERAS_MAX = 1_000_000
"""Largest fleet that is priced; above it a number of cameras is a slip."""

TINY = 1e-9
"""Rounding of floats: 60 frames/s on a machine of 60 frames/s is one machine."""


@dataclass(frozen=True)
class Offer:
    """A machine with a price and a measured speed.

    Attributes:
        name: of the machine, for people.
        usd_per_hour: its price, above 0.
        frames_per_s: frames a second when busy, above 0.
        utilisation: share of the paid time in which it is busy, above 0 to 1.
    """

    name: str
    usd_per_hour: float
    frames_per_s: float
    utilisation: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.usd_per_hour < math.inf:
            raise PriceError(f"the price of {self.name} must be above 0 dollars an hour, got {self.usd_per_hour}")
        usd_per_million(self.usd_per_hour, self.frames_per_s, utilisation=self.utilisation)

    @property
    def usd_per_million(self) -> float:
        """US dollars per million frames at this utilisation."""
        return usd_per_million(self.usd_per_hour, self.frames_per_s, utilisation=self.utilisation)


@dataclass(frozen=True)
class Load:
    """What a fleet asks for.

    Attributes:
        cameras: how many, 1 to `CAMERAS_MAX`.
        rate_hz: frames a second of one camera while it sends, above 0.
        duty: share of the time in which it sends, above 0 to 1. Machines are sized for all cameras at once (a rush at noon is
            what a fleet is for), frames are counted with the duty.
    """

    cameras: int
    rate_hz: float
    duty: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.cameras <= CAMERAS_MAX:
            raise PriceError(f"cameras must be 1 to {CAMERAS_MAX}, got {self.cameras}")
        if not 0.0 < self.rate_hz < math.inf:
            raise PriceError(f"frames a second of a camera must be above 0, got {self.rate_hz}")
        if not 0.0 < self.duty <= 1.0:
            raise PriceError(
                f"duty must be above 0 and at most 1, got {self.duty}", hint="2 hours of 24 are --duty 0.083"
            )


@dataclass(frozen=True)
class FleetCost:
    """What a fleet costs on one kind of machine.

    Attributes:
        name: of the machine.
        machines: how many are needed.
        usd_per_hour: of all of them.
        usd_per_million: per million frames that really come.
        utilisation: share of what is paid that is used.
    """

    name: str
    machines: int
    usd_per_hour: float
    usd_per_million: float
    utilisation: float


def saving(baseline: Offer, candidate: Offer) -> float:
    """Share of the cost per frame that goes away.

    Args:
        baseline: what is rented now.
        candidate: what would be rented.

    Returns:
        1 - candidate / baseline; negative when the candidate costs more.
    """
    return 1.0 - candidate.usd_per_million / baseline.usd_per_million


def needed_ratio(baseline_usd_per_hour: float, candidate_usd_per_hour: float, *, wanted: float) -> float:
    """How much faster the candidate must be for a saving.

    Args:
        baseline_usd_per_hour: above 0.
        candidate_usd_per_hour: above 0.
        wanted: the saving, below 1; 0 for break-even.

    Returns:
        frames per second of the candidate over those of the baseline, at equal utilisation.

    Raises:
        PriceError: no speed gives that saving.
    """
    if not wanted < 1.0:
        raise PriceError(f"no speed saves {100 * wanted:g} %", hint="a saving is below 100 %")
    return candidate_usd_per_hour / baseline_usd_per_hour / (1.0 - wanted)


def fleet_cost(offer: Offer, load: Load) -> FleetCost:
    """Price whole machines for a fleet.

    Args:
        offer: the machine; its utilisation is the most it may be loaded to.
        load: the fleet.

    Returns:
        machines, dollars and how much of them is used.
    """
    machines = _machines(offer, load.cameras, load.rate_hz)
    frames_per_s = load.cameras * load.rate_hz * load.duty
    usd_per_hour = machines * offer.usd_per_hour
    return FleetCost(
        name=offer.name,
        machines=machines,
        usd_per_hour=usd_per_hour,
        usd_per_million=usd_per_hour / SECONDS_PER_HOUR / frames_per_s * FRAMES,
        utilisation=frames_per_s / (machines * offer.frames_per_s),
    )


def cameras_to_break_even(small: Offer, large: Offer, *, rate_hz: float) -> int | None:
    """From how many cameras on the larger machine stays the cheaper one.

    Below the answer there may be fleets for which it is cheaper too: whole machines make steps.

    Args:
        small: one machine.
        large: the other one.
        rate_hz: frames a second of one camera, above 0.

    Returns:
        the smallest number of cameras from which on `large` costs less for every fleet; None when that never comes.

    Raises:
        PriceError: a rate that makes no sense.
    """
    Load(cameras=1, rate_hz=rate_hz)
    gain_usd = rate_hz * (
        small.usd_per_hour / (small.frames_per_s * small.utilisation)
        - large.usd_per_hour / (large.frames_per_s * large.utilisation)
    )
    if gain_usd <= 0.0:
        return None
    # At n cameras the small ones cost at least n * rate * price / speed, the large ones less than one machine above theirs.
    certain = math.ceil(large.usd_per_hour / gain_usd) + 1
    if certain > CAMERAS_MAX:
        return None
    for cameras in range(certain, 0, -1):
        usd = [_machines(offer, cameras, rate_hz) * offer.usd_per_hour for offer in (small, large)]
        if usd[1] >= usd[0]:
            return cameras + 1
    return 1


def _machines(offer: Offer, cameras: int, rate_hz: float) -> int:
    return max(1, math.ceil(cameras * rate_hz / (offer.frames_per_s * offer.utilisation) - TINY))
