"""Detections of single pictures to tracks over time.

Association in three rounds: confident detections by overlap with where each track should be by now, then doubtful ones (ByteTrack,
arXiv 2110.06864), then what is left of the confident ones by overlap of grown boxes, for what moves more than its own size
between two pictures (C-BIoU, arXiv 2211.14317), or with the place the thing had before something covered it. Motion is a constant-velocity Kalman filter in seconds of the clip, so that a
dropped picture or another frame rate changes nothing. Equal input gives equal output. Why not a library: docs/adr/0002-tracker.md.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fleetsight.video.timeline import NS
from fleetsight.vision.box import Boxes, iou
from fleetsight.vision.detections import Detections

COAST_S = 0.25  # what is out of sight slows down: a box that a hand covers bit by bit only seems to move
HOME_S = 0.5  # the box of the last half second: what a hand covered bit by bit comes back there, at its full size
FloatVector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """How detections become tracks.

    Attributes:
        score_high: from here on a detection may begin a track.
        score_low: from here on a detection may continue one.
        iou_min: least overlap for the first two rounds.
        grown_iou_min: least overlap of grown boxes for the third.
        growth: by how much of its width and height a box grows on every side.
        lost_s: a track unseen for longer ends.
        position_noise: standard deviation of a detected edge, in heights of the box (ByteTrack: 1/20).
        agility: standard deviation of what velocity changes in one second, in heights of the box per second.
    """

    score_high: float = 0.5
    score_low: float = 0.1
    iou_min: float = 0.2
    grown_iou_min: float = 0.1
    growth: float = 0.5
    lost_s: float = 1.0
    position_noise: float = 0.05
    agility: float = 8.0


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """A detection of this picture and the track it belongs to.

    Attributes:
        track_id: 1, 2, … in order of appearance.
        label: index of the detector's label.
        box_xyxy_px: (4,) float32, as detected.
        score: as detected, 0..1.
        detection_index: row in the detections.
        hits: pictures in which the track was seen, this one included.
    """

    track_id: int
    label: int
    box_xyxy_px: NDArray[np.float32]
    score: float
    detection_index: int
    hits: int


@dataclass(slots=True)
class Track:
    """One thing over time; the four lists have one entry per picture in which it was seen.

    Attributes:
        track_id: 1, 2, … in order of appearance.
        label: index of the detector's label.
        times_ns: presentation times.
        boxes_xyxy_px: (4,) float32 each, as detected.
        scores: 0..1.
        detection_indices: rows in the detections of that picture.
    """

    track_id: int
    label: int
    times_ns: list[int] = field(default_factory=list)
    boxes_xyxy_px: list[NDArray[np.float32]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    detection_indices: list[int] = field(default_factory=list)

    @property
    def hits(self) -> int:
        """Pictures in which it was seen."""
        return len(self.times_ns)

    def _note(self, pts_ns: int, box: NDArray[np.float32], score: float, index: int) -> TrackedBox:
        self.times_ns.append(pts_ns)
        self.boxes_xyxy_px.append(box)
        self.scores.append(score)
        self.detection_indices.append(index)
        return TrackedBox(self.track_id, self.label, box, score, index, self.hits)


class _Motion:
    """Kalman filter of the four edges, each with position and velocity; all share one covariance, in heights of the box.

    Args:
        box: (4,), the first detection.
        settings: how detections become tracks.
    Attributes:
        edges: (4,) float64, filtered x1, y1, x2, y2.
        home: (4,) float64, slow average of the detected boxes.
    """

    def __init__(self, box: NDArray[np.float32], settings: TrackSettings) -> None:
        self._settings = settings
        self.edges: FloatVector = box.astype(np.float64)
        self.home: FloatVector = self.edges
        self._speed: FloatVector = np.zeros(4)
        self._pp = settings.position_noise**2
        self._pv = 0.0
        self._vv = settings.agility**2

    def ahead(self, seconds: float) -> FloatVector:
        """Where the box should be after so many seconds: (4,) float64; never turned inside out."""
        edges = self.edges + self._speed * (COAST_S * -math.expm1(-seconds / COAST_S))
        centre = (edges[:2] + edges[2:]) / 2
        half = np.maximum((edges[2:] - edges[:2]) / 2, 0.5)
        return np.concatenate((centre - half, centre + half))

    def correct(self, box: NDArray[np.float32], seconds: float) -> None:
        """Move on by so many seconds and take a detection in."""
        noise = self._settings.agility**2  # white acceleration: Bar-Shalom, Estimation with Applications, 6.2.2
        self._pp += 2 * seconds * self._pv + seconds**2 * self._vv + noise * seconds**3 / 3
        self._pv += seconds * self._vv + noise * seconds**2 / 2
        self._vv += noise * seconds
        spread = self._pp + self._settings.position_noise**2
        gain, speed_gain = self._pp / spread, self._pv / spread
        self.home = self.home - (box - self.home) * math.expm1(-seconds / HOME_S)
        self.edges = self.ahead(seconds)
        surprise = box - self.edges
        self.edges = self.edges + gain * surprise
        self._speed = self._speed + speed_gain * surprise
        self._vv -= speed_gain * self._pv
        self._pv *= 1 - gain
        self._pp *= 1 - gain


class Tracker:
    """Follows things through one clip.

    Args:
        settings: how detections become tracks.

    Attributes:
        tracks: those that are still alive, in order of appearance.
        ended: those that are not, in order of their end.
    """

    def __init__(self, settings: TrackSettings | None = None) -> None:
        self.settings = settings or TrackSettings()
        self.tracks: list[Track] = []
        self.ended: list[Track] = []
        self._motions: dict[int, _Motion] = {}
        self._last_ns = -1
        self._count = 0

    def update(self, detections: Detections, pts_ns: int) -> list[TrackedBox]:
        """Take in one picture.

        Args:
            detections: what was seen in it; boxes that are not finite are passed over.
            pts_ns: its presentation time, above that of the picture before.
        Returns:
            Detections that continue or begin a track, by rising track_id.
        Raises:
            ValueError: pts_ns does not rise.
        """
        if pts_ns <= self._last_ns:
            raise ValueError(f"pts_ns must rise: {pts_ns} follows {self._last_ns}")
        self._last_ns = pts_ns
        self._end_lost(pts_ns)
        sound = np.isfinite(detections.boxes_xyxy_px).all(axis=1)
        high = np.flatnonzero(sound & (detections.scores >= self.settings.score_high))
        low = np.flatnonzero(
            sound & (detections.scores < self.settings.score_high) & (detections.scores >= self.settings.score_low)
        )
        seen: list[TrackedBox] = []
        waiting = list(self.tracks)
        for rows, growth, least in (
            (high, 0.0, self.settings.iou_min),
            (low, 0.0, self.settings.iou_min),
            (high, self.settings.growth, self.settings.grown_iou_min),
        ):
            taken = {box.detection_index for box in seen}
            free = np.array([row for row in rows if row not in taken], dtype=np.int64)
            for track, row in self._match(waiting, detections.select(free), pts_ns, growth=growth, least=least):
                seen.append(self._continue(track, detections, int(free[row]), pts_ns))
                waiting.remove(track)
        taken = {box.detection_index for box in seen}
        seen += [self._begin(detections, int(row), pts_ns) for row in high if row not in taken]
        return sorted(seen, key=lambda box: box.track_id)

    def _end_lost(self, pts_ns: int) -> None:
        lost = [track for track in self.tracks if pts_ns - track.times_ns[-1] > self.settings.lost_s * NS]
        for track in lost:
            self.tracks.remove(track)
            self.ended.append(track)
            del self._motions[track.track_id]

    def _match(
        self, tracks: list[Track], detections: Detections, pts_ns: int, *, growth: float, least: float
    ) -> list[tuple[Track, int]]:
        """Pair tracks with detections of the same label so that the overlaps sum up to the most."""
        if not tracks or not len(detections):
            return []
        ahead = [self._motions[track.track_id].ahead((pts_ns - track.times_ns[-1]) / NS) for track in tracks]
        overlap = iou(_grown(np.array(ahead, dtype=np.float32), growth), _grown(detections.boxes_xyxy_px, growth))
        if growth:
            homes = np.array([self._motions[track.track_id].home for track in tracks], dtype=np.float32)
            overlap = np.maximum(overlap, iou(homes, detections.boxes_xyxy_px))
        same = np.array([track.label for track in tracks])[:, None] == detections.labels[None, :]
        overlap = np.where(same & (overlap >= least), overlap, 0.0)
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        return [
            (tracks[row], int(column)) for row, column in zip(rows, columns, strict=True) if overlap[row, column] > 0
        ]

    def _continue(self, track: Track, detections: Detections, row: int, pts_ns: int) -> TrackedBox:
        box = detections.boxes_xyxy_px[row]
        self._motions[track.track_id].correct(box, (pts_ns - track.times_ns[-1]) / NS)
        return track._note(pts_ns, box, float(detections.scores[row]), row)

    def _begin(self, detections: Detections, row: int, pts_ns: int) -> TrackedBox:
        self._count += 1
        track = Track(self._count, int(detections.labels[row]))
        self.tracks.append(track)
        self._motions[track.track_id] = _Motion(detections.boxes_xyxy_px[row], self.settings)
        return track._note(pts_ns, detections.boxes_xyxy_px[row], float(detections.scores[row]), row)


def _grown(boxes_xyxy_px: Boxes, growth: float) -> Boxes:
    sides = (boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]) * np.float32(growth)
    return np.concatenate((boxes_xyxy_px[:, :2] - sides, boxes_xyxy_px[:, 2:] + sides), axis=1)
