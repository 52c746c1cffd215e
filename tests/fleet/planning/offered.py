"""Offers with round numbers."""

from fleetsight.fleet.planning.offers import Offer, Purchase


def offer(
    instance: str = "c7i.xlarge",
    usd_per_hour: float = 0.2,
    knee_hz: float = 100.0,
    *,
    purchase: Purchase = "on_demand",
    error: float = 0.02,
) -> Offer:
    return Offer(
        instance=instance,
        variant=instance.split(".", maxsplit=1)[0],
        purchase=purchase,
        usd_per_hour=usd_per_hour,
        knee_hz=knee_hz,
        predicted_hz=knee_hz * (1 + error),
        prediction_error=error,
    )


CPU = offer()
GPU = offer("g5.xlarge", 1.0, 800.0)
SPOT = offer("inf2.xlarge", 0.1, 400.0, purchase="spot")
