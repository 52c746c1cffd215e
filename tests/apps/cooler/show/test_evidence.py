"""Strips and the annotated clip of events, on a drawn clip."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from fleetsight.apps.cooler.flow import Settlement
from fleetsight.apps.cooler.show.evidence import describe, write_evidence
from fleetsight.video.decode import ClipReader, MediaError
from fleetsight.video.encode import write_clip
from tests.apps.cooler.show.settled import shown, take

SECONDS, RATE_HZ = 4, 10
RED = (220, 60, 50)


@pytest.fixture
def settlement(tmp_path: Path) -> Settlement:
    clip = tmp_path / "clip.mp4"
    frames = (np.full((180, 320, 3), 90, dtype=np.uint8) for _ in range(SECONDS * RATE_HZ))
    write_clip(clip, frames, rate_hz=Fraction(RATE_HZ))
    event = replace(take("cola", at_s=2.0), box_xyxy_px=(240.0, 90.0, 280.0, 150.0))
    return replace(shown([event], true={}).settlement, clip=clip)


def reddest(image: np.ndarray) -> tuple[int, int]:
    distance = np.abs(image.astype(int) - RED).sum(axis=2)
    return int((distance < 90).sum()), int(distance.min())


def test_the_annotated_clip_shows_the_box_around_the_time_of_the_event(settlement: Settlement, tmp_path: Path) -> None:
    written = write_evidence(settlement, tmp_path / "evidence")
    with ClipReader(tmp_path / "evidence" / written["clip"]) as reader:
        frames = [frame.image for frame in reader]
    assert len(frames) == SECONDS * RATE_HZ
    boxes = [frame[80:160, 230:290] for frame in frames]
    assert reddest(boxes[20])[0] > 100
    assert reddest(boxes[0])[0] == 0


def test_a_strip_shows_the_place_larger_than_the_clip_does(settlement: Settlement, tmp_path: Path) -> None:
    written = write_evidence(settlement, tmp_path)
    strip = cv2.imread(str(tmp_path / written["event_0"]), cv2.IMREAD_COLOR_RGB)
    assert strip is not None
    assert strip.shape[0] == 150
    assert strip.shape[1] % 5 == 0
    middle = strip[:, 2 * strip.shape[1] // 5 : 3 * strip.shape[1] // 5]
    rows = np.flatnonzero((np.abs(middle.astype(int) - RED).sum(axis=2) < 90).any(axis=1))
    assert rows[-1] - rows[0] > 90  # 60 px in the clip


def test_an_event_without_a_place_gets_the_whole_picture(settlement: Settlement, tmp_path: Path) -> None:
    events = (replace(settlement.events[0], box_xyxy_px=(0.0, 0.0, 0.0, 0.0)),)
    written = write_evidence(replace(settlement, events=events), tmp_path)
    assert (tmp_path / written["event_0"]).stat().st_size > 0


def test_an_event_outside_of_the_clip_has_no_strip(settlement: Settlement, tmp_path: Path) -> None:
    written = write_evidence(replace(settlement, events=(take("cola", at_s=99.0),)), tmp_path)
    assert set(written) == {"clip"}


def test_a_clip_that_is_gone_is_a_clear_error(settlement: Settlement, tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        write_evidence(replace(settlement, clip=tmp_path / "gone.mp4"), tmp_path / "evidence")


def test_an_event_in_one_line_says_how_many_of_what_and_when() -> None:
    assert describe(take("cola", count=2, at_s=4.25)) == "take 2 x cola at 4.2 s"
    assert describe(replace(take("cola"), sku=None)) == "take not in catalog at 2.0 s"
