"""The last minute is the last minute, and quantiles are near."""

import pytest

from fleetsight.serve.queueing.request import Reason
from fleetsight.serve.tier.recent import SPAN_S, Recent, quantile_ms


class Hands:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_rates_are_over_the_time_that_was_looked_at() -> None:
    hands = Hands()
    recent = Recent(hands)
    for _ in range(200):
        recent.answered("m", "cpu", seconds=0.01)
        hands.now_s += 0.1
    lately = recent.read("m")
    assert lately.answers["cpu"] / lately.span_s == pytest.approx(10.0)


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    hands = Hands()
    recent = Recent(hands)
    recent.answered("m", "cpu", seconds=0.01)
    recent.refused("m", Reason.EXPIRED)
    hands.now_s += SPAN_S
    recent.answered("m", "gpu", seconds=0.01)
    lately = recent.read("m")
    assert (dict(lately.answers), dict(lately.refusals)) == ({"gpu": 1}, {})


@pytest.mark.parametrize("ms", [0.2, 3.0, 47.0, 900.0, 30_000.0])
def test_quantiles_are_five_per_cent_off_at_most(ms: float) -> None:
    recent = Recent()
    for _ in range(99):
        recent.answered("m", "cpu", seconds=ms / 1000)
    recent.answered("m", "cpu", seconds=1e9)
    times = recent.read("m").times["cpu"]
    assert quantile_ms(times, 0.5) == pytest.approx(ms, rel=0.05)
    assert quantile_ms(times, 0.99) == pytest.approx(ms, rel=0.05)
    assert quantile_ms([0, 0], 0.5) is None


def test_mistakes_of_callers_are_no_load() -> None:
    recent = Recent()
    recent.answered("m", "cpu", seconds=0.01)
    recent.refused("m", Reason.WOULD_BE_LATE)
    recent.refused("m", Reason.NOT_AN_IMAGE)
    assert recent.asked("m") == 2
