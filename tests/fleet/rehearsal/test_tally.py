"""What a rehearsal came to, counted from the service's own rows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.simulated_shopper import Purchase
from fleetsight.apps.cooler.session.machine.events import DeadlinePassed
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.rehearsal.tally import percentile, tally
from fleetsight.money import Money
from tests.fleet.settled import HOLD_MINOR, TOTAL_MINOR, Settled


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Settled]:
    made = Settled.make(tmp_path)
    yield made
    made.parts.close()


def bought(session_id: str, *, expected_minor: int, redeem_s: float = 0.05) -> Purchase:
    hold = Money(HOLD_MINOR, "EUR")
    expected = Money(expected_minor, "EUR")
    return Purchase(session_id, "receipt", "settled", hold, expected, expected, redeem_s, 0.2, 1.0, 1, None)


def test_scripts_get_exactly_these_words(shop: Settled) -> None:
    found = tally(shop.parts.rows, []).as_json()
    assert list(found) == [
        "sessions",
        "settled",
        "reviewed",
        "released",
        "expected_minor",
        "charged_minor",
        "wrong",
        "receipt_s",
        "unlock_ms",
    ]
    assert found["receipt_s"] == {"p50": None, "p95": None}
    assert found["unlock_ms"] == {"p50": None, "p99": None}
    assert found["sessions"] == 0


def test_a_charge_is_compared_with_what_was_taken(shop: Settled) -> None:
    right, wrong, unseen = shop.buy(), shop.buy(), shop.buy()
    known = [bought(right.id, expected_minor=TOTAL_MINOR), bought(wrong.id, expected_minor=TOTAL_MINOR - 1)]
    found = tally(shop.parts.rows, known)
    assert (found.sessions, found.settled, found.reviewed, found.released, found.unfinished) == (3, 3, 0, 0, 0)
    assert found.charged_minor == 3 * TOTAL_MINOR
    assert found.expected_minor == 2 * TOTAL_MINOR - 1
    assert found.wrong == 2  # the one that nobody saw end, too
    assert unseen.id not in {one.session_id for one in known}
    assert found.unlock_ms == (50.0, 50.0)


def test_a_session_under_way_has_no_end_and_one_that_never_opened_owes_nothing(shop: Settled) -> None:
    session = shop.redeem()
    assert tally(shop.parts.rows, []).unfinished == 1
    shop.clock.advance(3600 * SECOND_NS)
    shop.parts.sessions.apply(session.id, DeadlinePassed(online=True))
    found = tally(shop.parts.rows, [bought(session.id, expected_minor=TOTAL_MINOR)])
    assert (found.unfinished, found.released, found.expected_minor, found.wrong) == (0, 1, 0, 0)


@pytest.mark.parametrize(("percent", "value"), [(1, 1.0), (50, 2.0), (75, 3.0), (76, 4.0), (99, 4.0), (100, 4.0)])
def test_a_percentile_is_one_of_the_values(percent: int, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == value
