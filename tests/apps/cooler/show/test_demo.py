"""The demo's receipts, and the sessions it shows."""

from fleetsight.apps.cooler.show.demo import SESSIONS, basket_rows
from fleetsight.sim.shoppers.scenarios import SCENARIOS
from tests.apps.cooler.show.settled import shown, take


def test_a_receipt_has_units_price_and_the_true_units_of_every_sku() -> None:
    item = shown([take("cola", count=2)], true={"cola": 1, "water": 1})
    first, second, total = basket_rows(item)
    assert first.split() == ["2", "x", "Cola", "330", "ml", "3.00", "EUR", "truth", "1"]
    assert second.split() == ["0", "x", "Still", "water", "0.00", "EUR", "truth", "1"]
    assert total.split() == ["total", "3.00", "EUR"]


def test_an_empty_receipt_says_nothing_beside_nothing() -> None:
    (row,) = basket_rows(shown([], true={}))
    assert row.split() == ["nothing", "truth", "nothing"]


def test_a_sku_that_is_missing_in_the_catalog_is_listed_without_a_price() -> None:
    row = basket_rows(shown([take("mystery")], true={}))[0]
    assert row.split() == ["1", "x", "mystery", "0.00", "EUR", "truth", "0"]


def test_the_demo_shows_different_scenarios_that_exist() -> None:
    names = [name for name, _ in SESSIONS]
    assert set(names) <= set(SCENARIOS)
    assert len(set(names)) == len(names)
