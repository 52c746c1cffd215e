"""Kinds of fields that requests and answers share.

Requests are strict: an unknown field, a number as text, or a truth value as a number is refused, and every text and list has an end.
"""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from fleetsight.money import Money

WHOLE_MAX = 4 * 10**18
"""Fits into a column, and stands in the description as every reader of JSON reads it; as nanoseconds it is the year 2096."""


class Asks(BaseModel):
    """A body of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Says(BaseModel):
    """A body of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_.:-]+$")]
"""An id as this service gives them out, or as a device chooses them."""
IdInPath = Annotated[str, Path(min_length=1, max_length=64, description="an id that this service gave out")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""One line of text for people."""
Remark = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
"""A few lines of text from a person."""
Reason = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
SkuName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
AtNs = Annotated[int, Field(ge=0, le=WHOLE_MAX, description="nanoseconds since 1970 UTC")]
Count = Annotated[int, Field(ge=0, le=WHOLE_MAX)]
Seq = Annotated[int, Field(ge=0, le=WHOLE_MAX)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
AmountMinor = Annotated[int, Field(ge=1, le=10**12, description="whole minor units of the currency")]
SecretToken = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")]


class Amount(Says):
    """An amount of money."""

    minor: int = Field(description="whole minor units of the currency")
    currency: str = Field(description="ISO 4217")

    @classmethod
    def of(cls, money: Money) -> "Amount":
        """An amount as answers show it.

        Args:
            money: the amount.
        Returns:
            the same as a body.
        """
        return cls(minor=money.minor, currency=money.currency)
