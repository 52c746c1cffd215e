"""A day of a fleet in virtual time: what a policy costs, what it serves, and how often it changes its mind.

Steps are short (a second), arrivals are Poisson, and everything is counted per instance type, never per camera or instance: a million
cameras take no longer than one. What exceeds the knee of the running instances within a step counts as lost; the queue of a deadline
of a tenth of a second could not save it. Spot instances are taken away at random; a replacement is ordered at once and boots first.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fleetsight.fleet.planning.demand import Demand
from fleetsight.fleet.planning.mix import HEADROOM, Mix, cheapest_mix, only_mix
from fleetsight.fleet.planning.offers import Offer
from fleetsight.serve.scaling.rule import ScalingRule, ScalingState, decide

OSCILLATION_S = 600.0
"""A change of direction within ten minutes is an oscillation (N7 of the serving reference)."""

GRID_SHARE = 0.05
"""A cost-aware fleet asks for capacities on a geometric grid of 5 %, so that a day needs a few dozen programs, not thousands."""

MILLION = 1e6

Chooser = Callable[[float], Mix]


@dataclass(frozen=True)
class World:
    """What a day does to a fleet.

    Attributes:
        boot_s: from ordering an instance to its first answer: machine, image, model, warm-up.
        spot_losses_per_hour: mean number of times in an hour that one spot instance is taken away.
        sample_s: length of a step.
        seed: of arrivals and losses.
    """

    boot_s: float = 120.0
    spot_losses_per_hour: float = 0.05
    sample_s: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Policy:
    """How a fleet follows its demand.

    Attributes:
        name: what it is called.
        choose: the mix for a wanted capacity (Hz at the knee).
        rule: when another capacity is wanted; None keeps that of the beginning.
        start_hz: capacity that is wanted first.
    """

    name: str
    choose: Chooser
    rule: ScalingRule | None
    start_hz: float


@dataclass(frozen=True)
class DayResult:
    """What a policy brought.

    Attributes:
        policy: its name.
        usd: what was paid.
        frames: frames that came.
        served_share: share of them that was carried.
        usd_per_million: dollars for a million frames that were carried.
        instances_max: most instances at once.
        decisions: times that another capacity was wanted.
        oscillations: those that turned the direction within ten minutes.
        losses: spot instances that were taken away.
    """

    policy: str
    usd: float
    frames: int
    served_share: float
    usd_per_million: float
    instances_max: int
    decisions: int
    oscillations: int
    losses: int


def policies(offers: Sequence[Offer], demand: Demand, *, headroom: float = HEADROOM) -> tuple[Policy, ...]:
    """The three policies that are compared.

    Args:
        offers: what can be rented.
        demand: what has to be carried.
        headroom: share of each knee that stays free.

    Returns:
        static (the mix for the peak, all day), request count (one type, as many as the rate wants), cost-aware (the cheapest mix for the
        rate).
    """
    peak_hz = demand.peak_hz / (1 - headroom)
    begin_hz = float(demand.rate_hz[0]) / (1 - headroom)
    rule = ScalingRule(target_share=1 - headroom, up_share=1 - headroom / 2)
    by_value = min(offers, key=lambda offer: offer.usd_per_hour / offer.knee_hz)
    known: dict[float, Mix] = {}

    def cheapest(wanted_hz: float) -> Mix:
        on_grid_hz = (1 + GRID_SHARE) ** math.ceil(math.log(max(wanted_hz, 1e-6), 1 + GRID_SHARE))
        if on_grid_hz not in known:
            known[on_grid_hz] = cheapest_mix(offers, on_grid_hz, headroom=0.0)
        return known[on_grid_hz]

    static = cheapest_mix(offers, demand.peak_hz, headroom=headroom)
    return (
        Policy("static", lambda _wanted_hz: static, None, peak_hz),
        Policy("request count", lambda hz: only_mix(by_value, max(hz, 1e-6), headroom=0.0), rule, begin_hz),
        Policy("cost-aware", cheapest, rule, begin_hz),
    )


@dataclass
class _Fleet:
    """Instances per offer: running, and booting with the time they are ready."""

    offers: Sequence[Offer]
    boot_s: float
    running: NDArray[np.int64]
    booting: list[tuple[float, NDArray[np.int64]]] = field(default_factory=list)

    def follow(self, want: NDArray[np.int64], *, wanted_hz: float, now_s: float, knees: NDArray[np.float64]) -> None:
        """Order what is missing; give back what is too much, but only while the rest carries what is wanted."""
        while self.booting and self.booting[0][0] <= now_s:
            self.running = self.running + self.booting.pop(0)[1]
        missing = np.maximum(want - self.running - self.ordered(), 0)
        if missing.any():
            self.booting.append((now_s + self.boot_s, missing))
        spare_hz = float(self.running @ knees) - wanted_hz
        for at in np.flatnonzero(self.running > want):
            leaving = min(int(self.running[at] - want[at]), int(max(spare_hz, 0.0) / knees[at] + 1e-9))
            self.running[at] -= leaving
            spare_hz -= leaving * float(knees[at])

    def ordered(self) -> NDArray[np.int64]:
        """Instances that boot."""
        return sum((count for _, count in self.booting), np.zeros_like(self.running))


def simulate(policy: Policy, offers: Sequence[Offer], *, demand: Demand, world: World) -> DayResult:
    """Live through a demand.

    Args:
        policy: how the fleet follows.
        offers: what can be rented; the policy's mixes are made of them.
        demand: what comes.
        world: boots, losses and the seed.

    Returns:
        what it brought.
    """
    rng = np.random.default_rng([world.seed, 31])
    repeats = max(1, round(demand.step_s / world.sample_s))
    dt_s = demand.step_s / repeats
    arrivals = rng.poisson(np.repeat(demand.rate_hz, repeats) * dt_s)
    knees = np.array([offer.knee_hz for offer in offers])
    prices = np.array([offer.usd_per_hour for offer in offers])
    is_spot = np.array([offer.purchase == "spot" for offer in offers])
    dies = 1 - math.exp(-world.spot_losses_per_hour * dt_s / 3600)
    state = ScalingState(policy.start_hz)
    want = _counts(policy.choose(policy.start_hz), offers)
    fleet = _Fleet(offers, world.boot_s, want.copy())
    served, usd, losses, most = 0.0, 0.0, 0, 0
    turns: list[tuple[float, bool]] = []
    may_lose = bool(is_spot.any()) and world.spot_losses_per_hour > 0
    for step, came in enumerate(arrivals.tolist()):
        now_s = step * dt_s
        served += min(came, float(fleet.running @ knees) * dt_s)
        held = fleet.running + fleet.ordered()
        usd += float(held @ prices) * dt_s / 3600
        most = max(most, int(held.sum()))
        if may_lose:
            lost = rng.binomial(np.where(is_spot, fleet.running, 0), dies)
            fleet.running, losses = fleet.running - lost, losses + int(lost.sum())
        if policy.rule is not None:
            told = decide(state, policy.rule, now_s=now_s, rate_hz=came / dt_s)
            if told.wanted_hz != state.wanted_hz:
                turns.append((now_s, told.wanted_hz > state.wanted_hz))
                want = _counts(policy.choose(told.wanted_hz), offers)
            state = told
        fleet.follow(want, wanted_hz=state.wanted_hz, now_s=now_s, knees=knees)
    return DayResult(
        policy=policy.name,
        usd=usd,
        frames=int(arrivals.sum()),
        served_share=served / max(1, int(arrivals.sum())),
        usd_per_million=usd / served * MILLION if served else math.inf,
        instances_max=most,
        decisions=len(turns),
        oscillations=_oscillations(turns),
        losses=losses,
    )


def _counts(mix: Mix, offers: Sequence[Offer]) -> NDArray[np.int64]:
    of = {id(part.offer): part.count for part in mix.parts}
    return np.array([of.get(id(offer), 0) for offer in offers], dtype=np.int64)


def _oscillations(turns: Sequence[tuple[float, bool]]) -> int:
    """Changes of direction within ten minutes."""
    pairs = itertools.pairwise(turns)
    return sum(1 for (before_s, was_up), (at_s, is_up) in pairs if was_up != is_up and at_s - before_s <= OSCILLATION_S)
