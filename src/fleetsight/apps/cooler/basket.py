"""The basket is a fold over the events; nothing else may change it."""

from collections.abc import Iterable

from fleetsight.apps.cooler.events import Event, Kind


def fold_basket(events: Iterable[Event]) -> dict[str, int]:
    """What the shopper holds after the events.

    Args:
        events: in order of time.
    Returns:
        Units by SKU, all >= 1. Unknown and foreign products are never in it.
    """
    held: dict[str, int] = {}
    for event in events:
        if event.sku is None:
            continue
        if event.kind is Kind.TAKE:
            held[event.sku] = held.get(event.sku, 0) + event.count
        elif event.kind is Kind.PUT_BACK:
            held[event.sku] = max(0, held.get(event.sku, 0) - event.count)
    return {sku: count for sku, count in sorted(held.items()) if count}
