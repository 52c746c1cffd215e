"""From the runs of a place to changes: which product left or came, how many, how sure.

Two calm views are compared at a time. The identifier tells whether they show the same product; the audit tells whether the row
in which it stands stepped back or came forward. Then what a neighbour's change only uncovered or hid is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fleetsight.apps.cooler.audit import LEVEL_RAD, Lens, View, mean_picture, row_step, unmoved
from fleetsight.apps.cooler.events import Kind
from fleetsight.apps.cooler.identify import Identifier, Reading
from fleetsight.apps.cooler.shelf import SETTLE_S, Gap, Place, Run
from fleetsight.vision.box import covered

SAME_COSINE = 0.93
"""Two views whose embeddings are closer than this show the same product whatever the gallery says."""
SAME_ODDS = 6.0
"""Prior odds that what shows after a visit is of the SKU that showed before."""
FALL_MIN = 0.08
"""A product whose foot rises by this share of a width stands further back; one whose foot sinks by it stands in front."""
HAND_MAX = 3
"""Units that one visit empties a place of; more are counted as this many and doubted."""
SEVERAL_SURE = 0.9
SURE_MIN = 0.55
"""A product that a detector sees in every other frame neither came nor went."""
BESIDE_SHARE = 0.5
"""What comes into sight this close (in widths) to a product that left stood behind it or beside it."""
BEHIND_MIN = 0.2
"""Probability that a product in sight behind is of the emptied row's SKU."""
SHADOW_SHARE = 0.2
"""A product in front that covers this much of another decides what is seen of it."""
REVEAL_SHARE = 0.6
"""A product that covers this much of a spot hides what stands behind."""
ASIDE_MIN = 0.6
"""A product that went sideways by more than this share of its width was moved."""


@dataclass(frozen=True)
class Change:
    """One place lost, gained or moved products.

    Attributes:
        kind: take, put_back or move.
        place: where.
        reading: which product.
        count: units.
        sure: probability that kind and count are right given what was measured.
        gap: when.
        rule: the comparison that found it.
    """

    kind: Kind
    place: Place
    reading: Reading
    count: int
    sure: float
    gap: Gap
    rule: str

    @property
    def box_xyxy_px(self) -> NDArray[np.float32]:
        """Where the product stood, or stands now."""
        at_s = self.gap.end_s + 1e-6 if self.kind is Kind.PUT_BACK else self.gap.start_s
        box = self.place.box_at(at_s)
        return self.place.box_xyxy_px if box is None else box


def place_changes(
    place: Place, identifier: Identifier, *, lens: Lens, native_sku: str | None, stock: int | None = None
) -> list[Change]:
    """All changes of one place, in order of time.

    Args:
        place: its runs and gaps.
        identifier: names products.
        lens: the camera.
        native_sku: the SKU that belongs here by planogram, else the one that stood here first.
        stock: units booked for the row when the door opened; None when nobody counts.
    Returns:
        The changes; empty when every view shows the same.
    """
    changes: list[Change] = []
    left = stock
    known: set[str | None] = {native_sku}
    for before, after, gap in _steady(place):
        if not gap.touched:  # nobody was there: light or a reflection changed
            continue
        was, now = identifier.read(place, before), identifier.read(place, after)
        if was is not None and now is not None:
            runs, readings = (before, after), (was, now)
            if same_product(was, now):
                found = _moved(place, runs, gap, reading=was, view=(identifier, lens))
            else:
                found = _replaced(place, runs, gap, readings=readings, known=known)
        elif was is not None:
            booked = min(max(left or 1, 1), HAND_MAX) if native_sku == was.best else 1
            # From above the depth of a row is out of sight: what is emptied there counts as one.
            units = booked if min(lens.tilts_rad) < LEVEL_RAD else 1
            sure = _presence(before, after) * (1.0 if booked == 1 else SEVERAL_SURE)
            found = [Change(Kind.TAKE, place, was, units, sure, gap, "place_emptied")]
        elif now is not None:
            found = [Change(Kind.PUT_BACK, place, now, 1, _presence(after, before), gap, "place_filled")]
        else:
            continue
        found = [change for change in found if change.sure >= SURE_MIN]
        changes.extend(found)
        if was is not None:
            known.add(was.best)
        if left is not None:
            left -= sum(c.count * {Kind.TAKE: 1, Kind.PUT_BACK: -1}.get(c.kind, 0) for c in found)
    return changes


def _steady(place: Place) -> list[tuple[Run, Run, Gap]]:
    """Pairs of views to compare. What lies between two views that are alike to the pixel was an arm that kept still."""
    views = [_view(place, run) for run in place.runs]
    pairs = []
    first = 0
    while first + 1 < len(views):
        alike = [k for k in range(first + 1, len(views)) if _alike(views[first], views[k])]
        if alike:
            first = alike[-1]
            continue
        pairs.append((place.runs[first], place.runs[first + 1], place.gaps[first]))
        first += 1
    return pairs


def _view(place: Place, run: Run) -> View | None:
    if run.box_xyxy_px is None:
        return None
    return View(run.box_xyxy_px, mean_picture(run), place.window_xyxy_px)


def _alike(first: View | None, second: View | None) -> bool:
    return first is not None and second is not None and unmoved(first, second)


def without_reveals(changes: Sequence[Change], places: Sequence[Place]) -> list[Change]:
    """Drop what only came into view, or went out of it, because a product in front of it left or came.

    Args:
        changes: of all places.
        places: all places.
    Returns:
        The changes that are left.
    """
    kept = [change for change in changes if not any(_uncovers(place, change) for place in places)]
    return [change for change in kept if not any(_hides(other, change) for other in kept)]


def with_rows_behind(changes: Sequence[Change], places: Sequence[Place], *, identifier: Identifier) -> list[Change]:
    """Where the next product of an emptied row is in sight as a place of its own, the row was not emptied.

    Args:
        changes: of all places.
        places: all places.
        identifier: names products.
    Returns:
        The same changes; counts of such rows are 1.
    """
    return [
        replace(change, count=1, sure=change.sure / SEVERAL_SURE)
        if change.count > 1
        and change.rule == "place_emptied"
        and any(_behind(place, change, identifier) for place in places)
        else change
        for change in changes
    ]


def _behind(other: Place, change: Change, identifier: Identifier) -> bool:
    """Whether a product stands behind the spot of a change: above it in the picture, in its column, near it."""
    run = other.run_at(change.gap.end_s + SETTLE_S)
    box = run.box_xyxy_px
    if other is change.place or box is None:
        return False
    reading = identifier.read(other, run)
    if reading is None or reading.probabilities.get(change.reading.best, 0.0) < BEHIND_MIN:
        return False
    front = change.box_xyxy_px
    wide = min(float(box[2]), float(front[2])) - max(float(box[0]), float(front[0]))
    height = float(front[3] - front[1])
    near = float(front[1]) - 0.6 * height < float(box[3]) < float(front[3])
    return near and wide > 0.5 * float(front[2] - front[0])


def _uncovers(other: Place, change: Change) -> bool:
    """Whether a product at another place began or ceased to cover the spot of a change while it happened."""
    if other is change.place or change.rule not in ("place_emptied", "place_filled"):
        return False
    spot = change.box_xyxy_px[None]
    before = other.box_at(change.gap.start_s - 0.05)
    after = other.box_at(change.gap.end_s + SETTLE_S)
    hid_before = before is not None and float(covered(spot, before[None])[0, 0]) >= REVEAL_SHARE
    hides_after = after is not None and float(covered(spot, after[None])[0, 0]) >= REVEAL_SHARE
    if change.rule == "place_emptied":
        in_front = before is not None and float(before[3]) > float(spot[0, 3])
        return in_front and hides_after and not hid_before
    return hid_before and not hides_after


def _hides(other: Change, change: Change) -> bool:
    """Whether a change is the shadow of another: a product in front left and this one came into full view, or the reverse."""
    if other.place is change.place or {other.kind, change.kind} != {Kind.TAKE, Kind.PUT_BACK}:
        return False
    apart = other.gap.start_s > change.gap.end_s + SETTLE_S or change.gap.start_s > other.gap.end_s + SETTLE_S
    if change.rule == "place_filled" and not apart and _beside(other.box_xyxy_px, change.box_xyxy_px):
        return True
    front, back = other.box_xyxy_px, change.box_xyxy_px
    earlier = change.place.box_at(change.gap.start_s)
    in_front = float(front[3]) > float(back[3] if earlier is None else earlier[3])
    return not apart and in_front and float(covered(back[None], front[None])[0, 0]) >= SHADOW_SHARE


def _beside(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Whether two boxes touch or nearly do."""
    reach = BESIDE_SHARE * float(first[2] - first[0])
    grown = first + np.array([-reach, -reach, reach, reach], dtype=np.float32)
    return float(covered(second[None], grown[None])[0, 0]) > 0.5


def same_product(was: Reading, now: Reading) -> bool:
    """Whether the later view shows the SKU of the earlier one: the rows of a shelf are of one SKU, so doubt says yes.

    Args:
        was: the earlier reading.
        now: the later one.
    Returns:
        False when another reading is SAME_ODDS times as probable, or when the vectors contradict.
    """
    if was.vector is not None and now.vector is not None and float(was.vector @ now.vector) > SAME_COSINE:
        return True
    others = max((p for sku, p in now.probabilities.items() if sku != was.best), default=0.0)
    return SAME_ODDS * now.probabilities.get(was.best, 0.0) >= others


def _moved(
    place: Place, runs: tuple[Run, Run], gap: Gap, *, reading: Reading, view: tuple[Identifier, Lens]
) -> list[Change]:
    """The same product shows in both views: nothing happened, or the row stepped."""
    before, after = runs
    first, second = _view(place, before), _view(place, after)
    assert first is not None, "both runs have a product"
    assert second is not None, "both runs have a product"
    identifier, lens = view
    named = next((sku for sku in reading.probabilities if sku is not None), None)
    step = row_step(first, second, lens=lens, extent=identifier.extent(named))
    if step.steps == 0:
        if abs(step.aside) > ASIDE_MIN:
            return [Change(Kind.MOVE, place, reading, 1, 0.8 * step.probability, gap, "moved_sideways")]
        return []
    kind = Kind.TAKE if step.steps > 0 else Kind.PUT_BACK
    return [Change(kind, place, reading, abs(step.steps), step.probability, gap, "row_step")]


def _replaced(
    place: Place, runs: tuple[Run, Run], gap: Gap, *, readings: tuple[Reading, Reading], known: set[str | None]
) -> list[Change]:
    """Another product is in front: put before the old one, or revealed behind it."""
    before, after = runs
    assert before.box_xyxy_px is not None, "both runs have a product"
    assert after.box_xyxy_px is not None, "both runs have a product"
    was, now = readings
    width = float(before.box_xyxy_px[2] - before.box_xyxy_px[0])
    fall = float(after.box_xyxy_px[3] - before.box_xyxy_px[3]) / max(width, 1.0)
    if fall < -FALL_MIN or (now.best in known and fall < FALL_MIN):
        return [Change(Kind.TAKE, place, was, 1, 0.85, gap, "revealed_another")]
    return [Change(Kind.PUT_BACK, place, now, 1, 0.85, gap, "put_before_another")]


def _presence(with_product: Run, without: Run) -> float:
    """How clearly one run shows a product and the other none."""
    return min(with_product.seen / max(with_product.frames, 1), 1.0 - without.seen / max(without.frames, 1), 0.99)
