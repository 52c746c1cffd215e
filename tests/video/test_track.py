"""Things keep their number while they can be followed."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fleetsight.video.timeline import NS
from fleetsight.video.track import TrackedBox, Tracker, TrackSettings
from fleetsight.vision.detections import Detections

Box = tuple[float, float, float, float]


def seen(
    boxes: Sequence[Box], scores: Sequence[float] | None = None, labels: Sequence[int] | None = None
) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores or [0.9] * len(boxes), np.float32),
        np.array(labels or [0] * len(boxes), np.int32),
    )


def at(x: float, y: float = 100.0, side: float = 40.0) -> Box:
    return (x, y, x + side, y + side)


def ids(boxes: list[TrackedBox]) -> list[int]:
    return [box.track_id for box in boxes]


def test_a_steady_thing_keeps_its_number_and_its_history() -> None:
    tracker = Tracker()
    for index in range(30):
        (box,) = tracker.update(seen([at(50 + (index % 2))]), index * NS // 30)
        assert (box.track_id, box.hits, box.detection_index) == (1, index + 1, 0)
    (track,) = tracker.tracks
    assert track.times_ns == [index * NS // 30 for index in range(30)]
    assert len(track.boxes_xyxy_px) == len(track.scores) == len(track.detection_indices) == 30


@pytest.mark.parametrize("rate_hz", [15, 30, 60])
@pytest.mark.parametrize("speed_px_s", [200, 800])
def test_a_moving_thing_keeps_its_number_at_any_rate(rate_hz: int, speed_px_s: int) -> None:
    tracker = Tracker()
    for index in range(rate_hz // 2):
        boxes = tracker.update(seen([at(20 + speed_px_s * index / rate_hz, side=60)]), index * NS // rate_hz)
        assert ids(boxes) == [1]


def test_two_that_cross_keep_their_numbers() -> None:
    tracker = Tracker()
    for index in range(41):
        boxes = tracker.update(seen([at(10 + 6 * index, 100), at(250 - 6 * index, 118)]), index * NS // 30)
    by_id = {box.track_id: float(box.box_xyxy_px[0]) for box in boxes}
    assert by_id == {1: 250.0, 2: 10.0}


def test_a_thing_unseen_for_less_than_the_limit_comes_back_as_itself() -> None:
    tracker = Tracker(TrackSettings(lost_s=1.0))
    for index in range(10):
        tracker.update(seen([at(50)]), index * NS // 30)
    for index in range(10, 35):
        assert tracker.update(Detections.empty(), index * NS // 30) == []
    assert ids(tracker.update(seen([at(52)]), 35 * NS // 30)) == [1]


def test_a_thing_unseen_for_longer_ends_and_is_new() -> None:
    tracker = Tracker(TrackSettings(lost_s=0.5))
    tracker.update(seen([at(50)]), 0)
    assert ids(tracker.update(seen([at(50)]), NS)) == [2]
    assert [track.track_id for track in tracker.ended] == [1]
    assert [track.track_id for track in tracker.tracks] == [2]


def test_a_doubtful_detection_continues_a_track_but_begins_none() -> None:
    tracker = Tracker()
    tracker.update(seen([at(50)]), 0)
    boxes = tracker.update(seen([at(51), at(300)], scores=[0.2, 0.2]), NS // 30)
    assert [(box.track_id, box.detection_index) for box in boxes] == [(1, 0)]


def test_a_confident_detection_goes_before_a_doubtful_one() -> None:
    tracker = Tracker()
    tracker.update(seen([at(50)]), 0)
    (box,) = tracker.update(seen([at(50), at(54)], scores=[0.3, 0.9]), NS // 30)
    assert box.detection_index == 1


def test_labels_do_not_mix() -> None:
    tracker = Tracker()
    tracker.update(seen([at(50)], labels=[0]), 0)
    assert ids(tracker.update(seen([at(50)], labels=[1]), NS // 30)) == [2]


def test_a_small_thing_that_leaps_over_its_own_size_is_caught() -> None:
    tracker = Tracker()
    tracker.update(seen([at(50, side=20)]), 0)
    assert ids(tracker.update(seen([at(78, side=20)]), NS // 15)) == [1]


def test_a_box_that_shrinks_behind_a_hand_is_found_where_it_was() -> None:
    tracker = Tracker()
    for index in range(20):
        tracker.update(seen([(100, 100, 150, 200)]), index * NS // 30)
    for index in range(20, 26):
        tracker.update(seen([(100 + (index - 19) * 7, 100, 150, 200)]), index * NS // 30)
    for index in range(26, 40):
        tracker.update(Detections.empty(), index * NS // 30)
    assert ids(tracker.update(seen([(100, 100, 150, 200)]), 40 * NS // 30)) == [1]


def test_time_must_rise() -> None:
    tracker = Tracker()
    tracker.update(Detections.empty(), 5)
    with pytest.raises(ValueError, match="must rise"):
        tracker.update(Detections.empty(), 5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=st.floats(-50, 700, width=32)),
        min_size=1,
        max_size=8,
    )
)
def test_any_boxes_give_distinct_numbers_and_the_same_ones_again(
    pictures: list[np.ndarray[tuple[int, int], np.dtype[np.float32]]],
) -> None:
    runs = []
    for _ in range(2):
        tracker = Tracker()
        run = []
        for index, boxes in enumerate(pictures):
            scores = np.linspace(0.05, 0.95, len(boxes), dtype=np.float32)
            tracked = tracker.update(Detections(boxes, scores, np.zeros(len(boxes), np.int32)), index * NS // 10)
            assert len(set(ids(tracked))) == len(tracked)
            assert len({box.detection_index for box in tracked}) == len(tracked)
            run.append(ids(tracked))
        runs.append(run)
    assert runs[0] == runs[1]


def test_boxes_that_are_not_finite_are_passed_over() -> None:
    tracker = Tracker()
    assert tracker.update(seen([(float("nan"), 0, 1, 1), (0, 0, float("inf"), 1)]), 0) == []
