"""A recording holds the open door and a little more."""

from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.hardware import CameraFrame
from fleetsight.apps.cooler.device.recording.preprocess import RecordingConfig
from fleetsight.apps.cooler.device.recording.recorder import MARGIN_AFTER_S, MARGIN_BEFORE_S, Recorder
from fleetsight.apps.cooler.device.recording.segments import Segment
from fleetsight.clock import SECOND_NS
from tests.apps.cooler.device.stand import FRAME_NS, scene

RATE_HZ = SECOND_NS // FRAME_NS
CLOCK_START_NS = 77 * SECOND_NS  # a camera's clock starts anywhere


class Filmed:
    """A recorder that is fed pictures of a steady rate."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(None)
        self.segments: list[Segment] = []
        self.folder = folder
        self._shown = 0

    def show(self, seconds: float) -> None:
        for _ in range(round(seconds * RATE_HZ)):
            self.recorder.take(CameraFrame(CLOCK_START_NS + self._shown * FRAME_NS, scene(self._shown)))
            self._shown += 1

    def begin(self, resume_at_ns: int = 0) -> None:
        config = RecordingConfig(segment_s=1.0)
        self.recorder.begin(self.folder, config, sealed=self.segments.append, resume_at_ns=resume_at_ns)

    @property
    def frames(self) -> int:
        return sum(segment.frames for segment in self.segments)


@pytest.fixture
def filmed(tmp_path: Path) -> Filmed:
    return Filmed(tmp_path)


def test_the_margin_before_is_there_and_nothing_older(filmed: Filmed) -> None:
    filmed.show(2.5)
    filmed.begin()
    filmed.show(1.0)
    filmed.recorder.finish()
    assert filmed.segments[0].pts_start_ns == 0
    assert filmed.frames == pytest.approx((MARGIN_BEFORE_S + 1.0) * RATE_HZ, abs=1)


def test_a_camera_that_has_just_started_gives_what_it_has(filmed: Filmed) -> None:
    filmed.begin()
    filmed.show(0.5)
    filmed.recorder.finish()
    assert filmed.frames == 0.5 * RATE_HZ


def test_recording_stops_after_the_margin(filmed: Filmed) -> None:
    filmed.begin()
    filmed.show(1.0)
    filmed.recorder.door_shut()
    before = filmed.recorder.past_margin
    filmed.show(MARGIN_AFTER_S + 2.0)
    assert (before, filmed.recorder.past_margin) == (False, True)
    filmed.recorder.finish()
    assert filmed.frames == pytest.approx((1.0 + MARGIN_AFTER_S) * RATE_HZ, abs=1)
    assert not filmed.recorder.active


def test_a_door_that_opens_again_is_recorded_on(filmed: Filmed) -> None:
    filmed.begin()
    filmed.show(1.0)
    filmed.recorder.door_shut()
    filmed.show(1.0)
    filmed.recorder.door_open_again()
    filmed.show(MARGIN_AFTER_S + 1.0)
    assert not filmed.recorder.past_margin
    filmed.recorder.finish()
    assert filmed.frames == (MARGIN_AFTER_S + 3.0) * RATE_HZ


def test_an_interrupted_recording_goes_on_at_the_given_time(filmed: Filmed) -> None:
    filmed.show(1.0)  # seen before the agent knew about the session again: belongs to nothing
    filmed.begin(resume_at_ns=5 * SECOND_NS)
    filmed.show(0.5)
    filmed.recorder.finish()
    assert [segment.pts_start_ns for segment in filmed.segments] == [5 * SECOND_NS]
    assert filmed.frames == 0.5 * RATE_HZ


def test_the_next_session_starts_at_zero_again(filmed: Filmed) -> None:
    filmed.begin()
    filmed.show(0.5)
    filmed.recorder.finish()
    filmed.folder /= "next"
    filmed.folder.mkdir()
    filmed.show(3.0)
    filmed.begin()
    filmed.show(0.5)
    filmed.recorder.finish()
    assert [(segment.index, segment.pts_start_ns) for segment in filmed.segments[1:2]] == [(0, 0)]
