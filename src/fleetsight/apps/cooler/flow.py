"""Settles a clip: decode, detect, read the shelf, name what moved, fold the basket, decide.

    clip -> video.ClipReader -> accel.Detector -> ShelfReader -> changes -> events -> basket -> Decision

Everything after the shelf reader is a pure function of its runs, the catalog and the planogram.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.detector import Detector
from fleetsight.accel.embedder import Embedder
from fleetsight.apps.cooler.audit import ROW_STEPS, Extent, Lens, row_boxes
from fleetsight.apps.cooler.basket import fold_basket
from fleetsight.apps.cooler.changes import Change, Row, place_changes, with_rows_behind, without_reveals
from fleetsight.apps.cooler.decide import Decision, Doubt, confidence_of, decide, doubt_of, load_calibration
from fleetsight.apps.cooler.events import Event, Role
from fleetsight.apps.cooler.identify import GalleryIdentifier, Identifier, LabelIdentifier
from fleetsight.apps.cooler.rules import SessionFacts, events_of
from fleetsight.apps.cooler.shelf import Place, ShelfReader
from fleetsight.catalog.gallery import build_gallery
from fleetsight.catalog.planogram import Planogram
from fleetsight.catalog.sku import Catalog, CatalogError
from fleetsight.video.decode import ClipReader, DecodeSummary, Limits
from fleetsight.video.frame import Frame
from fleetsight.video.health import PictureHealth
from fleetsight.vision.box import covered, iou
from fleetsight.vision.detections import Detections
from fleetsight.vision.image import Image

SCORE_MIN = 0.25
"""Detections below this score are not looked at."""
HAND_LABELS = ("hand", "person")
NATIVE_IOU = 0.3
"""A place belongs to the facing whose box it overlaps at least this much."""
NATIVE_INSIDE = 0.7
"""A product of which a board or a neighbour hides much, or that stands further back, lies this far in the boxes of its row."""
ROW_GAP_MM = 6.0
"""Usual space between the products of a row."""
SHORTEST_S = 1.0
"""A transaction cannot be shorter: a door opens, a hand reaches in."""
BLIND_SHARE = 0.5
COVERED_LIKENESS = 0.6
"""Below this correlation of detail with the shelf at rest a picture shows something else: arms leave 0.8, a dimmed light 0.9."""
COVERED_S = 0.8
STANDSTILL_S = 0.4
"""A camera or a link that sticks does so for longer; nobody takes a product in less."""
STANDSTILL_NEAR_S = 0.15
"""A view that changed within two or three pictures after a standstill changed in it."""
UNREAD_CHANGED = 0.08
"""Share of a facing's picture that must differ in the end: one product less changes more, drift of light less."""
DECODED_MIN = 0.98
"""Less than this share of the clip means that the evidence is incomplete."""


@dataclass(frozen=True)
class Engine:
    """The loaded parts that settle clips of one kind; reused for many clips.

    Attributes:
        detector: finds products and hands.
        identifier: names products.
        product_labels: detector label indexes that are products.
        hand_labels: detector label indexes of hands and people.
    """

    detector: Detector
    identifier: Identifier
    product_labels: frozenset[int]
    hand_labels: frozenset[int]

    @staticmethod
    def for_labels(detector: Detector, skus: Sequence[str]) -> "Engine":
        """An engine whose SKUs are labels of the detector.

        Args:
            detector: any detector.
            skus: the labels that are SKUs.
        Returns:
            The engine.
        Raises:
            CatalogError: a name that the detector does not know.
        """
        labels = tuple(detector.labels)
        missing = [sku for sku in skus if sku not in labels]
        if missing or not skus:
            raise CatalogError(
                f"the detector has no label {', '.join(missing) or '(none named)'}",
                hint=f"choose --skus from: {', '.join(labels[:20])}",
            )
        return Engine(detector, LabelIdentifier(labels), _indexes(labels, skus), _indexes(labels, HAND_LABELS))

    @staticmethod
    def for_catalog(detector: Detector, embedder: Embedder, *, catalog: Catalog) -> "Engine":
        """An engine that names products by the pictures of a catalog.

        Args:
            detector: with a label `product`.
            embedder: makes vectors of crops.
            catalog: SKUs with pictures.
        Returns:
            The engine.
        Raises:
            CatalogError: the detector has no label `product`, or no SKU has a picture.
        """
        labels = tuple(detector.labels)
        if "product" not in labels:
            raise CatalogError(
                "the detector has no label 'product', so a catalog cannot be used with it",
                hint="name its labels that are SKUs with --skus",
            )
        gallery = build_gallery(catalog, lambda names: embedder.embed([read_picture(Path(name)) for name in names]))
        extents = {
            name: Extent(pitch=(depth + ROW_GAP_MM) / width, slimness=width / height)
            for name, sku in catalog.skus.items()
            if sku.size_mm is not None
            for width, height, depth in (sku.size_mm,)
        }
        identifier = GalleryIdentifier(embedder, gallery, extents)
        return Engine(detector, identifier, _indexes(labels, ("product",)), _indexes(labels, HAND_LABELS))


@dataclass(frozen=True)
class Settlement:
    """The answer to one clip, with what led to it.

    Attributes:
        clip: the file.
        summary: what was decoded.
        degraded: reasons why the evidence is incomplete; empty when it is complete.
        events: in order of time.
        basket: units by SKU.
        decision: charge, review or release.
        reason: why.
        confidence: calibrated probability that the basket is exact.
        doubt: what the confidence was computed from.
        stages_s: seconds spent by stage.
        elapsed_s: seconds in all.
        end_s: presentation time of the last frame.
        places: what the shelf reader saw.
    """

    clip: Path
    summary: DecodeSummary
    degraded: tuple[str, ...]
    events: tuple[Event, ...]
    basket: dict[str, int]
    decision: Decision
    reason: str
    confidence: float
    doubt: Doubt
    stages_s: dict[str, float]
    elapsed_s: float
    end_s: float
    places: tuple[Place, ...] = field(repr=False, default=())

    @property
    def frames_per_s(self) -> float:
        """Frames settled per second of wall time, all stages included."""
        return self.summary.frames / max(self.elapsed_s, 1e-9)


class _Stopwatch(AbstractContextManager["_Stopwatch"]):
    def __init__(self, stages_s: dict[str, float], name: str) -> None:
        self._stages, self._name, self._start = stages_s, name, 0.0

    def __enter__(self) -> "_Stopwatch":
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stages[self._name] += time.perf_counter() - self._start


@dataclass
class Watched:
    """What the frame loop leaves behind."""

    shelf: ShelfReader | None = None
    health: PictureHealth = field(default_factory=PictureHealth)
    blind_s: float = 0.0
    covered_s: float = 0.0
    size: tuple[int, int] = (0, 0)
    end_s: float = 0.0

    def unread(self, columns: "Sequence[NDArray[np.float32]]") -> int:
        """Facings of the planogram at which no product was ever detected although something changed there for good."""
        if self.shelf is None:
            return 0
        boxes = [run.box_xyxy_px for place in self.shelf.places for run in place.runs if run.box_xyxy_px is not None]
        read = {found[0] for box in boxes if (found := _facing_at(box, columns)) is not None}
        unread = [column[0] for index, column in enumerate(columns) if index not in read]
        return sum(self.shelf.look.changed_for_good(box) > UNREAD_CHANGED for box in unread)

    def jumped(self) -> int:
        """Places whose look changed across a standstill of the picture, without a hand: what happened there was not filmed."""
        stills = self.health.standstills(STANDSTILL_S)
        if self.shelf is None or not stills:
            return 0
        gaps = [gap for place in self.shelf.places for gap in place.gaps if not gap.touched]
        near = STANDSTILL_NEAR_S
        return sum(any(gap.start_s - near <= still.end_s <= gap.end_s + near for still in stills) for gap in gaps)

    def unseen(self, unsettled: int) -> tuple[str, ...]:
        """Reasons why nobody can say what happened although pictures came."""
        reasons = []
        if self.end_s < SHORTEST_S:
            reasons.append(f"the clip lasts {self.end_s:.2f} s only")
        if self.shelf is None or not self.shelf.places:
            reasons.append("no product was seen at rest")
        if self.blind_s > BLIND_SHARE * self.end_s:
            reasons.append(f"the shelf could not be read for {self.blind_s:.1f} of {self.end_s:.1f} s")
        if self.covered_s >= COVERED_S:
            reasons.append(f"the camera was covered for {self.covered_s:.1f} s")
        if jumped := self.jumped():
            reasons.append(f"the shelf changed in {jumped} places while the picture stood still")
        if unsettled:
            reasons.append(f"{unsettled} products went or stayed out of sight")
        return tuple(reasons)


def settle(
    clip: Path,
    engine: Engine,
    *,
    planogram: Planogram | None = None,
    role: Role = Role.SHOPPER,
    limits: Limits | None = None,
) -> Settlement:
    """Turn a transaction clip into a basket with evidence and a decision.

    Args:
        clip: a video file of one session.
        engine: the loaded models.
        planogram: what should stand where; None when unknown.
        role: who opened the door.
        limits: of the decoder; None takes the defaults.
    Returns:
        The settlement; evidence that is incomplete makes it `degraded` and never auto-charged.
    Raises:
        MediaError: the file holds no usable video.
    """
    start = time.perf_counter()
    stages_s = dict.fromkeys(("decode", "detect", "read", "decide"), 0.0)
    with ClipReader(clip, limits=limits or Limits()) as reader:
        watched = watch(reader, engine, stages_s=stages_s)
        summary = reader.summary
    with _Stopwatch(stages_s, "decide"):
        answer = answer_of(watched, summary, engine=engine, planogram=planogram, role=role)
    return Settlement(
        clip=clip,
        summary=summary,
        degraded=answer.degraded,
        events=answer.events,
        basket=answer.basket,
        decision=answer.decision,
        reason=answer.reason,
        confidence=answer.confidence,
        doubt=answer.doubt,
        stages_s={name: round(value, 4) for name, value in stages_s.items()},
        elapsed_s=time.perf_counter() - start,
        end_s=watched.end_s,
        places=answer.places,
    )


@dataclass(frozen=True)
class Answer:
    """What follows from a clip once its frames were watched; see `Settlement`."""

    degraded: tuple[str, ...]
    events: tuple[Event, ...]
    basket: dict[str, int]
    decision: Decision
    reason: str
    confidence: float
    doubt: Doubt
    places: tuple[Place, ...]


def answer_of(
    watched: "Watched", summary: DecodeSummary, *, engine: Engine, planogram: Planogram | None, role: Role
) -> Answer:
    """Events, basket and decision from what the frame loop left behind; no frame is needed any more.

    Args:
        watched: see `watch`.
        summary: what was decoded.
        engine: the loaded models.
        planogram: what should stand where; None when unknown.
        role: who opened the door.
    Returns:
        The answer.
    """
    width, height = watched.size
    places = watched.shelf.finish() if watched.shelf is not None else []
    lens = lens_of(planogram, size=(width, height))
    columns = columns_of(planogram, engine.identifier, size=watched.size)
    rows = rows_of(places, planogram, identifier=engine.identifier, columns=columns)
    changes: list[Change] = []
    unsure = 0.0
    for place in places:
        row = rows.get(place.place_id, Row())
        found = place_changes(place, engine.identifier, lens=lens, row=replace(row, restock=role is Role.RESTOCK))
        changes += found.changes
        unsure = max(unsure, found.unsure)
    changes = with_rows_behind(without_reveals(changes, places), places, identifier=engine.identifier, lens=lens)
    events = events_of(changes, SessionFacts(role=role, native={key: row.sku for key, row in rows.items()}))
    basket = {} if role is Role.RESTOCK else fold_basket(events)
    unsettled = sum(place.unsettled for place in places) + watched.unread(columns)
    unexplained = watched.shelf.look.unexplained([p.window_xyxy_px for p in places]) if watched.shelf else 0.0
    doubt = doubt_of(
        events,
        unresolved=unsettled,
        unexplained=unexplained,
        blind_s=watched.blind_s,
        unsure=unsure,
    )
    degraded = degradation(summary, watched.health) + watched.unseen(unsettled)
    confidence = confidence_of(doubt, load_calibration())
    decision, reason = decide(events, basket=basket, confidence=confidence, degraded=degraded, role=role)
    return Answer(degraded, tuple(events), basket, decision, reason, confidence, doubt, tuple(places))


def watch(reader: ClipReader, engine: Engine, *, stages_s: dict[str, float]) -> Watched:
    """The frame loop: every frame is decoded, detected and read, in order."""
    watched = Watched()
    waiting: deque[Frame] = deque()
    frames = iter(reader)

    def images() -> Iterator[Image]:
        while True:
            with _Stopwatch(stages_s, "decode"):
                frame = next(frames, None)
            if frame is None:
                return
            waiting.append(frame)
            yield frame.image

    detections = engine.detector.stream(images(), score_min=SCORE_MIN)
    last_s = 0.0
    while True:
        before = stages_s["decode"]
        begin = time.perf_counter()
        found = next(detections, None)
        stages_s["detect"] += time.perf_counter() - begin - (stages_s["decode"] - before)
        if found is None:
            return watched
        with _Stopwatch(stages_s, "read"):
            frame = waiting.popleft()
            at_s = frame.pts_ns / 1e9
            if watched.shelf is None:
                watched.size = (frame.image.shape[1], frame.image.shape[0])
                watched.shelf = ShelfReader(*watched.size)
            watched.health.update(frame.image, frame.pts_ns)
            products, hands = _pick(found, engine.product_labels), _pick(found, engine.hand_labels)
            watched.shelf.update(frame.image, products, hands_xyxy_px=hands.boxes_xyxy_px, at_s=at_s)
            if watched.shelf.look.disturbed:
                watched.blind_s += at_s - last_s
            if (
                not watched.shelf.look.likeness >= COVERED_LIKENESS
            ):  # nan, when the picture has no contrast, is unlike too
                watched.covered_s += at_s - last_s
            last_s = watched.end_s = at_s


def lens_of(planogram: Planogram | None, *, size: tuple[int, int]) -> Lens:
    """The camera: as the planogram calibrates it, else a usual one of unknown tilt.

    Args:
        planogram: None when unknown.
        size: width and height of the clip.
    Returns:
        The pinhole for pictures of that size.
    """
    focal = planogram.focal_for(size[0]) if planogram is not None else None
    if planogram is None or focal is None:
        return Lens.assumed(*size)
    if planogram.tilt_rad is None:
        return Lens(focal, *size)
    return Lens(focal, *size, tilts_rad=(planogram.tilt_rad,))


def rows_of(
    places: Sequence[Place],
    planogram: Planogram | None,
    *,
    identifier: Identifier,
    columns: Sequence[NDArray[np.float32]],
) -> dict[int, Row]:
    """What belongs to each place: by planogram where it has a facing, else what stood there first.

    Args:
        places: as read.
        planogram: None when unknown.
        identifier: names products.
        columns: see `columns_of`.
    Returns:
        SKU and booked stock by place_id; places where nothing stood at first have none.
    """
    rows: dict[int, Row] = {}
    for place in places:
        if planogram is not None and (found := _facing_at(place.first_box_xyxy_px, columns)) is not None:
            facing, whole = planogram.facings[found[0]], found[1]
            rows[place.place_id] = Row(facing.sku, facing.stock_count if whole else None)
            continue
        if len(place.runs) > 1:
            reading = identifier.read(place, place.runs[0])
            rows[place.place_id] = Row(reading.best if reading is not None else None)
    return rows


def columns_of(
    planogram: Planogram | None, identifier: Identifier, *, size: tuple[int, int]
) -> list[NDArray[np.float32]]:
    """Where the products of each facing stand; the front one alone when the camera is not calibrated.

    Args:
        planogram: None when unknown.
        identifier: knows the proportions of products.
        size: width and height of the clip.
    Returns:
        For each facing (n, 4) boxes from front to back; empty without a planogram.
    """
    if planogram is None:
        return []
    lens = lens_of(planogram, size=size)
    columns = []
    for facing, box in zip(planogram.facings, planogram.boxes_for(*size), strict=True):
        depth = max(1, facing.depth_count) if len(lens.tilts_rad) == 1 else 1
        whole = np.isin(ROW_STEPS, np.arange(depth))
        row = row_boxes(box, lens, tilt_rad=lens.tilts_rad[0], extent=identifier.extent(facing.sku))[whole]
        columns.append(row.astype(np.float32) if depth > 1 else box[None])
    return columns


def _facing_at(box_xyxy_px: NDArray[np.float32], columns: Sequence[NDArray[np.float32]]) -> tuple[int, bool] | None:
    """The facing in whose row a product stands, and whether the whole of its front product is seen."""
    if not columns:
        return None
    front = iou(box_xyxy_px[None], np.stack([column[0] for column in columns]))[0]
    if front.max() >= NATIVE_IOU:
        return int(front.argmax()), True
    inside = np.array([covered(box_xyxy_px[None], column)[0].max() for column in columns])
    return (int(inside.argmax()), False) if inside.max() >= NATIVE_INSIDE else None


def degradation(summary: DecodeSummary, health: PictureHealth) -> tuple[str, ...]:
    """Why the evidence is incomplete.

    Args:
        summary: of the decoder.
        health: of the pictures.
    Returns:
        Reasons; empty when the evidence is complete.
    """
    reasons = list(summary.degraded)
    if summary.decoded_fraction < DECODED_MIN:
        reasons.append(f"only {summary.decoded_fraction:.0%} of the clip could be decoded")
    reasons += [f"picture {span.kind} from {span.start_s:.1f} to {span.end_s:.1f} s" for span in health.report()]
    return tuple(reasons)


def read_picture(path: Path) -> Image:
    """Read a picture file of a catalog.

    Args:
        path: PNG, JPEG or WebP.
    Returns:
        (h, w, 3) uint8 RGB.
    Raises:
        CatalogError: missing or not a picture.
    """
    import cv2

    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise CatalogError(f"{path} is not a readable picture", hint="PNG, JPEG and WebP are read")
    image: Image = picture.astype(np.uint8, copy=False)
    return image


def _indexes(labels: Sequence[str], names: Sequence[str]) -> frozenset[int]:
    return frozenset(i for i, label in enumerate(labels) if label in names)


def _pick(found: Detections, labels: frozenset[int]) -> Detections:
    return found.select(np.isin(found.labels, list(labels)))
