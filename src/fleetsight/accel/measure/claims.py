"""The savings that were published for AWS Inferentia2, recomputed: under which assumptions is each of them true?

A claim names a saving. Whether it holds depends on the baseline it was measured against, on how much faster the new chip
answered and on how each of them is paid. `examine` says for each baseline what saving a ratio of speeds gives and which
ratio the claim would need; nothing here is a constant but what was published.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fleetsight.accel.measure.cost import needed_ratio
from fleetsight.accel.measure.prices import PriceError, Prices

CANDIDATE = "inf2.xlarge"
BASELINES = ("p3.2xlarge", "g5.2xlarge", "g5.xlarge", "g4dn.2xlarge", "g4dn.xlarge")
"""GPU machines that one chip of inf2 is compared with, the most expensive first."""

RATIO = 5.0
"""24 to 120 frames a second: the speeds published beside the saving of 95 %."""


@dataclass(frozen=True)
class Claim:
    """A saving that was published.

    Attributes:
        saving: share of the cost per frame, 0 to 1.
        words: what was said with it.
        baseline: the machine it was said against; None: not stated.
        ratio: how many times as fast the candidate was; None: not stated.
    """

    saving: float
    words: str
    baseline: str | None = None
    ratio: float | None = None


CLAIMS = (
    Claim(
        0.95, "detector on inf2.xlarge at 120 frames/s instead of p3.2xlarge at 24", baseline="p3.2xlarge", ratio=5.0
    ),
    Claim(0.83, "visual questions (BLIP) on inf2 instead of a GPU of 32 GB that is not named"),
    Claim(0.20, "a fifth less on inf2; neither the baseline nor the speeds are stated"),
)


@dataclass(frozen=True)
class Against:
    """One baseline against the candidate.

    Attributes:
        baseline: name of the machine.
        usd_per_hour: its price on demand.
        price_alone: saving at equal speed.
        saving: saving at the ratio, both on demand.
        saving_reserved: the same with the candidate reserved for three years and the baseline still on demand; None: no price.
        needed: ratio of speeds for each claim, by its saving in per cent.
    """

    baseline: str
    usd_per_hour: float
    price_alone: float
    saving: float
    saving_reserved: float | None
    needed: dict[int, float]


@dataclass(frozen=True)
class Verdict:
    """A claim examined.

    Attributes:
        claim: what was published.
        holds_against: baselines against which the ratio gives at least that saving.
        fails_against: the others.
        words: which assumptions make it true.
    """

    claim: Claim
    holds_against: tuple[str, ...]
    fails_against: tuple[str, ...]
    words: str


def compare(
    prices: Prices, candidate: str = CANDIDATE, *, ratio: float = RATIO, baselines: Iterable[str] = BASELINES
) -> tuple[Against, ...]:
    """Compare a machine with several baselines at one ratio of speeds.

    Args:
        prices: the price file.
        candidate: the machine that would be rented.
        ratio: frames per second of it over those of the baseline, above 0.
        baselines: machines rented now.

    Returns:
        one entry for each baseline, in order.

    Raises:
        PriceError: a machine or a price is not known, or the ratio makes no sense.
    """
    if not ratio > 0.0:
        raise PriceError(f"a ratio of speeds is above 0, got {ratio}")
    usd_per_hour = prices.on_demand(candidate)
    reserved = prices.find(candidate).reserved_3_years_usd_per_hour
    return tuple(
        Against(
            baseline=name,
            usd_per_hour=(now := prices.on_demand(name)),
            price_alone=1.0 - usd_per_hour / now,
            saving=1.0 - usd_per_hour / now / ratio,
            saving_reserved=None if reserved is None else 1.0 - reserved / now / ratio,
            needed={
                round(100 * claim.saving): needed_ratio(now, usd_per_hour, wanted=claim.saving) for claim in CLAIMS
            },
        )
        for name in baselines
    )


def examine(against: Iterable[Against], *, ratio: float = RATIO) -> tuple[Verdict, ...]:
    """Say for each published claim what makes it true.

    Args:
        against: baselines compared, as `compare` gives them at the same ratio.
        ratio: frames per second of the candidate over those of the baseline.

    Returns:
        one verdict for each claim, in order.
    """
    rows = tuple(against)
    verdicts = []
    for claim in CLAIMS:
        holds = tuple(row.baseline for row in rows if row.saving >= claim.saving)
        fails = tuple(row.baseline for row in rows if row.saving < claim.saving)
        verdicts.append(
            Verdict(claim=claim, holds_against=holds, fails_against=fails, words=_words(claim, rows, ratio=ratio))
        )
    return tuple(verdicts)


def _words(claim: Claim, rows: tuple[Against, ...], *, ratio: float) -> str:
    percent = round(100 * claim.saving)

    def told(row: Against) -> str:
        needed = row.needed[percent]
        return f"{row.baseline} (from {needed:.2f}x{', though slower' if needed < 1.0 else ''})"

    true = [told(row) for row in rows if row.saving >= claim.saving]
    false = [told(row) for row in rows if row.saving < claim.saving]
    parts = [f"true against {', '.join(true)}"] if true else []
    parts += [f"not against {', '.join(false)}"] if false else []
    return f"at {ratio:.3g}x the speed {'; '.join(parts)}"
