"""Bodies of requests and answers of shoppers."""

from typing import Annotated, Literal

from pydantic import Field

from fleetsight.web.api.fields import Amount, AmountMinor, Asks, Currency, Name, Remark, Says, SkuName

SKUS_MAX = 100
QrToken = Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[!-~]+$")]


class Method(Asks):
    """A means of payment."""

    kind: Literal["wallet"]


class SignUp(Asks):
    """Somebody who wants to shop."""

    name: Name
    method: Method


class SignedUp(Says):
    """A shopper; the token is shown once."""

    shopper_id: str
    token: str


class TopUp(Asks):
    """Money for the wallet."""

    amount_minor: Annotated[AmountMinor, Field(le=50_000)]
    currency: Currency


class ToppedUp(Says):
    """What the shopper can spend now."""

    balance: Amount


class Redeem(Asks):
    """A code that was scanned from a door."""

    qr_token: QrToken


class Opened(Says):
    """The session of that code."""

    session_id: str
    state: str
    hold: Amount


class Objection(Asks):
    """A shopper says that a receipt is wrong."""

    lines: Annotated[
        list[SkuName], Field(max_length=SKUS_MAX, description="SKUs of the lines; none: something is missing")
    ]
    reason: Literal["not_taken", "wrong_product", "wrong_count", "put_back", "wrong_price", "other"]
    text: Remark = ""


class ObjectionTaken(Says):
    """A person will look at it."""

    session_id: str
    contest_id: str
