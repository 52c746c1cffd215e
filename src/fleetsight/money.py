"""Exact money: a whole number of a currency's smallest unit. Never a float, never two currencies in one sum."""

import re
from dataclasses import dataclass
from typing import Self

from fleetsight.errors import Error

# ISO 4217, list one (2024): currencies whose smallest unit is not a hundredth.
_DECIMALS = (
    {
        "BIF": 0,
        "CLP": 0,
        "DJF": 0,
        "GNF": 0,
        "ISK": 0,
        "JPY": 0,
        "KMF": 0,
        "KRW": 0,
        "PYG": 0,
        "RWF": 0,
        "UGX": 0,
        "UYI": 0,
    }
    | {"VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0}
    | {"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3}
)
_AMOUNT = re.compile(r"(?P<sign>-?)(?P<whole>\d+)(?:\.(?P<fraction>\d+))? (?P<currency>[A-Z]{3})", re.ASCII)


class MoneyError(Error):
    """An amount that is none, or a sum over two currencies."""

    code = "money"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of money; ``Money(1250, "EUR")`` is 12.50 EUR.

    Attributes:
        minor: whole number of the smallest unit (cents, yen, fils); negative when owed the other way.
        currency: three capital letters (ISO 4217).

    >>> str(Money(125, "EUR") * 2 + Money(5, "EUR"))
    '2.55 EUR'
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise MoneyError(
                f"{self.minor!r} is not a whole number of minor units", hint="2.50 EUR is Money(250, 'EUR')"
            )
        if not re.fullmatch(r"[A-Z]{3}", self.currency):
            raise MoneyError(f"{self.currency!r} is no currency code", hint="three capital letters such as EUR")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes.

        Args:
            text: amount, one space, currency: ``2.50 EUR``, ``-3 EUR``, ``250 JPY``. A fraction has all its digits or is left out.
        Returns:
            the amount.
        Raises:
            MoneyError: anything else.
        """
        match = _AMOUNT.fullmatch(text)
        decimals = _DECIMALS.get(match["currency"], 2) if match else 0
        if not match or len(match["fraction"] or "0" * decimals) != decimals:
            raise MoneyError(f"{text!r} is no amount of money", hint="write it like 2.50 EUR or 250 JPY")
        minor = int(match["whole"] + (match["fraction"] or "0" * decimals))
        return cls(-minor if match["sign"] else minor, match["currency"])

    def __str__(self) -> str:
        decimals = _DECIMALS.get(self.currency, 2)
        whole, fraction = divmod(abs(self.minor), 10**decimals)
        sign = "-" if self.minor < 0 else ""
        return f"{sign}{whole}{f'.{fraction:0{decimals}}' if decimals else ''} {self.currency}"

    def __add__(self, other: Self) -> Self:
        self._same_currency(other)
        return type(self)(self.minor + other.minor, self.currency)

    def __sub__(self, other: Self) -> Self:
        self._same_currency(other)
        return type(self)(self.minor - other.minor, self.currency)

    def __neg__(self) -> Self:
        return type(self)(-self.minor, self.currency)

    def __mul__(self, count: int) -> Self:
        if type(count) is not int:
            raise MoneyError(
                f"money times {count!r}", hint="multiply by a whole number; shares need a rounding rule first"
            )
        return type(self)(self.minor * count, self.currency)

    def _same_currency(self, other: Self) -> None:
        if self.currency != other.currency:
            raise MoneyError(
                f"{self} and {other} are of two currencies", hint="convert one of them first, at a stated rate"
            )
