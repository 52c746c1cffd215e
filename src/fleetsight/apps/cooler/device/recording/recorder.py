"""One camera's recording of one session: what it saw from just before the door opened until just after it was shut.

Pictures of the last `MARGIN_BEFORE_S` are always kept in memory, so that a recording can begin before its cause. Everything is told by
the camera's own clock: the door's edges are placed at the newest picture at that moment.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path

from fleetsight.apps.cooler.device.hardware import CameraFrame
from fleetsight.apps.cooler.device.recording.faces import FaceFinder
from fleetsight.apps.cooler.device.recording.preprocess import RecordingConfig, prepared
from fleetsight.apps.cooler.device.recording.segments import Segment, SegmentWriter
from fleetsight.clock import SECOND_NS

MARGIN_BEFORE_S = 1.0
MARGIN_AFTER_S = 3.0  # a slammed door shakes the camera for a second or two; then the shelf has to be seen at rest
RING_FRAMES = 64  # 2 s at 30 frames/s, 44 MB at 640 x 360


class Recorder:
    """Records one camera.

    Args:
        faces: finds what has to be blurred; None where nothing has to.
    """

    def __init__(self, faces: FaceFinder | None) -> None:
        self._faces = faces
        self._config = RecordingConfig()
        self._ring: deque[CameraFrame] = deque(maxlen=RING_FRAMES)
        self._writer: SegmentWriter | None = None
        self._newest_ns = 0
        self._base_ns: int | None = None
        self._resume_at_ns = 0
        self._until_ns: int | None = None

    @property
    def active(self) -> bool:
        """Whether pictures are being recorded."""
        return self._writer is not None

    def begin(
        self, folder: Path, config: RecordingConfig, *, sealed: Callable[[Segment], None], resume_at_ns: int = 0
    ) -> None:
        """Start recording with the pictures of the margin before.

        Args:
            folder: where segments go; those of an interrupted recording are gone on from.
            config: how; it holds for the whole session.
            sealed: called with each finished segment.
            resume_at_ns: time of the next picture in the session; above 0 after a power cut.
        """
        self._writer = SegmentWriter(folder, config.segment_s, sealed=sealed)
        self._config = config
        self._base_ns, self._resume_at_ns, self._until_ns = None, resume_at_ns, None
        oldest_ns = self._newest_ns - round(MARGIN_BEFORE_S * SECOND_NS)
        for frame in self._ring:
            if frame.pts_ns >= oldest_ns and not resume_at_ns:
                self._store(frame)
        self._ring.clear()

    def take(self, frame: CameraFrame) -> None:
        """Take the next picture of the camera.

        Args:
            frame: rises in time.
        """
        self._newest_ns = frame.pts_ns
        if self._writer is None:
            self._ring.append(frame)
        elif self._until_ns is None or frame.pts_ns <= self._until_ns:
            self._store(frame)

    def door_shut(self) -> None:
        """Go on for the margin after, then store nothing more."""
        self._until_ns = self._newest_ns + round(MARGIN_AFTER_S * SECOND_NS)

    def door_open_again(self) -> None:
        """Go on without end."""
        self._until_ns = None

    @property
    def past_margin(self) -> bool:
        """Whether a picture from behind the margin after has arrived."""
        return self._until_ns is not None and self._newest_ns > self._until_ns

    def give_up_segment(self) -> None:
        """After an `OSError`: keep what can be used of the segment being written."""
        if self._writer is not None:
            self._writer.give_up_segment()

    def finish(self) -> None:
        """Close the recording."""
        if self._writer is not None:
            self._writer.finish()
        self._writer = None

    def _store(self, frame: CameraFrame) -> None:
        if self._writer is None:
            return
        if self._base_ns is None:
            self._base_ns = frame.pts_ns - self._resume_at_ns
        self._writer.write(prepared(frame.image, self._config, faces=self._faces), frame.pts_ns - self._base_ns)
