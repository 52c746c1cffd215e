"""The plan: what to rent for a demand, what a million frames then cost, and what it saves.

Two ways to follow a day are priced: the mix for the peak rented all day, and a mix chosen anew each hour. Uncertainty is that of the
capacities: a plan is made again with every knee lower, and higher, by the larger of the search's tolerance and the prediction's error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fleetsight.fleet.planning.demand import Demand
from fleetsight.fleet.planning.mix import HEADROOM, Mix, cheapest_mix, only_mix
from fleetsight.fleet.planning.offers import Offer

KNEE_TOLERANCE = 0.03
"""How exactly a load test finds a knee (`fleetsight.serve.load.trial.LoadPlan.tolerance`)."""

MILLION = 1e6


@dataclass(frozen=True)
class Plan:
    """What to rent.

    Attributes:
        mix: for the peak of the demand.
        usd_per_million: dollars for a million frames when `mix` is rented throughout.
        usd_per_million_low: the same with every knee higher by its uncertainty.
        usd_per_million_high: the same with every knee lower by it.
        usd_per_million_hourly: with a mix chosen anew each hour.
        baseline: the cheapest all-GPU, all-on-demand mix for the peak; None when no GPU was profiled.
        baseline_usd_per_million: what that costs; None without.
        demand: what has to be carried.
        measured_hz: what a load test of the whole mix found; None where only its parts were measured.
    """

    mix: Mix
    usd_per_million: float
    usd_per_million_low: float
    usd_per_million_high: float
    usd_per_million_hourly: float
    baseline: Mix | None
    baseline_usd_per_million: float | None
    demand: Demand
    measured_hz: float | None = None

    def compared(self, measured_hz: float) -> "Plan":
        """The plan beside a load test of the mix as it runs.

        Args:
            measured_hz: its knee, > 0.

        Returns:
            the same plan; its prediction's error is the distance from that knee.
        """
        return replace(self, measured_hz=measured_hz)

    @property
    def prediction_error(self) -> float:
        """Share by which the prediction is off: of the whole mix where that was measured, else of its parts."""
        if self.measured_hz is None:
            return self.mix.prediction_error
        return abs(self.mix.predicted_hz - self.measured_hz) / self.measured_hz

    @property
    def saving(self) -> float | None:
        """Share of the baseline's cost that `mix` saves."""
        return self._saved(self.usd_per_million)

    @property
    def saving_hourly(self) -> float | None:
        """Share of the baseline's cost that an hourly mix saves."""
        return self._saved(self.usd_per_million_hourly)

    def _saved(self, usd_per_million: float) -> float | None:
        baseline = self.baseline_usd_per_million
        return 1 - usd_per_million / baseline if baseline else None

    def as_row(self) -> dict[str, Any]:
        """The plan for scripts; `mix`, `usd_per_million`, `predicted_hz` and `prediction_error` are what they rely on."""
        return {
            "mix": mix_rows(self.mix),
            "usd_per_million": self.usd_per_million,
            "usd_per_million_interval": [self.usd_per_million_low, self.usd_per_million_high],
            "usd_per_million_hourly": self.usd_per_million_hourly,
            "usd_per_hour": self.mix.usd_per_hour,
            "predicted_hz": self.mix.predicted_hz,
            "measured_hz": self.measured_hz or self.mix.knee_hz,
            "prediction_error": self.prediction_error,
            "peak_hz": self.demand.peak_hz,
            "frames": self.demand.frames,
            "baseline": mix_rows(self.baseline) if self.baseline else None,
            "baseline_usd_per_million": self.baseline_usd_per_million,
            "saving": self.saving,
            "saving_hourly": self.saving_hourly,
        }


def mix_rows(mix: Mix) -> list[dict[str, Any]]:
    """A mix for scripts.

    Args:
        mix: the mix.

    Returns:
        an object for each part; `usd_per_hour` is the price of one instance.
    """
    return [
        {
            "instance": part.offer.instance,
            "count": part.count,
            "usd_per_hour": part.offer.usd_per_hour,
            "variant": part.offer.variant,
            "purchase": part.offer.purchase,
            "knee_hz": part.offer.knee_hz,
        }
        for part in mix.parts
    ]


def make_plan(
    offers: Sequence[Offer], demand: Demand, *, gpu_offers: Sequence[Offer] = (), headroom: float = HEADROOM
) -> Plan:
    """Make a plan.

    Args:
        offers: what can be rented.
        demand: what has to be carried.
        gpu_offers: GPUs on demand, for the baseline; may be empty.
        headroom: share of each knee that stays free.

    Returns:
        the plan.

    Raises:
        PlanError: nothing is offered, or the numbers make no sense.
    """
    mix = cheapest_mix(offers, demand.peak_hz, headroom=headroom)
    baselines = [only_mix(offer, demand.peak_hz, headroom=headroom) for offer in gpu_offers]
    baseline = min(baselines, key=lambda one: one.usd_per_hour, default=None)
    hourly = {float(rate): 0.0 for rate in demand.by_hour()}
    for rate in hourly:
        hourly[rate] = cheapest_mix(offers, rate, headroom=headroom).usd_per_hour
    hourly_usd = sum(hourly[float(rate)] for rate in demand.by_hour()) * demand.hours / len(demand.by_hour())
    return Plan(
        mix=mix,
        usd_per_million=_per_million(mix, demand),
        usd_per_million_low=_per_million(_with_knees(offers, 1, demand, headroom), demand),
        usd_per_million_high=_per_million(_with_knees(offers, -1, demand, headroom), demand),
        usd_per_million_hourly=hourly_usd / demand.frames * MILLION,
        baseline=baseline,
        baseline_usd_per_million=_per_million(baseline, demand) if baseline else None,
        demand=demand,
    )


def _with_knees(offers: Sequence[Offer], sign: int, demand: Demand, headroom: float) -> Mix:
    """The mix if every knee lay elsewhere by its uncertainty; at most by 90 %."""
    moved = []
    for offer in offers:
        share = min(0.9, max(KNEE_TOLERANCE, offer.prediction_error))
        moved.append(replace(offer, knee_hz=offer.knee_hz * (1 + sign * share)))
    return cheapest_mix(moved, demand.peak_hz, headroom=headroom)


def _per_million(mix: Mix, demand: Demand) -> float:
    return mix.usd_per_hour * demand.hours / demand.frames * MILLION
