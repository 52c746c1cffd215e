"""A service that is killed anywhere in a purchase charges the right amount once, and loses nothing that it acknowledged.

Here each crash point is met once, and a sample of pairs; `bench/bench_service_crashes.py` goes through every visit and many more
pairs.
"""

import random
import signal
from collections.abc import Sequence

import pytest

from fleetsight.store.crashpoint import POINTS
from tests.chaos.shop import LOG_TAIL, Shop
from tests.chaos.visits import ELSEWHERE, visits_of

SERVICE = sorted(set(POINTS) - set(ELSEWHERE))
PAIRS = 24
SEED = 3


def pairs(count: int) -> list[tuple[str, str]]:
    """Pairs of points: the first life dies of the one, the second of the other."""
    draw = random.Random(SEED)
    return [(draw.choice(SERVICE), draw.choice(SERVICE)) for _ in range(count)]


def survives(shop: Shop, *lives: Sequence[tuple[str, int]]) -> None:
    shop.armed = list(lives)
    assert shop.faults_of_purchase() == [], shop.log()[-LOG_TAIL:]


def test_a_purchase_passes_every_crash_point_of_the_service(shop: Shop) -> None:
    """A point that no purchase passes would be killed nowhere, and nobody would notice."""
    passed = visits_of(shop)
    assert set(SERVICE) - set(passed) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVICE)
@pytest.mark.bad_input(51)
def test_a_crash_harms_nothing(shop: Shop, name: str) -> None:
    survives(shop, [(name, 1)])
    assert -signal.SIGKILL in shop.deaths


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), pairs(PAIRS))
@pytest.mark.bad_input(51)
def test_a_crash_while_recovering_from_a_crash_harms_nothing(shop: Shop, first: str, second: str) -> None:
    survives(shop, [(first, 1)], [(second, 1)])
