"""What things cost, by site and time. A price list is written once; a change is a new list.

A session keeps the id of the list that was valid when its door was unlocked, and is settled by that one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from fleetsight.billing.tables import PRICE_LISTS, PRICES
from fleetsight.errors import Error
from fleetsight.money import Money

TAX_RATE_MAX_BP = 10_000
"""100 %; the highest value-added tax in force anywhere is 27 % (Hungary)."""
SKUS_MAX = 10_000
GROSS_MAX_MINOR = 10**9
"""Above it a slip of the finger is likelier than a price: 10 million in currencies with cents."""


class PriceError(Error):
    """A price list that nobody can mean."""

    code = "price"


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """The price of one unit.

    Attributes:
        gross: what the shopper pays, tax included; zero is a gift.
        tax_rate_bp: tax on the net price in basis points: 1900 is 19 %.
    """

    gross: Money
    tax_rate_bp: int


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices of one site.

    Attributes:
        id: its name for ever.
        tenant_id: whose.
        site_id: where it is valid.
        currency: of every entry.
        valid_from_ns: from this moment, UTC nanoseconds.
        valid_to_ns: before this moment; None until a later list begins.
        entries: by SKU.
    """

    id: str
    tenant_id: str
    site_id: str
    currency: str
    valid_from_ns: int
    valid_to_ns: int | None
    entries: Mapping[str, PriceEntry]


def check(prices: PriceList) -> None:
    """Refuse a list that nobody can mean.

    Args:
        prices: the list.
    Raises:
        PriceError: a negative or absurd price, another currency, a tax rate outside 0 to 100 %, too many SKUs, or an end before
            the beginning.
    """
    if len(prices.entries) > SKUS_MAX:
        raise PriceError(f"{len(prices.entries)} SKUs in one price list, at most {SKUS_MAX}")
    if prices.valid_to_ns is not None and prices.valid_to_ns <= prices.valid_from_ns:
        raise PriceError("a price list ends before it begins", hint="valid_to_ns must be later than valid_from_ns")
    Money(0, prices.currency)
    for sku, entry in prices.entries.items():
        if entry.gross.currency != prices.currency:
            raise PriceError(f"{sku} costs {entry.gross}, the list is in {prices.currency}")
        if not sku or not 0 <= entry.gross.minor <= GROSS_MAX_MINOR:
            raise PriceError(f"{sku!r} costs {entry.gross}", hint=f"0 to {GROSS_MAX_MINOR} minor units")
        if type(entry.tax_rate_bp) is not int or not 0 <= entry.tax_rate_bp <= TAX_RATE_MAX_BP:
            raise PriceError(f"{sku} is taxed at {entry.tax_rate_bp} basis points", hint="19 % is 1900")


def publish(connection: sa.Connection, draft: PriceList, *, now_ns: int) -> PriceList:
    """Keep a price list for good; publishing the same id again changes nothing.

    Args:
        connection: of a write transaction.
        draft: the list.
        now_ns: it begins no earlier: the past is not priced again.
    Returns:
        the list as kept.
    Raises:
        PriceError: see `check`; or the id stands for another list.
    """
    prices = replace(draft, valid_from_ns=max(draft.valid_from_ns, now_ns))
    check(prices)
    if known := price_list(connection, draft.tenant_id, list_id=draft.id):
        if replace(known, valid_from_ns=draft.valid_from_ns) == replace(draft, entries=dict(draft.entries)):
            return known
        raise PriceError(f"price list {draft.id} is another one", hint="a change is a new list with a new id")
    mine = {"tenant_id": prices.tenant_id}
    connection.execute(
        sa.insert(PRICE_LISTS).values(
            **mine,
            id=prices.id,
            site_id=prices.site_id,
            currency=prices.currency,
            valid_from_ns=prices.valid_from_ns,
            valid_to_ns=prices.valid_to_ns,
        )
    )
    rows = [
        {**mine, "list_id": prices.id, "sku": sku, "gross_minor": entry.gross.minor, "tax_rate_bp": entry.tax_rate_bp}
        for sku, entry in prices.entries.items()
    ]
    if rows:
        connection.execute(sa.insert(PRICES), rows)
    return prices


def price_list(connection: sa.Connection, tenant_id: str, *, list_id: str) -> PriceList | None:
    """Read a price list by its id.

    Args:
        connection: reads.
        tenant_id: whose.
        list_id: which.
    Returns:
        the list; None when the tenant has none of that id.
    """
    return _read(connection, sa.and_(PRICE_LISTS.c.tenant_id == tenant_id, PRICE_LISTS.c.id == list_id))


def price_list_at(connection: sa.Connection, tenant_id: str, *, site_id: str, at_ns: int) -> PriceList | None:
    """The price list that is valid at a site at a moment: of those that have begun and not ended, the one that began last.

    Args:
        connection: reads.
        tenant_id: whose.
        site_id: where.
        at_ns: when, UTC nanoseconds.
    Returns:
        the list; None when the site has no prices then.
    """
    columns = PRICE_LISTS.c
    valid = sa.and_(
        columns.tenant_id == tenant_id,
        columns.site_id == site_id,
        columns.valid_from_ns <= at_ns,
        sa.or_(columns.valid_to_ns.is_(None), columns.valid_to_ns > at_ns),
    )
    return _read(connection, valid)


def _read(connection: sa.Connection, which: sa.ColumnElement[bool]) -> PriceList | None:
    newest = (PRICE_LISTS.c.valid_from_ns.desc(), PRICE_LISTS.c.id.desc())
    row = connection.execute(sa.select(PRICE_LISTS).where(which).order_by(*newest).limit(1)).first()
    if row is None:
        return None
    lines = connection.execute(
        sa.select(PRICES).filter_by(tenant_id=row.tenant_id, list_id=row.id).order_by(PRICES.c.sku)
    )
    return PriceList(
        id=row.id,
        tenant_id=row.tenant_id,
        site_id=row.site_id,
        currency=row.currency,
        valid_from_ns=row.valid_from_ns,
        valid_to_ns=row.valid_to_ns,
        entries={line.sku: PriceEntry(Money(line.gross_minor, row.currency), line.tax_rate_bp) for line in lines},
    )
