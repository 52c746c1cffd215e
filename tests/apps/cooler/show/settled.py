"""Settled sessions made by hand, for what shows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fleetsight.apps.cooler.basket import fold_basket
from fleetsight.apps.cooler.decide import Decision, Doubt
from fleetsight.apps.cooler.evaluate.metrics import Outcome
from fleetsight.apps.cooler.evaluate.score import units
from fleetsight.apps.cooler.events import Alternative, Event, Kind
from fleetsight.apps.cooler.flow import Settlement
from fleetsight.apps.cooler.show.demo import Shown
from fleetsight.catalog.sku import Catalog, Sku
from fleetsight.video.decode import DecodeSummary

NAMES = {"cola": "Cola 330 ml", "water": "Still water"}


def take(sku: str, *, count: int = 1, at_s: float = 2.0) -> Event:
    window_s = (at_s - 0.4, at_s + 0.4)
    alternatives = (Alternative(sku, 0.9), Alternative(None, 0.1))
    return Event(Kind.TAKE, sku, count, at_s, window_s, confidence=0.9, rule="row_step", alternatives=alternatives)


def shown(events: Sequence[Event], *, true: dict[str, int], names: Mapping[str, str] = NAMES) -> Shown:
    """A session of 10 s in which `events` were seen; the strip of the first one was written."""
    basket = fold_basket(events)
    skus = {sku: Sku(sku, name, "", None, 150, ()) for sku, name in names.items()}
    settlement = Settlement(
        clip=Path("clip.mp4"),
        summary=DecodeSummary(frames=300, decoded_fraction=1.0, degraded=()),
        degraded=(),
        events=tuple(events),
        basket=basket,
        decision=Decision.CHARGE,
        reason="confidence 0.990 reaches 0.93",
        confidence=0.99,
        doubt=Doubt(),
        stages_s={"decode": 0.5, "detect": 1.0},
        elapsed_s=2.0,
        end_s=10.0,
    )
    outcome = Outcome("basic", 1, (), units(events), true, basket, "charge", "charge", 0.99)
    evidence = {"clip": "annotated.mp4"} | ({"event_0": "event_0_take.png"} if events else {})
    return Shown(settlement, outcome, Catalog("EUR", skus), "basic-1", evidence, (("take cola", 2.1),))
