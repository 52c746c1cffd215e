"""Labelled pictures without end, to train a detector on.

Each session gives a few frames, half of them at instants when hands are at work, compressed the way a clip would be.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.sim.knobs import STANDARD
from fleetsight.sim.scene import FrameTruth
from fleetsight.sim.session import SESSIONS_PER_CATALOG, Renderer, SessionPlan, plan_training_session
from fleetsight.vision.image import Image

PRODUCT, HAND = 0, 1
"""Labels, in the order of the detector's card."""
LABELLED_FRACTION = 0.25
"""A product less visible than this is not asked for."""
IGNORED_FRACTION = 0.08
"""And below this it is background."""
HAND_LEAST_PX = 60
"""A hand of fewer visible pixels, at 640 x 360, is ignored."""
PRODUCT_LEAST_PX = 6.0
"""A visible part narrower or lower than this is ignored."""
SAMPLE_SEEDS = 1_000_000
"""Training sessions are drawn from seeds below this number."""
CATALOGS_AT_ONCE = 6
"""A stream goes back and forth between so many catalogs, so that neighbouring samples differ."""

Sample = tuple[Image, NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]


def detector_samples(seed: int) -> Iterator[Sample]:
    """Draw training pictures for a detector of products and hands.

    Args:
        seed: of the stream.

    Yields:
        image: (h, w, 3) uint8 RGB, 640 x 360.
        boxes_xyxy_px: (n, 4) float32.
        labels: (n,) int64, `PRODUCT` or `HAND`.
        ignore_xyxy_px: (m, 4) float32 regions that are neither right nor wrong.
    """
    rng = np.random.default_rng([seed, 41])
    catalogs = [_CatalogVisit(rng) for _ in range(CATALOGS_AT_ONCE)]
    while True:
        plan = plan_training_session(catalogs[int(rng.integers(CATALOGS_AT_ONCE))].next_seed(rng))
        renderer = Renderer(plan)
        for index in _instants(plan, rng):
            frame = renderer.frame(index)
            boxes, labels, ignore = sample_labels(frame.truth)
            yield _compressed(frame.image, rng), boxes, labels, ignore


class _CatalogVisit:
    """Training seeds that share a catalog, each used once, then those of another."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._seeds: list[int] = []
        self.next_seed(rng)

    def next_seed(self, rng: np.random.Generator) -> int:
        if not self._seeds:
            first = int(rng.integers(SAMPLE_SEEDS // SESSIONS_PER_CATALOG)) * SESSIONS_PER_CATALOG
            self._seeds = list(range(first, first + SESSIONS_PER_CATALOG))
            self._seeds = self._seeds[int(rng.integers(SESSIONS_PER_CATALOG - 1)) :]
        return self._seeds.pop()


def sample_labels(truth: FrameTruth) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """What a detector should find in a frame.

    Args:
        truth: of the frame.

    Returns:
        boxes_xyxy_px: (n, 4) float32.
        labels: (n,) int64.
        ignore_xyxy_px: (m, 4) float32.
    """
    boxes = truth.boxes_xyxy_px
    narrow = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) < PRODUCT_LEAST_PX
    seen = (truth.visible_fraction >= LABELLED_FRACTION) & ~narrow
    doubtful = ~seen & (truth.visible_fraction > IGNORED_FRACTION)
    hand = truth.hand_pixels >= HAND_LEAST_PX
    found = np.concatenate([boxes[seen], truth.hand_boxes_xyxy_px[hand]])
    labels = np.concatenate([np.full(int(seen.sum()), PRODUCT), np.full(int(hand.sum()), HAND)]).astype(np.int64)
    return found, labels, np.concatenate([boxes[doubtful], truth.hand_boxes_xyxy_px[~hand]])


def _instants(plan: SessionPlan, rng: np.random.Generator) -> list[int]:
    """Two to six frames; half of them with hands, a third of those about the moment of an event."""
    count = int(rng.integers(2, 7))
    times = list(rng.uniform(0.0, plan.script.end_s, count - count // 2))
    for _ in range(count // 2):
        events, arms = plan.script.events, plan.script.arms
        if events and rng.random() < 0.5:
            event = events[int(rng.integers(len(events)))]
            times.append(rng.uniform(event.window_s[0] - 0.3, event.window_s[1] + 0.1))
        elif arms:
            keys = arms[int(rng.integers(len(arms)))].keys
            times.append(rng.uniform(keys[0].at_s, keys[-1].at_s))
    last = plan.frame_count - 1
    return sorted({int(np.clip(at_s * plan.rate_hz, 0, last)) for at_s in times})


def _compressed(image: Image, rng: np.random.Generator) -> Image:
    quality = STANDARD.encoding.sample_jpeg.draw_int(rng)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        message = "OpenCV cannot read the JPEG it has just written"
        raise AssertionError(message)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
