"""Reads a shelf over time: which place shows what, and when nobody can tell.

A place is a spot on the shelf where a product rests. While it is in plain view and unchanged it is in a `Run`; a hand, a
moving thing or a changed look ends the run, and the next calm view begins another. What happened in between is for
`audit` to say. Everything here is causal, so frames need not be kept: a run keeps a few small pictures of its place.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetsight.apps.cooler.look import Look
from fleetsight.vision.box import covered, iou
from fleetsight.vision.detections import Detections
from fleetsight.vision.image import Image

CALM_CHANGED = 0.10
"""A place whose look differs in less than this share is unchanged (noise and compression stay below 0.05)."""
RESUMED_CHANGED = 0.03
"""After a hand was there, anything above this is compared anew: a plain product one row further back changes little."""
CALM_MOVING = 0.08
CALM_HIDDEN = 0.12
SETTLE_S = 0.30
"""A new look must stand still this long before it is believed."""
SETTLE_FRAMES = 4
WINDOW_GROW = 0.35
"""Pictures of a place reach this share of its box beyond it on each side, so that a deeper or shifted product still fits."""
PICTURES_MAX = 8
PICTURES_BYTES = 600_000
"""Of one run: large pictures need fewer to be as free of noise (a usual window takes 30 kB at 640 x 360, 130 kB at 1280 x 720)."""
PICTURE_EVERY_S = 0.10
HAND_COVER = 0.1
PUT_WITHIN_S = 1.5
"""What shows at a new spot was put there only if a hand or arm hid the spot this shortly before."""
MATCH_IOU = 0.3
CONTAINED_SHARE = 0.6
"""A product that was half hidden and comes into full view has a box that contains this much of the old one."""
CANDIDATE_IOU = 0.6
OWNED_SHARE = 0.5
"""A detection that shares more than this with a place (of either area) belongs to it and founds no other."""
CANDIDATES_MAX = 200
LINGERED_S = 1.8
"""After a hand was at a place for longer, the view is compared with the one before however alike they are."""
VANISHED_SHARE = 0.8
"""A product in sight in so many more of the earlier frames than of the later ones is gone."""
PLACES_MAX = 400


@dataclass(eq=False)
class Run:
    """A calm view of one place.

    Attributes:
        start_s: time of the first calm frame.
        end_s: time of the last calm frame.
        box_xyxy_px: (4,) mean box of the product, None when the place is empty.
        frames: calm frames in the run.
        seen: those in which a product was detected.
        score: mean detection score.
        label: most frequent detector label index, -1 when empty.
        pictures: window of the place, up to PICTURES_MAX uint8 RGB pictures of equal size.
    """

    start_s: float
    end_s: float
    box_xyxy_px: NDArray[np.float32] | None = None
    frames: int = 0
    seen: int = 0
    score: float = 0.0
    label: int = -1
    pictures: list[Image] = field(default_factory=list)
    _sum: NDArray[np.float64] = field(default_factory=lambda: np.zeros(5))
    _labels: dict[int, int] = field(default_factory=dict)
    _picture_s: float = -1e9

    def add(self, at_s: float, detection: tuple[NDArray[np.float32], float, int] | None) -> None:
        """Count one calm frame, with the product detected in it if any."""
        self.end_s = at_s
        self.frames += 1
        if detection is not None:
            box, score, label = detection
            self.seen += 1
            self._sum += (*box, score)
            self._labels[label] = self._labels.get(label, 0) + 1
        self._conclude()

    @property
    def present(self) -> bool:
        """Whether a product stands here: seen in at least half of the calm frames."""
        return self.box_xyxy_px is not None

    @property
    def share(self) -> float:
        """Share of the calm frames in which a product was detected."""
        return self.seen / max(self.frames, 1)

    def _conclude(self) -> None:
        if self.seen * 2 >= self.frames and self.seen:
            mean = self._sum / self.seen
            self.box_xyxy_px, self.score = mean[:4].astype(np.float32), float(mean[4])
            self.label = max(self._labels, key=lambda k: self._labels[k])
        else:
            self.box_xyxy_px, self.score, self.label = None, 0.0, -1

    def wants_picture(self, at_s: float) -> bool:
        """Whether another picture of the place should be kept."""
        if self.pictures and len(self.pictures) * self.pictures[0].nbytes >= PICTURES_BYTES:
            return False
        return len(self.pictures) < PICTURES_MAX and at_s - self._picture_s >= PICTURE_EVERY_S

    def keep(self, at_s: float, picture: Image) -> None:
        """Keep a picture of the place."""
        self._picture_s = at_s
        self.pictures.append(picture)


@dataclass(frozen=True)
class Gap:
    """The time between two runs, when the place was hidden or in motion.

    Attributes:
        start_s: last calm frame before.
        touched_s: last time a hand or arm covered the place; equals end_s when none was seen.
        end_s: first calm frame after.
        hand_s: first and last time a hand itself, not only an arm, was there; (start_s, touched_s) when none was seen.
        touched: whether a hand or arm was there at all.
    """

    start_s: float
    touched_s: float
    end_s: float
    hand_s: tuple[float, float]
    touched: bool = True


@dataclass(eq=False)
class Place:
    """One spot on the shelf and its runs; gaps[i] lies between runs[i] and runs[i+1].

    Attributes:
        place_id: number of the place within the session.
        window_xyxy_px: (4,) integer window that pictures of the place show.
        runs: calm views in order of time.
        gaps: what lies between them.
        unresolved_s: start of a gap that never ended, None when the last view is calm.
    """

    place_id: int
    window_xyxy_px: NDArray[np.int64]
    runs: list[Run]
    gaps: list[Gap] = field(default_factory=list)
    unresolved_s: float | None = None
    _touched_s: float = -1.0
    _pending: Run | None = None
    _hand_s: tuple[float, float] | None = None

    @property
    def box_xyxy_px(self) -> NDArray[np.float32]:
        """The last box a product had here."""
        for run in reversed(self.runs):
            if run.box_xyxy_px is not None:
                return run.box_xyxy_px
        return self.window_xyxy_px.astype(np.float32)

    @property
    def unsettled(self) -> int:
        """Acts that may have happened here unseen: a view that never came back, and products that went with no hand near."""
        vanished = sum(
            not gap.touched and before.share - after.share >= VANISHED_SHARE
            for before, after, gap in zip(self.runs, self.runs[1:], self.gaps, strict=False)
        )
        return vanished + (self.unresolved_s is not None)

    @property
    def first_box_xyxy_px(self) -> NDArray[np.float32]:
        """The first box a product had here."""
        return next((run.box_xyxy_px for run in self.runs if run.box_xyxy_px is not None), self.box_xyxy_px)

    def run_at(self, at_s: float) -> Run:
        """The calm view of a time; between two the earlier one.

        Args:
            at_s: seconds.
        Returns:
            The last run that began by then, the first before all.
        """
        return next((run for run in reversed(self.runs) if run.start_s <= at_s), self.runs[0])

    def box_at(self, at_s: float) -> NDArray[np.float32] | None:
        """Where a product stood at a time.

        Args:
            at_s: seconds; between two runs the earlier one counts.
        Returns:
            (4,) float32, None when the place was empty.
        """
        return self.run_at(at_s).box_xyxy_px


class _Reading(NamedTuple):
    """What one frame says about one place."""

    calm: bool
    touched: bool
    by_hand: bool
    changed: float
    detection: tuple[NDArray[np.float32], float, int] | None


@dataclass(eq=False)
class _Candidate:
    run: Run
    box: NDArray[np.float32]
    last_s: float


class ShelfReader:
    """Turns frames and detections into places with runs.

    Args:
        width_px: width of the clip's frames.
        height_px: height of the clip's frames.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        self.look = Look(width_px, height_px)
        self.places: list[Place] = []
        self._size = (width_px, height_px)
        self._candidates: list[_Candidate] = []
        self._start_s: float | None = None

    def update(self, image: Image, products: Detections, *, hands_xyxy_px: NDArray[np.float32], at_s: float) -> None:
        """Take the next frame.

        Args:
            image: (h, w, 3) uint8 RGB.
            products: product detections in pixels of the frame.
            hands_xyxy_px: (n, 4) float32 hand boxes.
            at_s: presentation time, seconds.
        """
        if self._start_s is None:
            self._start_s = at_s
        self.look.update(image, hands_xyxy_px, at_s=at_s)
        owner = self._match(products)
        if self.places:
            boxes = np.stack([place.box_xyxy_px for place in self.places])
            shares = self.look.shares(boxes)
            covered = cover_share(boxes, hands_xyxy_px)
            for index, place in enumerate(self.places):
                found = owner.get(index)
                detection = None
                if found is not None:
                    detection = (
                        products.boxes_xyxy_px[found], float(products.scores[found]), int(products.labels[found])
                    )  # fmt: skip
                by_hand = bool(covered[index] > HAND_COVER)
                touched = by_hand or bool(shares.hidden[index] > CALM_HIDDEN)
                calm = not touched and bool(shares.moving[index] < CALM_MOVING) and not self.look.disturbed
                self._advance(
                    place, at_s, image, _Reading(calm, touched, by_hand, float(shares.changed[index]), detection)
                )
        taken = set(owner.values())
        rest = [i for i in range(len(products)) if i not in taken]
        self._propose(image, products.select(np.array(rest, dtype=np.int64)), hands_xyxy_px, at_s)

    def finish(self) -> list[Place]:
        """End the session.

        Returns:
            All places; those still hidden have `unresolved_s` set.
        """
        for place in self.places:
            if place._pending is not None and place._pending.frames >= 2:
                self._settle(place)
        return self.places

    def _advance(self, place: Place, at_s: float, image: Image, reading: "_Reading") -> None:
        calm, touched, by_hand, changed, detection = reading
        run = place.runs[-1]
        after_touch = place.unresolved_s is not None and place._touched_s >= 0.0
        if calm and changed < (RESUMED_CHANGED if after_touch else CALM_CHANGED):
            if after_touch and self._lingered(place):
                place.gaps.append(_gap(place, at_s))
                place.runs.append(Run(start_s=at_s, end_s=at_s))
                run = place.runs[-1]
            place.unresolved_s, place._pending = None, None
            run.add(at_s, detection)
            self._picture(place, run, at_s, image)
            return
        if place.unresolved_s is None:
            place.unresolved_s, place._touched_s, place._pending = run.end_s, -1.0, None
            place._hand_s = None
        if touched:
            place._touched_s = at_s
        if by_hand:
            place._hand_s = (at_s if place._hand_s is None else place._hand_s[0], at_s)
        if not calm:
            place._pending = None
            return
        if place._pending is None:
            place._pending = Run(start_s=at_s, end_s=at_s)
        pending = place._pending
        pending.add(at_s, detection)
        self._picture(place, pending, at_s, image)
        if pending.end_s - pending.start_s >= SETTLE_S and pending.frames >= SETTLE_FRAMES:
            self._settle(place)

    @staticmethod
    def _lingered(place: Place) -> bool:
        """Whether a hand was at a place for so long that it may have looked at the product and returned it."""
        return place._hand_s is not None and place._hand_s[1] - place._hand_s[0] >= LINGERED_S

    def _settle(self, place: Place) -> None:
        assert place._pending is not None and place.unresolved_s is not None, "only a gap can be settled"
        pending = place._pending
        place.gaps.append(_gap(place, pending.start_s))
        place.runs.append(pending)
        place._pending, place.unresolved_s = None, None
        self.look.accept(place.box_xyxy_px if pending.present else place.window_xyxy_px.astype(np.float32))

    def _picture(self, place: Place, run: Run, at_s: float, image: Image) -> None:
        if run.wants_picture(at_s):
            x0, y0, x1, y1 = place.window_xyxy_px
            run.keep(at_s, image[y0:y1, x0:x1].copy())

    def _match(self, products: Detections) -> dict[int, int]:
        """Best detection of each place, one to one: by IoU, then by which one contains the place's box."""
        if not self.places or not len(products):
            return {}
        boxes = np.stack([place.box_xyxy_px for place in self.places])
        owner: dict[int, int] = {}
        _pair(iou(boxes, products.boxes_xyxy_px), MATCH_IOU, owner)
        _pair(covered(boxes, products.boxes_xyxy_px), CONTAINED_SHARE, owner)
        return owner

    def _propose(self, image: Image, products: Detections, hands: NDArray[np.float32], at_s: float) -> None:
        """Products that rest where no place is yet become places."""
        free = self._outside_places(products)
        shares = self.look.shares(products.boxes_xyxy_px) if len(products) else None
        covered = cover_share(products.boxes_xyxy_px, hands)
        for index in free:
            assert shares is not None, "free indexes come from products"
            if covered[index] > 0.1 or shares.hidden[index] > CALM_HIDDEN or shares.moving[index] > CALM_MOVING:
                continue
            self._collect(products, int(index), at_s)
        self._candidates = [c for c in self._candidates if at_s - c.last_s <= SETTLE_S][:CANDIDATES_MAX]
        for candidate in [c for c in self._candidates if c.last_s == at_s]:
            run = candidate.run
            if run.seen >= SETTLE_FRAMES and at_s - run.start_s >= SETTLE_S and not self.look.disturbed:
                self._candidates.remove(candidate)
                self._found(candidate, image, at_s)

    def _collect(self, products: Detections, index: int, at_s: float) -> None:
        box = products.boxes_xyxy_px[index]
        detection = (box, float(products.scores[index]), int(products.labels[index]))
        for candidate in self._candidates:
            if iou(candidate.box[None], box[None])[0, 0] >= CANDIDATE_IOU:
                candidate.run.add(at_s, detection)
                candidate.box = candidate.box + 0.3 * (box - candidate.box)
                candidate.last_s = at_s
                return
        run = Run(start_s=at_s, end_s=at_s)
        run.add(at_s, detection)
        self._candidates.append(_Candidate(run=run, box=box.copy(), last_s=at_s))

    def _found(self, candidate: _Candidate, image: Image, at_s: float) -> None:
        if len(self.places) >= PLACES_MAX or candidate.run.box_xyxy_px is None:
            return
        box = candidate.run.box_xyxy_px
        if not self._is_outside(box[None])[0]:
            return
        width, height = self._size
        margin = WINDOW_GROW * np.array([box[2] - box[0], box[3] - box[1]])
        window = np.rint(np.concatenate([box[:2] - margin, box[2:] + margin])).astype(np.int64)
        window = np.clip(window, 0, [width, height, width, height])
        place = Place(place_id=len(self.places), window_xyxy_px=window, runs=[candidate.run])
        assert self._start_s is not None, "update() has run"
        visit_s = self.look.last_visit_s(box)
        put = candidate.run.start_s - visit_s[1] < PUT_WITHIN_S
        if put and self.look.changed_since_start(box) > 0.25 and candidate.run.start_s - self._start_s > SETTLE_S:
            rest_s = candidate.run.start_s
            start_s = max(self._start_s, min(visit_s[0], rest_s))
            place.runs.insert(0, Run(start_s=self._start_s, end_s=start_s, frames=1))
            place.gaps.append(Gap(start_s, min(visit_s[1], rest_s), rest_s, hand_s=(start_s, min(visit_s[1], rest_s))))
        self._picture(place, candidate.run, at_s, image)
        self.look.accept(box)
        self.places.append(place)

    def _outside_places(self, products: Detections) -> NDArray[np.int64]:
        """Indexes of detections that do not lie on a known place."""
        if not self.places or not len(products):
            return np.arange(len(products))
        return np.flatnonzero(self._is_outside(products.boxes_xyxy_px))

    def _is_outside(self, boxes_xyxy_px: NDArray[np.float32]) -> NDArray[np.bool_]:
        if not self.places:
            return np.ones(len(boxes_xyxy_px), dtype=np.bool_)
        known = np.stack([place.box_xyxy_px for place in self.places])
        over = np.maximum(covered(known, boxes_xyxy_px), covered(boxes_xyxy_px, known).T).max(axis=0)
        outside: NDArray[np.bool_] = over < OWNED_SHARE
        return outside


def _gap(place: Place, end_s: float) -> Gap:
    """What lies between the last calm view of a place and one that begins."""
    assert place.unresolved_s is not None, "the place was out of sight"
    touched = place._touched_s >= 0.0
    touched_s = place._touched_s if touched else end_s
    hand_s = (place.unresolved_s, touched_s) if place._hand_s is None else place._hand_s
    return Gap(place.unresolved_s, touched_s, end_s, hand_s=hand_s, touched=touched)


def _pair(overlap: NDArray[np.float32], least: float, owner: dict[int, int]) -> None:
    """Add the best free pairs of rows and columns to `owner`, greatest overlap first."""
    used = set(owner.values())
    rows, columns = np.nonzero(overlap >= least)
    order = np.argsort(-overlap[rows, columns], kind="stable")
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in owner and j not in used:
            owner[i] = j
            used.add(j)


def cover_share(boxes_xyxy_px: NDArray[np.float32], covers_xyxy_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest share of each box that one cover hides.

    Args:
        boxes_xyxy_px: (n, 4) float32.
        covers_xyxy_px: (m, 4) float32.
    Returns:
        (n,) float32; zeros when there is no cover.
    """
    if not len(covers_xyxy_px) or not len(boxes_xyxy_px):
        return np.zeros(len(boxes_xyxy_px), dtype=np.float32)
    share: NDArray[np.float32] = covered(boxes_xyxy_px, covers_xyxy_px).max(axis=1)
    return share
