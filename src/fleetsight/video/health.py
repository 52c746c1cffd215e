"""Whether the camera saw anything: spans of black, covered and frozen picture.

Each picture is reduced to a few of its rows (18 whole rows, evenly spaced), from which everything is told, in a tenth of a
millisecond. A picture is *black* when no part of it is brighter than BLACK_MAX; *covered* when it has next to no detail for its
brightness (a scene in the dark keeps its detail relative to its brightness, a hand that hides most of it leaves the rest);
*still* when its rows are those of the picture before but for rounding. Thresholds were set on real clips at CRF 18 to 38 and
stand beside them. A compressed view in which really nothing moves is as still as a frozen one, therefore frozen needs seconds.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.video.timeline import NS
from fleetsight.vision.image import Image

ROWS, COLUMNS = 18, 32
BLACK_MAX = 24.0  # mean of a patch, 0-255; a lens cap reads 0-10, a scene lit at 12 % still has patches above 30
DETAIL_MIN = (
    0.015  # of brightness; real scenes 0.03-0.15, a hand over 70 % of the view 0.022, a covered lens 0.008-0.014
)
DETAIL_FLOOR = 10.0  # brightness that is added before dividing, so that noise in the dark is no detail
STILL_MAX = 0.02  # mean difference of rows, 0-255; frozen and re-encoded 0-0.011, sensor noise at CRF 18 from 0.04
REFRESH_MAX = 1.5  # what a key picture changes in a frozen view
REFRESH_FRAMES = 3
WHOLE_SHARE = 0.9  # a span this long a part of the clip counts however short it is


@dataclass(frozen=True, slots=True)
class HealthSpan:
    """A time during which the camera saw nothing.

    Attributes:
        kind: "black", "covered" or "frozen".
        start_s: presentation time of its first picture.
        end_s: presentation time of its last picture.
    """

    kind: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class _Watch:
    """Collects the spans of one kind."""

    kind: str
    least_s: float
    start_ns: int = -1
    last_ns: int = -1
    doubts: int = 0

    def see(self, pts_ns: int, *, present: bool, excusable: bool = False) -> HealthSpan | None:
        """Take in a picture; returns the span that it ends."""
        if present:
            self.start_ns = pts_ns if self.start_ns < 0 else self.start_ns
            self.last_ns, self.doubts = pts_ns, 0
            return None
        self.doubts += 1
        if self.start_ns < 0 or (excusable and self.doubts <= REFRESH_FRAMES):
            return None
        return self.close()

    def close(self) -> HealthSpan | None:
        """End the span that is open."""
        if self.start_ns < 0:
            return None
        span = HealthSpan(self.kind, self.start_ns / NS, self.last_ns / NS)
        self.start_ns = -1
        return span


class PictureHealth:
    """Watches a clip go by.

    Args:
        black_s: least length of a black span.
        covered_s: least length of a covered span; a hand passes faster.
        frozen_s: least length of a frozen span.
    """

    def __init__(self, *, black_s: float = 0.5, covered_s: float = 1.0, frozen_s: float = 3.0) -> None:
        self._watches = {
            "black": _Watch("black", black_s),
            "covered": _Watch("covered", covered_s),
            "frozen": _Watch("frozen", frozen_s),
        }
        self._spans: list[HealthSpan] = []
        self._before: NDArray[np.uint8] | None = None
        self._first_ns = -1
        self._last_ns = -1

    def update(self, image: Image, pts_ns: int) -> None:
        """Take in the next picture.

        Args:
            image: (h, w, 3) uint8 RGB, of the same size as the others; nothing of it is kept but these rows.
            pts_ns: its presentation time.
        """
        rows = _rows(image)
        patches = cv2.resize(rows, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA).astype(np.float32).mean(axis=2)
        black = bool(patches.max() < BLACK_MAX)
        covered = not black and _detail(patches) < DETAIL_MIN
        change = 255.0 if self._before is None or self._before.shape != rows.shape else _change(rows, self._before)
        if self._first_ns < 0:
            self._first_ns = pts_ns
        start_ns = self._last_ns if self._last_ns >= 0 else pts_ns
        self._note(self._watches["black"].see(pts_ns, present=black))
        self._note(self._watches["covered"].see(pts_ns, present=covered))
        frozen = self._watches["frozen"]
        still = change < STILL_MAX and not black and not covered
        if still and frozen.start_ns < 0:
            frozen.see(start_ns, present=True)  # the picture that is repeated belongs to the span
        self._note(frozen.see(pts_ns, present=still, excusable=change < REFRESH_MAX and not black and not covered))
        self._before, self._last_ns = rows, pts_ns

    def report(self) -> tuple[HealthSpan, ...]:
        """Say what was found.

        Returns:
            Spans long enough to matter, by start; kinds do not overlap each other.
        """
        open_spans = [
            HealthSpan(watch.kind, watch.start_ns / NS, watch.last_ns / NS)
            for watch in self._watches.values()
            if watch.start_ns >= 0
        ]
        whole_s = (self._last_ns - self._first_ns) / NS
        found = [span for span in (*self._spans, *open_spans) if self._matters(span, whole_s)]
        return tuple(sorted(found, key=lambda span: (span.start_s, span.kind)))

    def standstills(self, least_s: float) -> tuple[HealthSpan, ...]:
        """Times in which picture followed picture without a change, however short.

        A view in which nothing moves looks the same, so one of these means something only beside other evidence.

        Args:
            least_s: shorter ones are left out.
        Returns:
            Spans of the kind "frozen" that have ended, by start.
        """
        return tuple(s for s in self._spans if s.kind == "frozen" and s.end_s - s.start_s >= least_s)

    def _note(self, span: HealthSpan | None) -> None:
        if span is not None:
            self._spans.append(span)

    def _matters(self, span: HealthSpan, whole_s: float) -> bool:
        length_s = span.end_s - span.start_s
        return length_s >= self._watches[span.kind].least_s or length_s >= WHOLE_SHARE * whole_s


def _rows(image: Image) -> NDArray[np.uint8]:
    step = max(1, image.shape[0] // ROWS)
    return np.ascontiguousarray(image[step // 2 :: step][:ROWS])


def _detail(patches: NDArray[np.float32]) -> float:
    across = np.abs(np.diff(patches, axis=1)).mean()
    down = np.abs(np.diff(patches, axis=0)).mean()
    return float((across + down) / 2 / (patches.mean() + DETAIL_FLOOR))


def _change(rows: NDArray[np.uint8], before: NDArray[np.uint8]) -> float:
    return float(cv2.norm(rows, before, cv2.NORM_L1)) / rows.size
