"""What has to be carried: frames a second over a day, measured or made up.

A measured trace is a CSV file of two columns, `seconds` and `rate_hz`, in equal steps. A made-up day is drawn camera by camera, each
with its own noon, and added up without a loop, so that a million cameras take a second.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleetsight.errors import Error

DAY_S = 86_400
STEPS_MAX = 1_000_000
"""Most steps of a trace: eleven days by the second."""

CAMERAS_MAX = 100_000_000
RATE_HZ_MAX = 1e12

NOON_SPREAD_H = 1.5
"""Standard deviation of the hour at which a camera sees most: people's habits and the width of a time zone. Our own choice."""

EVENING_SHARE = 0.6
"""Height of the evening's hump by that of noon; shops see two. Our own choice."""

NIGHT_SHARE = 0.1
"""What is left of the activity at night, by that of noon. Our own choice."""


class DemandError(Error):
    """A demand that cannot be read, or makes no sense."""

    code = "plan_demand"


@dataclass(frozen=True)
class Demand:
    """Frames a second over time.

    Attributes:
        step_s: length of one step.
        rate_hz: (t,) mean rate in each step, >= 0.
    """

    step_s: float
    rate_hz: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step_s) and self.step_s > 0):
            raise DemandError(f"steps of {self.step_s} s, expected more than 0")
        if self.rate_hz.ndim != 1 or not 1 <= len(self.rate_hz) <= STEPS_MAX:
            raise DemandError(f"a trace of shape {self.rate_hz.shape}, expected 1 to {STEPS_MAX} steps")
        if not np.isfinite(self.rate_hz).all() or self.rate_hz.min() < 0 or self.rate_hz.max() > RATE_HZ_MAX:
            raise DemandError(f"a rate outside of 0 to {RATE_HZ_MAX:g} Hz")
        if self.rate_hz.max() == 0:
            raise DemandError("a demand of nothing", hint="raise --cameras, --fps or --duty")

    @property
    def peak_hz(self) -> float:
        """The highest step."""
        return float(self.rate_hz.max())

    @property
    def frames(self) -> float:
        """All frames of the trace."""
        return float(self.rate_hz.sum() * self.step_s)

    @property
    def hours(self) -> float:
        """Length of the trace."""
        return len(self.rate_hz) * self.step_s / 3600

    def by_hour(self) -> NDArray[np.float64]:
        """The highest step of each hour of the trace, Hz."""
        steps = max(1, round(3600 / self.step_s))
        padded = np.pad(self.rate_hz, (0, -len(self.rate_hz) % steps), mode="edge")
        return np.asarray(padded.reshape(-1, steps).max(axis=1))


def steady(cameras: int, fps: float) -> Demand:
    """Cameras that all send at their rate, all day.

    Args:
        cameras: how many, at least 1.
        fps: frames a second of each.

    Returns:
        one day, by the hour.

    Raises:
        DemandError: a number outside its range.
    """
    _check(cameras, fps)
    return Demand(3600.0, np.full(24, cameras * fps))


@dataclass(frozen=True)
class DayShape:
    """How a made-up day looks.

    Attributes:
        duty: mean share of the day in which a camera sends, above 0 to 1.
        bursts: mean number of bursts in a day: a sale, a storm, a match.
        burst_factor: highest factor of a burst; each draws its own from 1.5 up.
        burst_s: mean length of a burst.
    """

    duty: float = 0.3
    bursts: float = 3.0
    burst_factor: float = 3.0
    burst_s: float = 600.0

    def __post_init__(self) -> None:
        if not 0 < self.duty <= 1:
            raise DemandError(f"a duty of {self.duty}, expected above 0 to 1", hint="a third of the day is --duty 0.33")
        if self.bursts < 0 or self.burst_factor < 1.5 or self.burst_s <= 0:
            raise DemandError("bursts need a number >= 0, a factor of at least 1.5 and a length above 0 s")


def made_up_day(cameras: int, fps: float, *, shape: DayShape, seed: int, step_s: float = 60.0) -> Demand:
    """Draw a day of cameras that send when something happens.

    Args:
        cameras: how many, at least 1; each draws its own noon.
        fps: frames a second of a camera while it sends.
        shape: how the day looks.
        seed: of the draws.
        step_s: length of one step; divides a day.

    Returns:
        one day.

    Raises:
        DemandError: a number outside its range.
    """
    _check(cameras, fps)
    steps = round(DAY_S / step_s)
    if steps < 24 or abs(steps * step_s - DAY_S) > 1e-6:
        raise DemandError(f"steps of {step_s:g} s do not divide a day into 24 or more")
    rng = np.random.default_rng([seed, 21])
    offsets = np.rint(rng.normal(0.0, NOON_SPREAD_H, cameras) * 3600 / step_s).astype(np.int64) % steps
    at_offset = np.bincount(offsets, minlength=steps).astype(np.float64)
    spectrum = np.fft.rfft(at_offset) * np.fft.rfft(_activity(steps))
    active = np.maximum(np.fft.irfft(spectrum, steps), 0.0)
    active *= shape.duty * cameras / active.mean()
    rate_hz = np.minimum(active, cameras) * fps * _bursts(steps, step_s, shape=shape, rng=rng)
    return Demand(step_s, rate_hz)


def read_demand(path: Path) -> Demand:
    """Read a trace.

    Args:
        path: CSV with the columns `seconds` and `rate_hz`, in equal steps.

    Returns:
        the trace.

    Raises:
        DemandError: another content; says the line.
    """
    form = "two columns with the head: seconds,rate_hz"
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DemandError(f"{path} is not CSV: {error}", hint=form) from error
    if not rows or [name.strip() for name in rows[0]] != ["seconds", "rate_hz"]:
        raise DemandError(f"{path} begins with {rows[0] if rows else 'nothing'}", hint=form)
    seconds, rates = [], []
    for number, row in enumerate(rows[1:], start=2):
        try:
            second, rate = (float(part) for part in row)
        except ValueError:
            raise DemandError(f"{path}, line {number}: {','.join(row)!r} is not two numbers", hint=form) from None
        seconds.append(second)
        rates.append(rate)
    if len(seconds) < 2:
        raise DemandError(f"{path} holds {len(seconds)} steps, expected at least 2", hint=form)
    gaps = np.diff(seconds)
    if not np.allclose(gaps, gaps[0], rtol=1e-6) or gaps[0] <= 0:
        raise DemandError(f"{path}: the steps are not equal", hint="each line is as long after the last as the others")
    return Demand(float(gaps[0]), np.array(rates))


def _check(cameras: int, fps: float) -> None:
    if not 1 <= cameras <= CAMERAS_MAX:
        raise DemandError(f"{cameras} cameras, expected 1 to {CAMERAS_MAX}")
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise DemandError(f"{fps} frames a second of a camera, expected above 0 to 1000")


def _activity(steps: int) -> NDArray[np.float64]:
    """(t,) how much one camera sees through its day: a hump at noon, a lower one in the evening, little at night."""
    hour = np.arange(steps) * 24 / steps
    noon, evening = (np.exp(-0.5 * ((hour - at) / 2.5) ** 2) for at in (12.5, 18.5))
    return np.asarray(NIGHT_SHARE + noon + EVENING_SHARE * evening)


def _bursts(steps: int, step_s: float, *, shape: DayShape, rng: np.random.Generator) -> NDArray[np.float64]:
    """(t,) factors: 1, and more within a burst; of two bursts at once the higher counts."""
    factor = np.ones(steps)
    for _ in range(rng.poisson(shape.bursts)):
        begin = int(rng.integers(steps))
        length = max(1, round(rng.exponential(shape.burst_s) / step_s))
        height = rng.uniform(1.5, shape.burst_factor)
        factor[begin : begin + length] = np.maximum(factor[begin : begin + length], height)
    return factor
