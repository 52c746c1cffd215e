"""From the runs of a place to changes: which product left or came, how many, how sure.

Two calm views are compared at a time. The audit's registration tells whether the same print moved away or came closer;
the identifier tells whether it is the same product at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetsight.apps.cooler.audit import MATCH_MIN, Lens, Shift, local_box, mean_picture, register, step_in_widths, unmoved
from fleetsight.apps.cooler.events import Kind
from fleetsight.apps.cooler.identify import Extent, Identifier, Reading
from fleetsight.apps.cooler.shelf import SETTLE_S, Gap, Place, Run
from fleetsight.vision.box import covered

SAME_COSINE = 0.80
"""Two views whose embeddings are closer than this show the same product."""
STEP_MIN = 0.5
"""A movement of less than half a row pitch is a product put down differently, not one taken."""
REVEAL_SHARE = 0.45
"""A product that covers this much of a spot hides what stands behind."""
ASIDE_MIN = 0.6
"""A product that went sideways by more than this share of its width was moved."""
STEP_MAX = 4.6
"""A hand takes four at most; what seems to move further is another print that happens to match."""
STEP_SIGMA = 0.22
"""Spread of the measured step in row pitches (rendered training sessions)."""


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
        step: measured movement in row pitches, 0 when none was measured.
    """

    kind: Kind
    place: Place
    reading: Reading
    count: int
    sure: float
    gap: Gap
    rule: str
    step: float = 0.0

    @property
    def box_xyxy_px(self) -> NDArray[np.float32]:
        """Where the product stood, or stands now."""
        at_s = self.gap.end_s + 1e-6 if self.kind is Kind.PUT_BACK else self.gap.start_s
        box = self.place.box_at(at_s)
        return self.place.box_xyxy_px if box is None else box


def place_changes(place: Place, identifier: Identifier, *, lens: Lens, native_sku: str | None) -> list[Change]:
    """All changes of one place, in order of time.

    Args:
        place: its runs and gaps.
        identifier: names products.
        lens: the camera.
        native_sku: the SKU that belongs here by planogram, else the one that stood here first.
    Returns:
        The changes; empty when every view shows the same.
    """
    changes: list[Change] = []
    for before, after, gap in zip(place.runs, place.runs[1:], place.gaps, strict=False):
        was, now = identifier.read(place, before), identifier.read(place, after)
        if was is not None and now is not None and not same_product(was, now):
            changes.extend(_replaced(place, (before, after), gap, readings=(was, now), native_sku=native_sku))
        else:
            changes.extend(_compare(place, (before, after), gap, identifier=identifier, lens=lens))
    return changes


def _compare(place: Place, runs: tuple[Run, Run], gap: Gap, *, identifier: Identifier, lens: Lens) -> list[Change]:
    before, after = runs
    was, now = identifier.read(place, before), identifier.read(place, after)
    if was is None and now is None:
        return []
    if now is None and was is not None:
        return [Change(Kind.TAKE, place, was, 1, _presence(before, after), gap, "place_emptied")]
    if was is None and now is not None:
        return [Change(Kind.PUT_BACK, place, now, 1, _presence(after, before), gap, "place_filled")]
    assert was is not None and now is not None, "the other cases have returned"
    return _moved(place, runs, gap, reading=was, extent=identifier.extent(was.best), lens=lens)


def without_reveals(changes: Sequence[Change], places: Sequence[Place]) -> list[Change]:
    """Drop what only came into view, or went out of it, because a product in front of it left or came.

    Args:
        changes: of all places.
        places: all places.
    Returns:
        The changes that are left.
    """
    return [change for change in changes if not any(_reveals(place, change) for place in places)]


def _reveals(other: Place, change: Change) -> bool:
    """Whether a product at another place began or ceased to cover the spot of a change while it happened."""
    if other is change.place or change.rule not in ("place_emptied", "place_filled"):
        return False
    spot = change.box_xyxy_px[None]
    before = other.box_at(change.gap.start_s - 0.05)
    after = other.box_at(change.gap.end_s + SETTLE_S)
    hid_before = before is not None and float(covered(spot, before[None])[0, 0]) >= REVEAL_SHARE
    hides_after = after is not None and float(covered(spot, after[None])[0, 0]) >= REVEAL_SHARE
    if change.rule == "place_emptied":
        return hides_after and not hid_before
    return hid_before and not hides_after


def same_product(was: Reading, now: Reading) -> bool:
    """Whether two readings are of one SKU.

    Args:
        was: the earlier reading.
        now: the later one.
    Returns:
        True when their vectors or their SKUs agree.
    """
    agree = sum(p * now.probabilities.get(sku, 0.0) for sku, p in was.probabilities.items() if sku is not None)
    if was.vector is None or now.vector is None:
        return agree > 0.25
    cosine = float(was.vector @ now.vector)
    return (cosine > SAME_COSINE and (was.best == now.best or agree > 0.15)) or (was.best == now.best and agree > 0.3)


def measure(place: Place, before: Run, after: Run) -> Shift | None:
    """Registration of two views, with the nearer product's print as the template: it shows more and finer detail.

    Args:
        place: where.
        before: the earlier run, with a product.
        after: the later run, with a product.
    Returns:
        The movement from before to after, None when nothing matches.
    """
    if before.box_xyxy_px is None or after.box_xyxy_px is None or not before.pictures or not after.pictures:
        return None
    first, second = mean_picture(before), mean_picture(after)
    if unmoved(first, second, box_xyxy_px=local_box(before.box_xyxy_px, place.window_xyxy_px)):
        return Shift(1.0, 0.0, 0.0, 1.0)
    there = register(first, second, box_xyxy_px=local_box(before.box_xyxy_px, place.window_xyxy_px))
    if there is not None and there.scale < 1.0 and there.score >= MATCH_MIN:
        return there
    back = register(second, first, box_xyxy_px=local_box(after.box_xyxy_px, place.window_xyxy_px))
    if back is None or (there is not None and back.score < min(there.score, MATCH_MIN)):
        return there
    return Shift(1 / back.scale, -back.dx_px, -back.dy_px, back.score)


def _moved(
    place: Place, runs: tuple[Run, Run], gap: Gap, *, reading: Reading, extent: Extent, lens: Lens
) -> list[Change]:
    before, after = runs
    assert before.box_xyxy_px is not None and after.box_xyxy_px is not None, "both runs have a product"
    shift = measure(place, before, after)
    if shift is None or shift.score < MATCH_MIN:
        shift = _box_shift(before.box_xyxy_px, after.box_xyxy_px)
        rule, trust = "row_step_by_box", 0.8
    else:
        rule, trust = "row_step_by_print", 1.0
    x0, y0, x1, y1 = (float(v) for v in before.box_xyxy_px)
    width_px = max(x1 - x0, (y1 - y0) * extent.slimness)
    along, aside = step_in_widths(shift, before.box_xyxy_px, lens=lens, width_px=width_px)
    step = along / extent.pitch
    count = round(abs(step))
    if abs(step) > STEP_MAX:
        return []
    if abs(step) < STEP_MIN:
        if abs(aside) > ASIDE_MIN:
            return [Change(Kind.MOVE, place, reading, 1, 0.8 * trust, gap, "moved_sideways", step)]
        return []
    off = abs(abs(step) - count) / STEP_SIGMA
    sure = trust * float(np.exp(-0.5 * max(0.0, off - 1.0) ** 2)) * (1.0 if count == 1 else 0.93)
    kind = Kind.TAKE if step > 0 else Kind.PUT_BACK
    return [Change(kind, place, reading, max(1, count), sure, gap, rule, step)]


def _replaced(
    place: Place, runs: tuple[Run, Run], gap: Gap, *, readings: tuple[Reading, Reading], native_sku: str | None
) -> list[Change]:
    """Another product is in front: put before the old one, revealed behind it, or swapped for it."""
    before, after = runs
    assert before.box_xyxy_px is not None and after.box_xyxy_px is not None, "both runs have a product"
    width = float(before.box_xyxy_px[2] - before.box_xyxy_px[0])
    fall = float(after.box_xyxy_px[3] - before.box_xyxy_px[3]) / max(width, 1.0)
    was, now = readings
    stands_before = fall > 0.12
    gone = Change(Kind.TAKE, place, was, 1, 0.85, gap, "replaced")
    came = Change(Kind.PUT_BACK, place, now, 1, 0.85, gap, "replaced")
    if was.best != native_sku and now.best == native_sku and fall < 0.05:
        return [gone]
    if stands_before:
        return [came]
    return [gone, came]


def _presence(with_product: Run, without: Run) -> float:
    """How clearly one run shows a product and the other none."""
    return min(with_product.seen / max(with_product.frames, 1), 1.0 - without.seen / max(without.frames, 1), 0.99)


def _box_shift(before: NDArray[np.float32], after: NDArray[np.float32]) -> Shift:
    heights = float(after[3] - after[1]) / max(float(before[3] - before[1]), 1.0)
    widths = float(after[2] - after[0]) / max(float(before[2] - before[0]), 1.0)
    scale = heights if abs(np.log(heights)) < abs(np.log(widths)) else widths
    centre = (after[:2] + after[2:] - before[:2] - before[2:]) / 2
    return Shift(scale=max(scale, 0.05), dx_px=float(centre[0]), dy_px=float(centre[1]), score=0.0)
