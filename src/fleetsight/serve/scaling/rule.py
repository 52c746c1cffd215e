"""When to scale: a pure rule, the same in the simulator and in a live fleet.

The signal is the measured request rate. Up: as soon as two of three samples want it, so that samples of a second answer a step within
three, and a single spike moves nothing. Down: only when the highest rate of the last minutes would still leave a margin. Between the
two lies a band in which nothing happens; a rate that trembles within it cannot make the fleet oscillate.
"""

from dataclasses import dataclass, replace

from fleetsight.errors import Error


class ScalingError(Error):
    """A rule of scaling that makes no sense."""

    code = "serve_scaling"


@dataclass(frozen=True)
class ScalingRule:
    """When to scale, and to what.

    Attributes:
        target_share: a new capacity is chosen so that the rate takes this share of it (0.7 of the knee: serving reference, section 3).
        up_share: more is wanted when the rate takes more than this share of the capacity.
        down_share: less is wanted when what the peak wants is below this share of the capacity.
        up_samples: samples whose median is looked at for going up.
        down_s: how long the peak is remembered before going down.
        bucket_s: the peak is remembered in pieces of this length.
        min_hz: capacity that always stays.
        max_hz: capacity that is never exceeded.
    """

    target_share: float = 0.7
    up_share: float = 0.85
    down_share: float = 0.8
    up_samples: int = 3
    down_s: float = 600.0
    bucket_s: float = 60.0
    min_hz: float = 0.0
    max_hz: float = float("inf")

    def __post_init__(self) -> None:
        if not 0 < self.target_share < self.up_share <= 1 or not 0 < self.down_share < 1:
            raise ScalingError("a scaling rule needs 0 < target_share < up_share <= 1 and 0 < down_share < 1")
        if self.up_samples < 1 or not 0 < self.bucket_s <= self.down_s or not 0 <= self.min_hz <= self.max_hz:
            raise ScalingError("a scaling rule needs samples, 0 < bucket_s <= down_s and 0 <= min_hz <= max_hz")


@dataclass(frozen=True)
class ScalingState:
    """What the rule remembers.

    Attributes:
        wanted_hz: capacity (knee of all instances together) that is wanted now.
        recent_hz: the last rates.
        peaks: highest rate of each piece of time: when it began, and the rate.
        since_s: when the state began; nothing is taken away before `down_s` has been seen.
    """

    wanted_hz: float
    recent_hz: tuple[float, ...] = ()
    peaks: tuple[tuple[float, float], ...] = ()
    since_s: float | None = None


def decide(state: ScalingState, rule: ScalingRule, *, now_s: float, rate_hz: float) -> ScalingState:
    """Take one sample in, and say what is wanted.

    Args:
        state: what was remembered.
        rule: when to scale.
        now_s: time of the sample, never falling.
        rate_hz: requests a second since the last sample, those refused included.

    Returns:
        the state with its wanted capacity.
    """
    recent = (*state.recent_hz, rate_hz)[-rule.up_samples :]
    peaks = _remember(state.peaks, rule, now_s=now_s, rate_hz=rate_hz)
    since_s = now_s if state.since_s is None else state.since_s
    kept = replace(state, recent_hz=recent, peaks=peaks, since_s=since_s)
    middle_hz = sorted(recent)[len(recent) // 2]
    if len(recent) == rule.up_samples and middle_hz > rule.up_share * state.wanted_hz:
        return replace(kept, wanted_hz=_within(rule, middle_hz / rule.target_share))
    from_peak_hz = _within(rule, max(rate for _, rate in peaks) / rule.target_share)
    if now_s - since_s >= rule.down_s and from_peak_hz < rule.down_share * state.wanted_hz:
        return replace(kept, wanted_hz=from_peak_hz)
    return replace(kept, wanted_hz=_within(rule, state.wanted_hz))


def _remember(
    peaks: tuple[tuple[float, float], ...], rule: ScalingRule, *, now_s: float, rate_hz: float
) -> tuple[tuple[float, float], ...]:
    kept = tuple(peak for peak in peaks if now_s - peak[0] < rule.down_s + rule.bucket_s)
    if kept and now_s - kept[-1][0] < rule.bucket_s:
        began_s, highest = kept[-1]
        return (*kept[:-1], (began_s, max(highest, rate_hz)))
    return (*kept, (now_s, rate_hz))


def _within(rule: ScalingRule, capacity_hz: float) -> float:
    return min(max(capacity_hz, rule.min_hz), rule.max_hz)
