"""From changes to events, under the constraints of a session.

Constraints: stock is never negative; a put-back is only of what this session holds, anything else is a foreign item; a
planogram raises the probability of the SKU that belongs to a place and never rules another one out; a product that is in
no catalog is `unknown` and never guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fleetsight.apps.cooler.changes import Change
from fleetsight.apps.cooler.events import Alternative, Event, Kind, Role
from fleetsight.apps.cooler.identify import Reading, posterior
from fleetsight.apps.cooler.shelf import Gap

NATIVE_WEIGHT = 30.0
"""Odds by which the planogram favours the SKU that belongs to a place: rows are mis-stocked now and then, not often."""
HELD_WEIGHT = 12.0
"""Odds by which a put-back favours a SKU that the session holds."""
RESTOCK_UNKNOWN_WEIGHT = 0.1
"""Odds of a product of no catalog being filled in: who restocks brings what the site sells."""
STRANGER_WEIGHT = 0.1
"""Odds of a put-back being of a SKU that this session does not hold: nobody brings one along, but a take may have been missed."""
HELD_MIN = 0.35
"""Below this probability of being any held SKU, a put-back read by labels is a foreign item."""
GRASP_S = 0.1
"""Half of the time a hand rests at a product (0.12 to 0.5 s in rendered sessions)."""


@dataclass(frozen=True)
class SessionFacts:
    """What is known besides the pictures.

    Attributes:
        role: who opened the door.
        native: SKU that belongs to a place, by place_id.
    """

    role: Role
    native: Mapping[int, str | None]


@dataclass
class Held:
    """What a session has taken and not returned.

    Attributes:
        counts: units by SKU.
        looks: how the products looked where they were taken: the same camera and light as where they are returned.
    """

    counts: dict[str, int] = field(default_factory=dict)
    looks: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)

    def note(self, event: Event, reading: Reading) -> None:
        """Take an event in.

        Args:
            event: of any kind.
            reading: what the place showed.
        """
        if event.sku is None or event.kind not in (Kind.TAKE, Kind.PUT_BACK):
            return
        sign = 1 if event.kind is Kind.TAKE else -1
        self.counts[event.sku] = self.counts.get(event.sku, 0) + sign * event.count
        if event.kind is Kind.TAKE and reading.vector is not None:
            self.looks.setdefault(event.sku, []).append(reading.vector)

    def mine(self) -> set[str]:
        """SKUs of which the session holds a unit."""
        return {sku for sku, count in self.counts.items() if count > 0}

    def likeness(self, sku: str, reading: Reading) -> float:
        """Cosine of a product to the pictures of a held SKU: those of its gallery and those of the shelf when it was taken.

        Args:
            sku: held.
            reading: of a place, with a vector.
        Returns:
            -1 to 1.
        """
        own = [float(look @ reading.vector) for look in self.looks.get(sku, []) if reading.vector is not None]
        return max([reading.cosines.get(sku, -1.0), *own])


def events_of(changes: Sequence[Change], facts: SessionFacts) -> list[Event]:
    """Fold changes into events.

    Args:
        changes: of all places, any order.
        facts: role and planogram.
    Returns:
        Events in order of time.
    """
    held = Held()
    events: list[Event] = []
    for change in sorted(changes, key=lambda c: (moment(c.kind, c.gap), c.kind is not Kind.TAKE)):
        event = _event(change, facts, held)
        held.note(event, change.reading)
        events.append(event)
    return sorted(events, key=lambda e: e.at_s)


def moment(kind: Kind, gap: Gap) -> float:
    """When in a gap the act happened: the lift of a take, the rest of a put-back.

    A hand comes, acts and goes, and a reach takes about as long as a retreat (minimum jerk), so the act lies near the middle
    of its visit; a grasp takes a little before the lift, and a release a little after the rest.

    Args:
        kind: of the act.
        gap: when the place was not in calm view.
    Returns:
        Seconds, inside the gap.
    """
    middle = (gap.hand_s[0] + gap.hand_s[1]) / 2
    at_s = middle - GRASP_S if kind is Kind.PUT_BACK else middle + GRASP_S
    return min(max(at_s, gap.start_s), gap.end_s)


def _event(change: Change, facts: SessionFacts, held: Held) -> Event:
    native = facts.native.get(change.place.place_id)
    if change.kind is Kind.PUT_BACK:
        return _put_back(change, native, facts.role, held)
    weights: dict[str | None, float] = {native: NATIVE_WEIGHT} if native is not None else {}
    ranked = _ranked(change.reading.probabilities, weights)
    sku = ranked[0].sku
    kind = change.kind if sku is not None else Kind.UNKNOWN
    return _build(change, kind, ranked, rule=change.rule if sku is not None else f"{change.rule}_not_in_catalog")


def _put_back(change: Change, native: str | None, role: Role, held: Held) -> Event:
    reading = change.reading
    mine = held.mine()
    if role is Role.RESTOCK:
        weights: dict[str | None, float] = {None: RESTOCK_UNKNOWN_WEIGHT}
        ranked = _ranked(reading.probabilities, weights | ({native: NATIVE_WEIGHT} if native is not None else {}))
        kind = Kind.PUT_BACK if ranked[0].sku is not None else Kind.UNKNOWN
        return _build(change, kind, ranked, rule="restocked")
    if reading.cosines:
        cosines = {sku: held.likeness(sku, reading) if sku in mine else c for sku, c in reading.cosines.items()}
        odds: dict[str | None, float] = {sku: HELD_WEIGHT if sku in mine else STRANGER_WEIGHT for sku in cosines}
        ranked = _ranked(posterior(cosines, unknown_cosine=reading.unknown_cosine, odds=odds), {})
        is_mine = ranked[0].sku in mine
    else:
        ranked = _ranked(reading.probabilities, dict.fromkeys(mine, HELD_WEIGHT))
        is_mine = ranked[0].sku in mine and sum(reading.probabilities.get(sku, 0.0) for sku in mine) >= HELD_MIN
    if is_mine:
        placed = "put_back" if native is None or ranked[0].sku == native else "put_back_misplaced"
        returned = replace(change, count=min(change.count, held.counts[str(ranked[0].sku)]))
        return _build(returned, Kind.PUT_BACK, ranked, rule=f"{placed}:{change.rule}")
    return _build(change, Kind.FOREIGN_ITEM, _ranked(reading.probabilities, {}), rule="put_back_of_nothing_held")


def _ranked(probabilities: Mapping[str | None, float], weights: Mapping[str | None, float]) -> list[Alternative]:
    weighted = {sku: p * weights.get(sku, 1.0) for sku, p in probabilities.items()}
    total = sum(weighted.values()) or 1.0
    order = sorted(weighted.items(), key=lambda item: (-item[1], str(item[0])))
    return [Alternative(sku=sku, score=p / total) for sku, p in order]


def _build(change: Change, kind: Kind, ranked: list[Alternative], *, rule: str) -> Event:
    gap = change.gap
    box = change.place.box_xyxy_px
    return Event(
        kind=kind,
        sku=None if kind in (Kind.UNKNOWN, Kind.FOREIGN_ITEM) else ranked[0].sku,
        count=change.count,
        at_s=moment(change.kind, gap),
        window_s=(gap.start_s, gap.end_s),
        confidence=change.sure * ranked[0].score,
        rule=rule,
        alternatives=tuple(ranked),
        place_id=change.place.place_id,
        box_xyxy_px=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
    )
