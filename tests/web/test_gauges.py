"""What the rows say about an installation stands in the figures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetsight.clock import SECOND_NS
from fleetsight.store.lease import Executors
from fleetsight.store.outbox import post
from fleetsight.web.gauges import gauges
from fleetsight.web.metrics import Metrics
from tests.fleet.settled import HOLD_MINOR, Settled


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Settled]:
    made = Settled.make(tmp_path)
    yield made
    made.parts.close()


def figures(shop: Settled) -> dict[str, float]:
    """Each figure by its name with labels, as Prometheus sees it."""
    text = Metrics(gauges(shop.parts.rows, shop.clock)).exposition().decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_an_installation_in_which_nothing_happens_has_its_figures(shop: Settled) -> None:
    found = figures(shop)
    assert found["fleetsight_open_holds"] == 0
    assert found['fleetsight_sessions{state="review"}'] == 0
    assert found["fleetsight_workers"] == 0
    assert found["fleetsight_payments_unreconciled"] == 0


def test_money_and_sessions_under_way_are_counted_with_their_age(shop: Settled) -> None:
    shop.redeem()
    shop.clock.advance(7 * SECOND_NS)
    found = figures(shop)
    assert found["fleetsight_open_holds"] == 1
    assert found['fleetsight_held_minor{currency="EUR"}'] == HOLD_MINOR
    assert found["fleetsight_oldest_hold_seconds"] == 7
    assert found['fleetsight_sessions{state="unlocking"}'] == 1
    assert found['fleetsight_session_age_seconds{state="unlocking"}'] == 7
    assert found["fleetsight_sessions_late"] == 0


def test_a_session_that_is_over_is_counted_no_more(shop: Settled) -> None:
    shop.buy()
    found = figures(shop)
    assert sum(value for name, value in found.items() if name.startswith("fleetsight_sessions")) == 0
    assert found["fleetsight_open_holds"] == 0


def test_letters_that_nobody_performs_grow_old(shop: Settled) -> None:
    with shop.parts.rows.transaction() as connection:
        post(connection, topic="session.settle", key="1", body={}, due_ns=shop.clock.now_ns())
    shop.clock.advance(9 * SECOND_NS)
    found = figures(shop)
    assert found['fleetsight_outbox_letters{topic="session.settle"}'] == 1
    assert found['fleetsight_outbox_late_seconds{topic="session.settle"}'] == 9


def test_a_worker_counts_while_it_has_its_lease(shop: Settled) -> None:
    assert Executors(shop.parts.rows, shop.clock).acquire("worker-0") is not None
    assert figures(shop)["fleetsight_workers"] == 1
    shop.clock.advance(3600 * SECOND_NS)
    assert figures(shop)["fleetsight_workers"] == 0
