"""What a basket costs, and how much of it is tax. Pure.

Prices include tax. The tax inside a gross amount g at a rate of r basis points is g * r / (10000 + r), rounded half up to the minor
unit. Rounding each line and rounding the total give sums that differ by a few minor units; which one is the law depends on the
country, so the rule is named and kept in the quote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fleetsight.billing.prices import PriceList
from fleetsight.errors import Error
from fleetsight.money import Money

COUNT_MAX = 1_000
"""Units of one SKU in one basket; a cooler holds fewer."""
LINES_MAX = 1_000
TOTAL_MAX_MINOR = 10**12


class QuoteError(Error):
    """A basket that no shopper can have."""

    code = "quote"


class TaxRounding(StrEnum):
    """Where tax is rounded."""

    LINE = "line"
    """On each line; the tax of a rate is the sum of its lines."""
    TOTAL = "total"
    """Once per rate, on the sum; lines get their share by largest remainder, so that they sum to it."""


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """One SKU of a basket.

    Attributes:
        sku: which.
        count: units, > 0.
        unit: price of one, tax included.
        gross: price of all, tax included.
        tax: part of gross.
        tax_rate_bp: basis points on the net price.
    """

    sku: str
    count: int
    unit: Money
    gross: Money
    tax: Money
    tax_rate_bp: int


@dataclass(frozen=True, slots=True)
class TaxShare:
    """All of one tax rate.

    Attributes:
        rate_bp: basis points.
        gross: sum of its lines.
        tax: part of gross.
    """

    rate_bp: int
    gross: Money
    tax: Money

    @property
    def net(self) -> Money:
        """What is left without the tax."""
        return self.gross - self.tax


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of a basket.

    Attributes:
        price_list_id: the prices it was made from.
        currency: of every amount.
        lines: by SKU.
        total: to pay, tax included.
        tax: by rate, lowest first.
        rounding: the rule.
        missing: SKUs of the basket without a price, which are not in the total; by name.
    """

    price_list_id: str
    currency: str
    lines: tuple[QuoteLine, ...]
    total: Money
    tax: tuple[TaxShare, ...]
    rounding: TaxRounding
    missing: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, whole minor units.

        Returns:
            what `from_json` reads.
        """
        return {
            "price_list_id": self.price_list_id,
            "currency": self.currency,
            "rounding": str(self.rounding),
            "missing": list(self.missing),
            "total_minor": self.total.minor,
            "lines": [
                {
                    "sku": line.sku,
                    "count": line.count,
                    "unit_minor": line.unit.minor,
                    "gross_minor": line.gross.minor,
                    "tax_minor": line.tax.minor,
                    "tax_rate_bp": line.tax_rate_bp,
                }
                for line in self.lines
            ],
            "tax": [
                {"rate_bp": share.rate_bp, "gross_minor": share.gross.minor, "tax_minor": share.tax.minor}
                for share in self.tax
            ],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Quote":
        """Read what `as_json` wrote.

        Args:
            value: the JSON.
        Returns:
            the quote.
        """
        unit = value["currency"]

        def amount(minor: int) -> Money:
            return Money(minor, unit)

        return Quote(
            price_list_id=value["price_list_id"],
            currency=unit,
            rounding=TaxRounding(value["rounding"]),
            missing=tuple(value["missing"]),
            total=amount(value["total_minor"]),
            lines=tuple(
                QuoteLine(
                    sku=line["sku"],
                    count=line["count"],
                    unit=amount(line["unit_minor"]),
                    gross=amount(line["gross_minor"]),
                    tax=amount(line["tax_minor"]),
                    tax_rate_bp=line["tax_rate_bp"],
                )
                for line in value["lines"]
            ),
            tax=tuple(
                TaxShare(share["rate_bp"], amount(share["gross_minor"]), amount(share["tax_minor"]))
                for share in value["tax"]
            ),
        )


def quote(basket: Mapping[str, int], prices: PriceList, *, tax: TaxRounding = TaxRounding.TOTAL) -> Quote:
    """Price a basket.

    Args:
        basket: units by SKU; zero units are left out.
        prices: of the site, frozen when the door was unlocked.
        tax: where tax is rounded.
    Returns:
        the quote; its total is zero for an empty basket.
    Raises:
        QuoteError: a count that is negative or no whole number, or absurdly much.
    """
    for sku, count in basket.items():
        if type(count) is not int or not 0 <= count <= COUNT_MAX:
            raise QuoteError(f"{count!r} units of {sku!r} in a basket", hint=f"0 to {COUNT_MAX}, a whole number")
    wanted = {sku: count for sku, count in sorted(basket.items()) if count}
    priced = {sku: count for sku, count in wanted.items() if sku in prices.entries}
    gross = {sku: prices.entries[sku].gross.minor * count for sku, count in priced.items()}
    if len(wanted) > LINES_MAX or sum(gross.values()) > TOTAL_MAX_MINOR:
        raise QuoteError(f"a basket of {len(wanted)} SKUs for {sum(gross.values())} minor units", hint="ask a person")
    by_rate: dict[int, dict[str, int]] = {}
    for sku in priced:
        by_rate.setdefault(prices.entries[sku].tax_rate_bp, {})[sku] = gross[sku]
    taxes = {rate: taxes_of(amounts, rate, rounding=tax) for rate, amounts in by_rate.items()}

    def money(minor: int) -> Money:
        return Money(minor, prices.currency)

    def line(sku: str, count: int) -> QuoteLine:
        entry = prices.entries[sku]
        share = taxes[entry.tax_rate_bp][sku]
        return QuoteLine(sku, count, entry.gross, money(gross[sku]), money(share), entry.tax_rate_bp)

    return Quote(
        price_list_id=prices.id,
        currency=prices.currency,
        lines=tuple(line(sku, count) for sku, count in priced.items()),
        total=money(sum(gross.values())),
        tax=tuple(
            TaxShare(rate, money(sum(by_rate[rate].values())), money(sum(taxes[rate].values())))
            for rate in sorted(taxes)
        ),
        rounding=tax,
        missing=tuple(sku for sku in wanted if sku not in priced),
    )


def tax_inside(gross_minor: int, rate_bp: int) -> int:
    """The tax inside a gross amount, rounded half up.

    Args:
        gross_minor: >= 0, tax included.
        rate_bp: basis points on the net amount.
    Returns:
        whole minor units, 0 to gross_minor.

    >>> tax_inside(250, 1900)
    40
    """
    divisor = 10_000 + rate_bp
    return (2 * gross_minor * rate_bp + divisor) // (2 * divisor)


def taxes_of(gross_minor: Mapping[str, int], rate_bp: int, *, rounding: TaxRounding) -> dict[str, int]:
    """Divide the tax of one rate among its lines.

    Args:
        gross_minor: gross amount by SKU, each >= 0.
        rate_bp: basis points on the net amount.
        rounding: on each line, or on the sum with largest remainders (ties go to the first SKU).
    Returns:
        tax by SKU in whole minor units.
    """
    if rounding is TaxRounding.LINE:
        return {sku: tax_inside(gross, rate_bp) for sku, gross in gross_minor.items()}
    divisor = 10_000 + rate_bp
    shares = {sku: gross * rate_bp // divisor for sku, gross in gross_minor.items()}
    left = tax_inside(sum(gross_minor.values()), rate_bp) - sum(shares.values())
    for sku in sorted(gross_minor, key=lambda sku: (-(gross_minor[sku] * rate_bp % divisor), sku))[:left]:
        shares[sku] += 1
    return shares
