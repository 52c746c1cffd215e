"""The disk as an enemy: the process dies at a sync, or a write fails, and nothing that was acknowledged is lost.

Here a few of them; `bench/bench_service_crashes.py` goes through all.
"""

import signal
from collections.abc import Iterator

import pytest

from tests.chaos.shop import LOG_TAIL, Shop
from tests.chaos.tracing import TracedShop, fail_write, kill_at_sync, reason_not_to_trace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def tracing() -> None:
    if reason := reason_not_to_trace():
        pytest.skip(reason)


@pytest.fixture
def faults(tracing: None, shop: Shop) -> Iterator[list[TracedShop]]:
    made: list[TracedShop] = []
    yield made
    for traced in made:
        traced.end()


def buys_well(traced: TracedShop) -> None:
    assert traced.shop.faults_of_purchase(traced.keep_alive) == [], traced.shop.log()[-LOG_TAIL:]


@pytest.mark.parametrize("number", [1, 2, 3, 5, 8, 13])
@pytest.mark.bad_input(63)
def test_a_process_that_dies_at_a_sync_loses_nothing(faults: list[TracedShop], shop: Shop, number: int) -> None:
    traced = TracedShop(shop, kill_at_sync(number))
    faults.append(traced)
    buys_well(traced)
    assert set(shop.deaths) <= {-signal.SIGKILL}


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("number", [1, 11, 31, 61])
@pytest.mark.bad_input(31, 63)
def test_a_write_that_fails_loses_nothing(faults: list[TracedShop], shop: Shop, number: int, error: str) -> None:
    traced = TracedShop(shop, fail_write(number, error))
    faults.append(traced)
    buys_well(traced)
