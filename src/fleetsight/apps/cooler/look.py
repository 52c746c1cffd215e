"""What has changed on the shelf since it was last at rest, and what hides it.

One grey picture of reduced size is kept as the look of the shelf at rest. Each frame is brought to the same brightness and
compared with it (changed) and with a frame shortly before (moving). Changed pixels that hang together with a hand, or that
move and reach the border of the picture, hide the shelf (hidden): nothing behind them is read.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.vision.image import Image

WIDTH_PX = 320
"""Width of the comparison picture: a shift of one pixel of a 640 px clip still shows after averaging 2 x 2."""
CHANGED_LEVELS = 15.0
"""Grey levels by which a pixel must differ; H.264 at CRF 32 and sensor noise stay below (measured on rendered clips)."""
MOVING_LEVELS = 11.0
MOTION_LAG_S = 0.13
"""Movement is judged against the frame this long ago: 2 to 4 frames at 15 to 30 frames/s."""
GLOBAL_SHARE = 0.5
"""When more of the picture than this differs, the camera moved, was covered, or the light failed: nothing is read."""
BRIGHTNESS_RANGE = (0.6, 1.7)
"""Outside of this brightness ratio (a closed door, a failed lamp) shadows fall elsewhere and nothing can be compared."""
FINAL_BRIGHTNESS = (0.87, 1.15)
"""Only pictures as bright as the first are held against it: a closing door throws reflections."""
LEFTOVER_SHARE = 0.12
"""More changed picture than this outside of arms is a change of light and not of products."""
DETAIL_PX = (15, 15)
"""What varies over less than this is detail: prints and edges, not light."""
VISIT_BREAK_S = 0.5
"""A hand or arm that comes back to a pixel later than this makes another visit."""
REST_RATE = 0.03
"""How fast the picture at rest follows slow drift, per frame."""


@dataclass(frozen=True)
class Shares:
    """Share of each box that is changed, moving, hidden: three (n,) float32 arrays in [0, 1]."""

    changed: NDArray[np.float32]
    moving: NDArray[np.float32]
    hidden: NDArray[np.float32]


class Look:
    """The look of the shelf at rest, and each frame's difference from it.

    Args:
        width_px: width of the clip's frames.
        height_px: height of the clip's frames.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        self.scale = min(1.0, WIDTH_PX / width_px)
        self._size = (max(8, round(width_px * self.scale)), max(8, round(height_px * self.scale)))
        self._rest: NDArray[np.float32] | None = None
        self._first: NDArray[np.float32] | None = None
        self._past: deque[tuple[float, NDArray[np.float32]]] = deque()
        self._current: NDArray[np.float32] | None = None
        self._last: NDArray[np.float32] | None = None
        self._sums: tuple[NDArray[np.int32], ...] = ()
        self._leftover: NDArray[np.uint8] | None = None
        self._hidden_s: NDArray[np.float32] = np.full((self._size[1], self._size[0]), -1e9, dtype=np.float32)
        self._visit_s: NDArray[np.float32] = np.full((self._size[1], self._size[0]), -1e9, dtype=np.float32)
        self.disturbed = False
        """True while the whole picture is unusable (camera moved or covered, light failed)."""
        self.likeness = 1.0
        """Correlation of the picture's detail with that of the shelf at rest: light changes it little, a cover leaves nothing."""
        self.hidden_share = 0.0
        """Share of the picture that is hidden by hands and arms."""

    def update(self, image: Image, hands_xyxy_px: NDArray[np.float32], *, at_s: float) -> None:
        """Take the next frame.

        Args:
            image: (h, w, 3) uint8 RGB.
            hands_xyxy_px: (n, 4) float32 boxes of hands in pixels of the frame.
            at_s: presentation time of the frame, seconds.
        """
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), self._size, interpolation=cv2.INTER_AREA)
        level = cv2.blur(grey, (3, 3)).astype(np.float32)
        if self._rest is None:
            self._rest, self._first = level.copy(), level.copy()
        ratio = float(np.median((level[::6, ::6] + 8.0) / (self._rest[::6, ::6] + 8.0)))
        detail, rest = (picture[::3, ::3] - cv2.blur(picture, DETAIL_PX)[::3, ::3] for picture in (level, self._rest))
        self.likeness = float((detail * rest).sum() / (np.linalg.norm(detail) * np.linalg.norm(rest) + 1e-6))
        level = level / max(ratio, 1e-3)
        self._current = level
        while len(self._past) > 1 and at_s - self._past[1][0] >= MOTION_LAG_S:
            self._past.popleft()
        before = self._past[0][1] if self._past else level
        self._past.append((at_s, level))
        noise_gain = max(1.0, 1.0 / max(ratio, 1e-3))
        changed = (cv2.absdiff(level, self._rest) > CHANGED_LEVELS * noise_gain).astype(np.uint8)
        moving = (cv2.absdiff(level, before) > MOVING_LEVELS * noise_gain).astype(np.uint8)
        low, high = BRIGHTNESS_RANGE
        hidden = self._hidden(changed, moving, hands_xyxy_px)
        self.hidden_share = float(hidden.mean())
        visited = hidden > 0
        for x0, y0, x1, y1 in zip(*self._cells(hands_xyxy_px), strict=True):
            visited[y0:y1, x0:x1] = True
        self._visit_s[visited & (at_s - self._hidden_s > VISIT_BREAK_S)] = at_s
        self._hidden_s[visited] = at_s
        leftover = changed & (1 - hidden)
        self.disturbed = (
            not low < ratio < high or float(changed.mean()) > GLOBAL_SHARE or float(leftover.mean()) > LEFTOVER_SHARE
        )
        if not self.disturbed:
            if FINAL_BRIGHTNESS[0] < ratio < FINAL_BRIGHTNESS[1]:
                self._last = np.where(hidden > 0, self._last if self._last is not None else level, level)
            calm = (changed | moving) == 0
            np.add(self._rest, REST_RATE * (level - self._rest), out=self._rest, where=calm)
        self._leftover = leftover
        self._sums = tuple(cv2.integral(mask).astype(np.int32, copy=False) for mask in (changed, moving, hidden))

    def shares(self, boxes_xyxy_px: NDArray[np.float32]) -> Shares:
        """How much of each box is changed, moving and hidden in the current frame.

        Args:
            boxes_xyxy_px: (n, 4) float32 in pixels of the clip's frames.
        Returns:
            The three shares.
        """
        x0, y0, x1, y1 = self._cells(boxes_xyxy_px)
        area = ((x1 - x0) * (y1 - y0)).astype(np.float32)
        changed, moving, hidden = (
            ((s[y1, x1] - s[y0, x1] - s[y1, x0] + s[y0, x0]) / area).astype(np.float32) for s in self._sums
        )
        return Shares(changed=changed, moving=moving, hidden=hidden)

    def accept(self, box_xyxy_px: NDArray[np.float32]) -> None:
        """Take the current look of a region as its look at rest.

        Args:
            box_xyxy_px: (4,) float32 in pixels of the clip's frames.
        """
        assert self._rest is not None and self._current is not None, "update() comes first"
        x0, y0, x1, y1 = (int(v[0]) for v in self._cells(box_xyxy_px.reshape(1, 4)))
        self._rest[y0:y1, x0:x1] = self._current[y0:y1, x0:x1]

    def last_visit_s(self, box_xyxy_px: NDArray[np.float32]) -> tuple[float, float]:
        """From when to when most of a region was last behind a hand or an arm.

        Args:
            box_xyxy_px: (4,) float32 in pixels of the clip's frames.
        Returns:
            Seconds of presentation time; far in the past when it never was.
        """
        x0, y0, x1, y1 = (int(v[0]) for v in self._cells(box_xyxy_px.reshape(1, 4)))
        begin, end = (float(np.median(times[y0:y1, x0:x1])) for times in (self._visit_s, self._hidden_s))
        return min(begin, end), end

    def changed_for_good(self, box_xyxy_px: NDArray[np.float32]) -> float:
        """Share of a region that differs between the first and the last picture in which it could be seen.

        Args:
            box_xyxy_px: (4,) float32 in pixels of the clip's frames.
        Returns:
            The share, 0 to 1; 0 when nothing could be seen.
        """
        return self._changed_from_first(self._last, box_xyxy_px)

    def changed_since_start(self, box_xyxy_px: NDArray[np.float32]) -> float:
        """Share of a region that differs between the first picture and the current one.

        Args:
            box_xyxy_px: (4,) float32 in pixels of the clip's frames.
        Returns:
            The share, 0 to 1.
        """
        return self._changed_from_first(self._current, box_xyxy_px)

    def _changed_from_first(self, level: NDArray[np.float32] | None, box_xyxy_px: NDArray[np.float32]) -> float:
        if self._first is None or level is None:
            return 0.0
        x0, y0, x1, y1 = (int(v[0]) for v in self._cells(box_xyxy_px.reshape(1, 4)))
        difference = np.abs(level[y0:y1, x0:x1] - self._first[y0:y1, x0:x1])
        return float((difference > CHANGED_LEVELS).mean())

    def unexplained(self, windows_xyxy_px: Sequence[NDArray[np.int64]]) -> float:
        """Share of the picture that differs from rest outside of the given windows and of hands, in the last frame.

        Args:
            windows_xyxy_px: (4,) boxes in pixels of the clip's frames, such as those of all places.
        Returns:
            The share, 0 to 1; 0 while the whole picture is disturbed.
        """
        if self._leftover is None or self.disturbed:
            return 0.0
        left = self._leftover.copy()
        for x0, y0, x1, y1 in zip(*self._cells(np.array(windows_xyxy_px, np.float32).reshape(-1, 4)), strict=True):
            left[y0:y1, x0:x1] = 0
        return float(cv2.erode(left, np.ones((3, 3), np.uint8)).mean())

    def _cells(self, boxes: NDArray[np.float32]) -> tuple[NDArray[np.int64], ...]:
        width, height = self._size
        scaled = np.rint(boxes * np.float32(self.scale)).astype(np.int64)
        x0 = np.clip(scaled[:, 0], 0, width - 1)
        y0 = np.clip(scaled[:, 1], 0, height - 1)
        x1 = np.clip(np.maximum(scaled[:, 2], x0 + 1), 1, width)
        y1 = np.clip(np.maximum(scaled[:, 3], y0 + 1), 1, height)
        return x0, y0, x1, y1

    def _hidden(
        self, changed: NDArray[np.uint8], moving: NDArray[np.uint8], hands: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Changed pixels that belong to an arm: connected to a hand, or moving and connected to the border."""
        grown = cv2.dilate(changed | moving, np.ones((3, 3), np.uint8))
        count, labels = cv2.connectedComponents(grown, connectivity=4, ltype=cv2.CV_32S)
        arm = np.zeros(count, dtype=bool)
        if len(hands):
            for x0, y0, x1, y1 in zip(*self._cells(hands), strict=True):
                arm[np.unique(labels[y0:y1, x0:x1])] = True
        border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        touches = np.zeros(count, dtype=bool)
        touches[np.unique(border)] = True
        if touches.any():
            size = np.bincount(labels.ravel(), minlength=count)
            active = np.bincount(labels.ravel(), weights=moving.ravel(), minlength=count)
            arm |= touches & (active > 0.04 * size) & (size > 60)
        arm[0] = False
        hidden: NDArray[np.uint8] = arm.astype(np.uint8)[labels]
        return hidden
