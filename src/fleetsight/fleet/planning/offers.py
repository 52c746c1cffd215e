"""What can be rented: a profile and a price make an offer.

An offer is asked for the deadline of the plan, not for that of its profile: where they differ, the measured knee is scaled by what
the service times predict for both (`fleetsight.serve.load.virtual`). The same prediction, at the profile's own deadline, is compared
with the measured knee: that is the error a plan states.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fleetsight.accel.measure.prices import Prices
from fleetsight.errors import Error
from fleetsight.serve.load.virtual import VirtualServer, predicted_knee_hz
from fleetsight.serve.profile import Profile

Purchase = Literal["on_demand", "reserved", "spot"]
PURCHASES: tuple[Purchase, ...] = ("on_demand", "reserved", "spot")

GPU_FAMILIES = ("g", "p")
"""First letters of instance types with a GPU (Amazon EC2: g4dn, g5, g6, p3, p4d, p5)."""


class PlanError(Error):
    """A plan that cannot be made from what was given."""

    code = "plan"


@dataclass(frozen=True)
class Offer:
    """One instance type that runs one variant, for a price.

    Attributes:
        instance: instance type.
        variant: of the model.
        purchase: how it is paid for.
        usd_per_hour: price.
        knee_hz: what one instance carries within the plan's deadline, from the measured knee.
        predicted_hz: what the service times alone say it carries within the plan's deadline.
        prediction_error: of the prediction at the profile's own deadline, as a share of the measured knee.
    """

    instance: str
    variant: str
    purchase: Purchase
    usd_per_hour: float
    knee_hz: float
    predicted_hz: float
    prediction_error: float

    @property
    def is_gpu(self) -> bool:
        """Whether the instance has a GPU."""
        return self.instance.lower().startswith(GPU_FAMILIES)


def make_offers(
    profiles: Sequence[Profile], prices: Prices, *, slo_ms: float, purchase: Purchase = "on_demand"
) -> tuple[tuple[Offer, ...], tuple[str, ...]]:
    """Join profiles with prices.

    Args:
        profiles: of one model.
        prices: the price file.
        slo_ms: deadline of the plan.
        purchase: how instances are paid for; an instance without such a price is offered on demand.

    Returns:
        offers: those that carry something.
        refused: why the others do not, a sentence each.

    Raises:
        PlanError: there are no profiles, or they are of different models.
        PriceError: an instance has no price.
    """
    if not profiles:
        raise PlanError("a plan needs at least one profile", hint="fleetsight load --profile FILE writes one")
    models = sorted({profile.model for profile in profiles})
    if len(models) > 1:
        raise PlanError(f"the profiles are of different models: {', '.join(models)}", hint="plan each model by itself")
    offers, refused = [], []
    for profile in profiles:
        offer = _offer(profile, prices, slo_ms=slo_ms, purchase=purchase)
        if offer.knee_hz > 0:
            offers.append(offer)
        else:
            refused.append(f"{profile.instance} ({profile.variant}) carries nothing within {slo_ms:g} ms")
    return tuple(offers), tuple(refused)


def _offer(profile: Profile, prices: Prices, *, slo_ms: float, purchase: Purchase) -> Offer:
    own_hz = predicted_knee_hz(VirtualServer(profile))
    asked_hz = own_hz if slo_ms == profile.slo_ms else predicted_knee_hz(VirtualServer(replace(profile, slo_ms=slo_ms)))
    knee_hz = profile.knee_hz * asked_hz / own_hz if own_hz > 0 else 0.0
    usd_per_hour, paid = _price(profile.instance, prices, purchase)
    return Offer(
        instance=profile.instance,
        variant=profile.variant,
        purchase=paid,
        usd_per_hour=usd_per_hour,
        knee_hz=knee_hz,
        predicted_hz=asked_hz,
        prediction_error=abs(own_hz - profile.knee_hz) / profile.knee_hz if profile.knee_hz > 0 else 1.0,
    )


def _price(instance: str, prices: Prices, purchase: Purchase) -> tuple[float, Purchase]:
    row = prices.find(instance)
    if purchase == "reserved" and row.reserved_3_years_usd_per_hour is not None:
        return row.reserved_3_years_usd_per_hour, purchase
    if purchase == "spot" and row.spot_usd_per_hour is not None:
        return row.spot_usd_per_hour[1], purchase  # the highest seen: a plan should not hope
    return prices.on_demand(instance), "on_demand"
