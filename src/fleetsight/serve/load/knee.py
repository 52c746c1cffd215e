"""Where a server's knee lies: the highest offered rate of which at least 99 % is still answered in time.

Pure: what a rate brings is asked of a function, so the search is tested with servers in virtual time. It first steps out until it
holds one rate that is carried and one that is not, then halves the gap (geometrically: rates differ by factors).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from fleetsight.serve.load.curve import CurvePoint

GOAL = 0.99
"""Share of the offered requests that has to be answered in time (N3 of the serving reference)."""

STEPS_MAX = 24
"""Most rates that are tried; each costs a run."""

STEP_OUT = 1.5
"""Factor by which the search steps out."""


@dataclass(frozen=True)
class Knee:
    """What a search found.

    Attributes:
        knee_hz: rate that the highest carried point offered; 0 when nothing was carried.
        points: every point that was measured, by offered rate.
    """

    knee_hz: float
    points: tuple[CurvePoint, ...]


def find_knee(
    measure: Callable[[float], CurvePoint], start_hz: float, *, tolerance: float = 0.03, goal: float = GOAL
) -> Knee:
    """Search for the knee.

    Args:
        measure: offers a rate (Hz) and says what it brought.
        start_hz: first rate, > 0; the nearer to the knee, the fewer runs.
        tolerance: the search ends when carried and not carried rate differ by less than this share.
        goal: share of the offered that has to be answered in time.

    Returns:
        the knee and what was measured.
    """
    points: list[CurvePoint] = []
    carried: tuple[float, float] = (0.0, 0.0)  # rate asked for, rate offered
    refused = math.inf
    rate = start_hz
    while len(points) < STEPS_MAX:
        point = measure(rate)
        points.append(point)
        if point.good_share >= goal:
            carried = max(carried, (rate, point.offered_hz))
        else:
            refused = min(refused, rate)
        if math.isinf(refused):
            rate = carried[0] * STEP_OUT
        elif carried[0] == 0.0:
            rate = refused / STEP_OUT
            if rate < start_hz / 1000:
                break
        elif refused / carried[0] <= 1 + tolerance:
            break
        else:
            rate = math.sqrt(carried[0] * refused)
    return Knee(knee_hz=carried[1], points=tuple(sorted(points, key=lambda point: point.offered_hz)))
