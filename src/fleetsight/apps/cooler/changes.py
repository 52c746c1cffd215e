"""From the runs of a place to changes: which product left or came, how many, how sure.

Two calm views are compared at a time. The identifier tells whether they show the same product; the audit tells whether the row
in which it stands stepped back or came forward. Then what a neighbour's change only uncovered or hid is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fleetsight.apps.cooler.audit import LEVEL_RAD, Extent, Lens, View, mean_picture, print_shift_px, turned, unmoved
from fleetsight.apps.cooler.events import Kind
from fleetsight.apps.cooler.identify import Identifier, Reading
from fleetsight.apps.cooler.shelf import SETTLE_S, Gap, Place, Run
from fleetsight.apps.cooler.steps import RowStep, bookkeeping, row_steps, steps_behind
from fleetsight.vision.box import covered

SAME_COSINE = 0.93
"""Two views whose embeddings are closer than this show the same product whatever the gallery says."""
SAME_ODDS = 6.0
"""Prior odds that what shows after a visit is of the SKU that showed before."""
PEEP_SHARE = 0.6
PEEP_WITHIN = 0.7
"""What shows less of itself within the outline of what stood there was behind it; what is put in front shows whole."""
FALL_MIN = 0.08
"""A product whose foot rises by this share of a width stands further back; one whose foot sinks by it stands in front."""
HAND_MAX = 3
"""Units that one visit empties a place of; more are counted as this many and doubted."""
SEVERAL_SURE = 0.9
UNSEEN_SURE = 0.65
"""From above an emptied place is silent about how many left: in 4 of 6 rendered sessions one, in 2 two."""
ARM_STILL_S = 5.0
"""An arm that keeps still before a place has gone by then; a place that shows something else for longer was changed."""
LOOKED_S = 2.6
"""A hand that takes, or reaches in and leaves, is at a place for less (95 of 100 rendered visits stay below 2.4 s)."""
VISIT_S = 1.4
"""A reach or a retreat with a product lasts about this long at the place."""
LOOKED_SURE = 0.9
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


@dataclass(frozen=True)
class Row:
    """What is known of the row at a place besides the pictures.

    Attributes:
        sku: the SKU that belongs here by planogram, else the one that stood here first; None when unknown.
        stock: units booked for the row when the door opened; None when nobody counts.
        restock: whether the door was opened to fill up.
    """

    sku: str | None = None
    stock: int | None = None
    restock: bool = False


@dataclass(frozen=True)
class Found:
    """What was found at a place.

    Attributes:
        changes: in order of time.
        unsure: probability of the likeliest change among the touched views that are taken as unchanged.
    """

    changes: list[Change]
    unsure: float


def place_changes(place: Place, identifier: Identifier, *, lens: Lens, row: Row) -> Found:
    """All changes of one place, in order of time.

    Args:
        place: its runs and gaps.
        identifier: names products.
        lens: the camera.
        row: what is known of it besides.
    Returns:
        The changes, none when every view shows the same, and how unsure that is.
    """
    changes: list[Change] = []
    unsure = 0.0
    left, native_sku = row.stock, row.sku
    known: set[str | None] = {native_sku}
    seen = see(place, identifier)
    pairs = seen.pairs()
    steps = _steps(seen, identifier, lens=lens, row=row)
    for first, second in pairs:
        before, after, gap = place.runs[first], place.runs[second], place.gaps[first]
        if not gap.touched or second > first + 1:  # nobody was there: light or a reflection changed
            continue
        was, now = seen.readings[first], seen.readings[second]
        if was is not None and now is not None:
            runs = before, after
            if (first, second) in steps:
                came = steps[first, second].steps < 0
                found = _moved(place, gap, now if came else seen.anchor(first), steps[first, second])
                if not found:
                    unsure = max(unsure, 1.0 - steps[first, second].probability)
                    if _returned(seen.views[first], seen.views[second], gap):
                        found = _looked_at(place, gap, seen.anchor(first))
            else:
                found = _replaced(place, runs, gap, readings=(was, now), known=known)
        elif was is not None:
            booked = min(max(left or 1, 1), HAND_MAX) if native_sku == was.best else 1
            # From above the depth of a row is out of sight: what is emptied there counts as one.
            above = min(lens.tilts_rad) >= LEVEL_RAD
            units = 1 if above else booked
            sure = _presence(before, after) * (1.0 if booked == 1 else UNSEEN_SURE if above else SEVERAL_SURE)
            found = [Change(Kind.TAKE, place, was, units, sure, gap, "place_emptied")]
        elif now is not None:
            found = [Change(Kind.PUT_BACK, place, now, 1, _presence(after, before), gap, "place_filled")]
        else:
            continue
        found = [change for change in found if change.sure >= SURE_MIN or change.rule == "row_step"]
        changes.extend(found)
        if was is not None:
            known.add(was.best)
        if left is not None:
            left -= sum(c.count * {Kind.TAKE: 1, Kind.PUT_BACK: -1}.get(c.kind, 0) for c in found)
    return Found(changes, unsure)


@dataclass(frozen=True)
class Seen:
    """The calm views of a place and what they show; entry k belongs to run k.

    Attributes:
        views: boxes and pictures, None where the place is empty.
        readings: which product, None where the place is empty.
        anchors: the first reading of the same product since the last change of product; empty views continue the one before.
        spans_s: first and last time.
    """

    views: tuple[View | None, ...]
    readings: tuple[Reading | None, ...]
    anchors: tuple[Reading | None, ...]
    spans_s: tuple[tuple[float, float], ...]

    def anchor(self, index: int) -> Reading:
        """The reading of the row that a view with a product belongs to."""
        anchor = self.anchors[index]
        assert anchor is not None, "a view with a product has a reading"
        return anchor

    def pairs(self) -> list[tuple[int, int]]:
        """Numbers of the views to compare. An empty or another view between two that are alike to the pixel was an arm that kept still."""
        pairs, first, count = [], 0, len(self.views)
        while first + 1 < count:
            later = (k for k in range(count - 1, first + 1, -1) if self._foreign_between(first, k))
            second = next((k for k in later if _alike(self.views[first], self.views[k])), first + 1)
            pairs.append((first, second))
            first = second
        return pairs

    def chains(self, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Runs of compared views that show the same product."""
        chains: list[list[int]] = []
        for first, second in pairs:
            if self.views[first] is None or self.views[second] is None:
                continue
            if self.anchors[first] is not self.anchors[second]:
                continue
            if chains and chains[-1][-1] == first:
                chains[-1].append(second)
            else:
                chains.append([first, second])
        return chains

    def _foreign_between(self, first: int, last: int) -> bool:
        if self.spans_s[last][0] - self.spans_s[first][1] > ARM_STILL_S:
            return False
        return all(self.views[k] is None or self.anchors[k] is not self.anchors[first] for k in range(first + 1, last))


def see(place: Place, identifier: Identifier) -> Seen:
    """Read every calm view of a place.

    Args:
        place: its runs.
        identifier: names products.
    Returns:
        Views, readings and anchors.
    """
    readings = tuple(identifier.read(place, run) for run in place.runs)
    anchors: list[Reading | None] = []
    for reading in readings:
        last = anchors[-1] if anchors else None
        keep = reading is None or (last is not None and same_product(last, reading))
        anchors.append(last if keep else reading)
    views = tuple(_view(place, run) for run in place.runs)
    return Seen(views, readings, tuple(anchors), tuple((run.start_s, run.end_s) for run in place.runs))


def extent_of(reading: Reading, identifier: Identifier) -> Extent:
    """Proportions of the most probable SKU of a reading."""
    return identifier.extent(next((sku for sku in reading.probabilities if sku is not None), None))


def likeness_of(readings: Sequence[Reading | None]) -> NDArray[np.float32] | None:
    """Cosines between all readings, (n, n); None when they have no embeddings."""
    vectors = [reading.vector for reading in readings if reading is not None and reading.vector is not None]
    if len(vectors) < len(readings):
        return None
    stacked = np.stack(vectors)
    return np.asarray(stacked @ stacked.T, dtype=np.float32)


def _steps(seen: Seen, identifier: Identifier, *, lens: Lens, row: Row) -> dict[tuple[int, int], RowStep]:
    """How far the row went between compared views of the same product."""
    steps: dict[tuple[int, int], RowStep] = {}
    for chain in seen.chains(seen.pairs()):
        views = [view for k in chain if (view := seen.views[k]) is not None]
        found = row_steps(
            views,
            lens=lens,
            extent=extent_of(seen.anchor(chain[0]), identifier),
            likeness=likeness_of([seen.readings[k] for k in chain]),
            losses=bookkeeping(len(chain) - 1, stock=row.stock, restock=row.restock) if chain[0] == 0 else None,
        )
        steps.update(zip(pairwise(chain), found, strict=True))
    return steps


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
    return [change for change in kept if not any(_hides(other, change) or _leads(other, change) for other in kept)]


def with_rows_behind(
    changes: Sequence[Change], places: Sequence[Place], *, identifier: Identifier, lens: Lens
) -> list[Change]:
    """Where the next product of an emptied row is in sight as a place of its own, it tells how many left before it.

    Args:
        changes: of all places.
        places: all places.
        identifier: names products.
        lens: the camera.
    Returns:
        The same changes with the counts of such rows.
    """
    return [
        _counted(change, places, identifier=identifier, lens=lens) if change.rule == "place_emptied" else change
        for change in changes
    ]


def _counted(change: Change, places: Sequence[Place], *, identifier: Identifier, lens: Lens) -> Change:
    behind = [box for place in places if (box := _behind(place, change, identifier)) is not None]
    if not behind:
        return change
    nearest = max(behind, key=lambda box: float(box[3]))
    extent = extent_of(change.reading, identifier)
    count = steps_behind(change.box_xyxy_px, nearest, lens=lens, extent=extent)
    booked = change.count > 1
    return replace(change, count=count, sure=change.sure / SEVERAL_SURE if booked and count == 1 else change.sure)


def _behind(other: Place, change: Change, identifier: Identifier) -> NDArray[np.float32] | None:
    """The box of a product that stands behind the spot of a change: above it in the picture, in its column, near it."""
    run = other.run_at(change.gap.end_s + SETTLE_S)
    box = run.box_xyxy_px
    if other is change.place or box is None:
        return None
    reading = identifier.read(other, run)
    if reading is None or reading.probabilities.get(change.reading.best, 0.0) < BEHIND_MIN:
        return None
    return box if _stands_behind(box, change.box_xyxy_px) else None


def _stands_behind(box: NDArray[np.float32], front: NDArray[np.float32]) -> bool:
    """Whether a box ends above the foot of another, in its column, near it."""
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
    apart = _apart(other, change)
    if change.rule == "place_filled" and not apart and _beside(other.box_xyxy_px, change.box_xyxy_px):
        return True
    front, back = other.box_xyxy_px, change.box_xyxy_px
    earlier = change.place.box_at(change.gap.start_s)
    in_front = float(front[3]) > float(back[3] if earlier is None else earlier[3])
    return not apart and in_front and float(covered(back[None], front[None])[0, 0]) >= SHADOW_SHARE


def _leads(front: Change, back: Change) -> bool:
    """Whether a change is the same act seen at the next product of the row, which stands in sight behind the first."""
    if front.place is back.place or front.kind is not back.kind or front.kind is Kind.MOVE or _apart(front, back):
        return False
    same = back.reading.probabilities.get(front.reading.best, 0.0) >= BEHIND_MIN
    return same and _stands_behind(back.box_xyxy_px, front.box_xyxy_px)


def _apart(first: Change, second: Change) -> bool:
    """Whether two changes happened one after the other."""
    return first.gap.start_s > second.gap.end_s + SETTLE_S or second.gap.start_s > first.gap.end_s + SETTLE_S


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


def _moved(place: Place, gap: Gap, reading: Reading, step: RowStep) -> list[Change]:
    """The same product shows in both views: nothing happened, or the row stepped."""
    if step.steps == 0:
        if abs(step.aside) > ASIDE_MIN:
            return [Change(Kind.MOVE, place, reading, 1, 0.8 * step.probability, gap, "moved_sideways")]
        return []
    kind = Kind.TAKE if step.steps > 0 else Kind.PUT_BACK
    return [Change(kind, place, reading, abs(step.steps), step.probability, gap, "row_step")]


def _returned(before: View | None, after: View | None, gap: Gap) -> bool:
    """Whether a hand stayed as long as looking at a product takes, and what stands there has shifted: nobody returns it to the pixel."""
    if before is None or after is None or gap.hand_s[1] - gap.hand_s[0] < LOOKED_S:
        return False
    return print_shift_px(before, after) >= 1.0 or turned(before, after)


def _looked_at(place: Place, gap: Gap, reading: Reading) -> list[Change]:
    """A take at the begin of a visit and a put-back at its end."""
    begin, end = gap.hand_s
    middle = (begin + end) / 2
    out = replace(gap, end_s=middle, touched_s=middle, hand_s=(begin, begin + VISIT_S))
    back = replace(gap, start_s=middle, hand_s=(end - VISIT_S, end))
    kinds = ((Kind.TAKE, out), (Kind.PUT_BACK, back))
    return [Change(kind, place, reading, 1, LOOKED_SURE, part, "looked_at") for kind, part in kinds]


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
    size = (float(np.prod(box[2:] - box[:2])) for box in (after.box_xyxy_px, before.box_xyxy_px))
    within = float(covered(after.box_xyxy_px[None], before.box_xyxy_px[None])[0, 0])
    peeps = next(size) < PEEP_SHARE * next(size) and within > PEEP_WITHIN
    if peeps or fall < -FALL_MIN or (now.best in known and fall < FALL_MIN):
        return [Change(Kind.TAKE, place, was, 1, 0.85, gap, "revealed_another")]
    return [Change(Kind.PUT_BACK, place, now, 1, 0.85, gap, "put_before_another")]


def _presence(with_product: Run, without: Run) -> float:
    """How clearly one run shows a product and the other none."""
    return min(with_product.seen / max(with_product.frames, 1), 1.0 - without.seen / max(without.frames, 1), 0.99)
