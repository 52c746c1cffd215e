"""From a stream's time stamps to nanoseconds that start at 0 and strictly rise.

Stamps are integers in the stream's time base, and all arithmetic here is exact. Where a frame of the declared rate is no whole
number of coarse ticks (Matroska: 1 ms; 23.976 frames/s in MPEG-TS), the container has rounded the stamps; a stamp within one tick of
the rate's grid then means the grid's exact time. Stamps that are missing, run backwards or leap far ahead are repaired and counted.
"""

from dataclasses import dataclass, field
from fractions import Fraction

NS = 1_000_000_000
COARSE_TICK_S = Fraction(
    1, 100_000
)  # MPEG-TS 1/90000, Matroska 1/1000; below, rounding is under 10 µs and best left alone
FALLBACK_RATE_HZ = Fraction(25)  # paces frames without stamp in a stream without rate
TRUSTED_BACK_S = 2  # an offset is dropped again when the stamps return to within this of the last frame
VARIABLE_STEP = 0.2
VARIABLE_SHARE = 0.02  # a dropped picture now and then is still a constant rate
LEAP_NS = 60 * NS  # no recording of a purchase pauses for longer; one damaged stamp must not end a clip
NTSC = Fraction(1000, 1001)


def standard_rate(rate_hz: Fraction | None) -> Fraction | None:
    """Replace a rate that is a rounded whole or NTSC rate (n or n·1000/1001, n ≤ 240) by the exact one.

    Args:
        rate_hz: as the container states it; None or ≤ 0 where it states none.
    Returns:
        The exact rate; the stated one where none is within 2e-5 (30 and 30000/1001 differ by 1e-3); None without a rate.
    """
    if rate_hz is None or rate_hz <= 0:
        return None
    for candidate in (Fraction(round(rate_hz)), Fraction(round(rate_hz / NTSC)) * NTSC):
        if 0 < candidate <= 240 and abs(rate_hz / candidate - 1) < Fraction(1, 50_000):
            return candidate
    return rate_hz


@dataclass(slots=True)
class Timeline:
    """Places frames in time, one after the other.

    Args:
        time_base: seconds per tick, > 0.
        rate_hz: declared frames per second; None where unknown.
    """

    time_base: Fraction
    rate_hz: Fraction | None
    repaired: int = 0
    last_ns: int = -1
    _first: int | None = None
    _offset_ns: int = 0
    _steps_ns: list[int] = field(default_factory=list)
    _rounded: bool = False

    def __post_init__(self) -> None:
        whole = self.rate_hz is not None and (self.rate_hz * self.time_base).numerator == 1  # ticks per frame
        self._rounded = self.rate_hz is not None and not whole and self.time_base > COARSE_TICK_S

    @property
    def period_ns(self) -> int:
        """The time one frame stands: 1 / rate, of the fallback rate where none is known."""
        return round(NS / (self.rate_hz or FALLBACK_RATE_HZ))

    def place(self, stamp: int | None) -> int:
        """Give the next frame its time.

        Args:
            stamp: presentation time in ticks of the time base; None when the stream has none.
        Returns:
            Nanoseconds since the first frame, above every earlier one.
        """
        if stamp is not None and self._first is None:
            played_ns = self.last_ns + self.period_ns if self.last_ns >= 0 else 0
            self._first = stamp
            self._offset_ns = played_ns
            return self._advance(played_ns)
        if stamp is None or self._first is None:
            self.repaired += 1
            return self._advance(self.last_ns + self.period_ns if self.last_ns >= 0 else 0)
        raw_ns = self._to_ns(stamp - self._first)
        if self._offset_ns and self.last_ns < raw_ns <= self.last_ns + TRUSTED_BACK_S * NS:
            self._offset_ns = 0
        placed_ns = raw_ns + self._offset_ns
        if not self.last_ns < placed_ns <= self.last_ns + LEAP_NS:
            self.repaired += 1
            placed_ns = self.last_ns + self.period_ns
            self._offset_ns = placed_ns - raw_ns
        return self._advance(placed_ns)

    @property
    def longest_step_ns(self) -> int:
        """The longest time between two neighbouring frames; 0 with fewer than two."""
        return max(self._steps_ns, default=0)

    @property
    def is_variable(self) -> bool:
        """Whether more than VARIABLE_SHARE of the steps are more than VARIABLE_STEP off the median, one coarse tick allowed."""
        if len(self._steps_ns) < 2:
            return False
        middle_ns = sorted(self._steps_ns)[len(self._steps_ns) // 2]
        slack_ns = max(middle_ns * VARIABLE_STEP, round(self.time_base * NS))
        odd = sum(abs(step_ns - middle_ns) > slack_ns for step_ns in self._steps_ns)
        return odd > max(1, len(self._steps_ns) * VARIABLE_SHARE)

    def _advance(self, placed_ns: int) -> int:
        if self.last_ns >= 0:
            self._steps_ns.append(placed_ns - self.last_ns)
        self.last_ns = placed_ns
        return placed_ns

    def _to_ns(self, ticks: int) -> int:
        seconds = ticks * self.time_base
        if self._rounded and self.rate_hz is not None:
            on_grid = round(seconds * self.rate_hz) / self.rate_hz
            grid_ns = round(on_grid * NS)
            if abs(on_grid - seconds) <= self.time_base and grid_ns + self._offset_ns > self.last_ns:
                return grid_ns
        return round(seconds * NS)
