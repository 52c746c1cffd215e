"""Bodies of requests and answers of the people who run the coolers."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fleetsight.apps.cooler.session.review import REASON_CODES
from fleetsight.web.api.fields import WHOLE_MAX, AmountMinor, Asks, AtNs, Currency, Id, Name, Reason, Says, SkuName


def _known_reason(code: str) -> str:
    if code not in REASON_CODES:
        raise ValueError(f"expected one of {', '.join(REASON_CODES)}")
    return code


PRICES_MAX = 5000
BASKET_MAX = 100
UNITS_MAX = 99
Version = Annotated[int, Field(ge=0, le=WHOLE_MAX)]
Units = Annotated[int, Field(ge=0, le=UNITS_MAX)]
Basket = Annotated[
    dict[SkuName, Units], Field(max_length=BASKET_MAX, json_schema_extra={"additionalProperties": False})
]
ReasonCode = Annotated[str, AfterValidator(_known_reason), Field(json_schema_extra={"enum": list(REASON_CODES)})]


class NewSite(Asks):
    """A place where coolers will stand."""

    name: Name


class SiteMade(Says):
    """The site."""

    site_id: str


class PriceOf(Asks):
    """The price of one SKU, tax included."""

    sku: SkuName
    gross_minor: Annotated[int, Field(ge=0, le=10**9)]
    tax_rate_bp: Annotated[int, Field(ge=0, le=10_000, description="hundredths of a percent: 1900 is 19 %")]


class Prices(Asks):
    """What things cost at a site from some moment on."""

    currency: Currency
    valid_from_ns: AtNs
    entries: Annotated[list[PriceOf], Field(min_length=1, max_length=PRICES_MAX)]


class PricesSet(Says):
    """The price list; sessions that are open keep the one they began with."""

    price_list_id: str
    valid_from_ns: int
    entries: int


class NewDevice(Asks):
    """A cooler that waits for its machine."""

    name: Name
    site_id: Id


class DeviceMade(Says):
    """The device; the claim code is shown once and lasts ten minutes."""

    device_id: str
    claim_code: str


class DeviceRevoked(Says):
    """The device is shut out for good."""

    device_id: str
    revoked: bool


class Maintenance(Asks):
    """Whether shoppers may open the device."""

    reason: Annotated[Reason, Field(min_length=1)] | None = Field(
        description="why not; null opens it, and clears the lock that warmth set"
    )


class MaintenanceSet(Says):
    """The device as it is now."""

    device_id: str
    reason: str | None


class AssortmentSet(Says):
    """What the device sells from its next session on."""

    version: int
    digest: str
    sku_count: int


class Judged(Asks):
    """What a person decides about a session."""

    version: Version = Field(description="of the session as the person saw it")
    reason_code: ReasonCode
    seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        default=0.0, description="time the person spent on the case"
    )


class Settled(Judged):
    """What was proposed is right, or nothing is asked for."""

    action: Literal["accept", "waive"]


class Corrected(Judged):
    """Something else was taken."""

    action: Literal["correct"]
    basket: Basket = Field(description="what is paid for")


Verdict = Annotated[Settled | Corrected, Field(discriminator="action")]


class VerdictTaken(Says):
    """The session afterwards."""

    session_id: str
    state: str
    version: int


class RefundOrder(Asks):
    """Money to give back."""

    amount_minor: AmountMinor
    currency: Currency
    reason_code: ReasonCode


class RefundTaken(Says):
    """The session afterwards; the money is on its way."""

    session_id: str
    refund_id: str
    state: str
