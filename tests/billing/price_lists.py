"""Price lists that several tests share."""

from collections.abc import Mapping

from fleetsight.billing.prices import PriceEntry, PriceList
from fleetsight.money import Money


def price_list(currency: str = "EUR", *, list_id: str = "p1", **prices: tuple[int, int]) -> PriceList:
    """A list valid from the beginning of time; each price is gross minor units and tax rate in basis points."""
    return price_list_of(prices, currency=currency, list_id=list_id)


def price_list_of(prices: Mapping[str, tuple[int, int]], *, currency: str = "EUR", list_id: str = "p1") -> PriceList:
    """The same, for SKUs whose names are no Python names."""
    entries = {sku: PriceEntry(Money(minor, currency), rate_bp) for sku, (minor, rate_bp) in prices.items()}
    return PriceList(list_id, "t1", "site-1", currency, 0, None, entries)
