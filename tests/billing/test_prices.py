"""The price at a moment, and the price that was frozen, never change."""

from dataclasses import replace

import pytest

from fleetsight.billing.prices import PriceEntry, PriceError, PriceList, check, price_list_at, publish
from fleetsight.billing.prices import price_list as read
from fleetsight.billing.quote import quote
from fleetsight.money import Money, MoneyError
from fleetsight.store.rows import Rows
from tests.billing.price_lists import price_list, price_list_of

NINE, NOON, SIX = 900, 1200, 1800


def published(rows: Rows, draft: PriceList, now_ns: int) -> PriceList:
    with rows.transaction() as connection:
        return publish(connection, draft, now_ns=now_ns)


def at(rows: Rows, at_ns: int, *, tenant: str = "t1", site: str = "site-1") -> PriceList | None:
    with rows.reading() as connection:
        return price_list_at(connection, tenant, site_id=site, at_ns=at_ns)


def test_the_list_that_began_last_is_valid(rows: Rows) -> None:
    old = published(rows, replace(price_list(cola=(250, 1900)), valid_from_ns=NINE), 0)
    new = published(rows, replace(price_list(list_id="p2", cola=(270, 1900)), valid_from_ns=NOON), 0)
    assert at(rows, NINE - 1) is None
    assert at(rows, NINE) == at(rows, NOON - 1) == old
    assert at(rows, NOON) == at(rows, SIX) == new


def test_a_list_ends_where_it_says(rows: Rows) -> None:
    always = published(rows, price_list(cola=(250, 1900)), 0)
    happy_hour = replace(price_list(list_id="p2", cola=(150, 1900)), valid_from_ns=NOON, valid_to_ns=SIX)
    published(rows, happy_hour, 0)
    assert at(rows, SIX - 1) == happy_hour
    assert at(rows, SIX) == always


def test_other_sites_and_tenants_have_their_own_prices(rows: Rows) -> None:
    published(rows, price_list(cola=(250, 1900)), 0)
    assert at(rows, NOON, site="site-2") is None
    assert at(rows, NOON, tenant="t2") is None
    with rows.reading() as connection:
        assert read(connection, "t2", list_id="p1") is None


def test_a_new_price_never_reaches_back(rows: Rows) -> None:
    old = published(rows, price_list(cola=(250, 1900)), NINE)
    new = published(rows, price_list(list_id="p2", cola=(990, 1900)), NOON)
    assert (old.valid_from_ns, new.valid_from_ns) == (NINE, NOON)
    assert at(rows, NOON - 1) == old


@pytest.mark.bad_input(56)
def test_an_edit_after_unlock_changes_nothing_for_that_session(rows: Rows) -> None:
    published(rows, price_list(cola=(250, 1900)), NINE)
    frozen = at(rows, NINE)
    assert frozen is not None
    published(rows, price_list(list_id="p2", cola=(990, 1900)), NINE + 1)
    with rows.reading() as connection:
        kept = read(connection, "t1", list_id=frozen.id)
    assert kept == frozen
    assert quote({"cola": 2}, kept).total == Money(500, "EUR")


def test_publishing_twice_is_once_and_an_id_stands_for_one_list(rows: Rows) -> None:
    first = published(rows, price_list(cola=(250, 1900)), NINE)
    assert published(rows, price_list(cola=(250, 1900)), NOON) == first
    with pytest.raises(PriceError, match="another one"):
        published(rows, price_list(cola=(251, 1900)), NOON)


def test_an_empty_list_and_free_products_are_lists(rows: Rows) -> None:
    assert published(rows, price_list(), 0).entries == {}
    assert published(rows, price_list(list_id="p2", water=(0, 0)), 1).entries["water"].gross == Money(0, "EUR")


@pytest.mark.parametrize(
    "draft",
    [
        price_list(cola=(-1, 1900)),
        price_list(cola=(10**9 + 1, 1900)),
        price_list(cola=(250, -1)),
        price_list(cola=(250, 10_001)),
        price_list_of({"": (250, 1900)}),
        replace(price_list(cola=(250, 1900)), currency="USD"),
        replace(price_list(cola=(250, 1900)), valid_from_ns=NOON, valid_to_ns=NOON),
        price_list_of({f"sku-{n}": (1, 0) for n in range(10_001)}),
        replace(price_list(), entries={"cola": PriceEntry(Money(250, "EUR"), 19.0)}),  # type: ignore[arg-type]
    ],
)
def test_a_list_that_nobody_can_mean_is_refused(draft: PriceList) -> None:
    with pytest.raises(PriceError):
        check(draft)


def test_a_currency_that_is_none_is_refused() -> None:
    with pytest.raises(MoneyError):
        check(replace(price_list(), currency="euro"))
