"""Clips are written whole or not at all."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fleetsight.video.encode import write_clip
from fleetsight.video.media_error import MediaEncodeError
from fleetsight.vision.image import Image

FLAT = np.full((48, 64, 3), 100, np.uint8)


@pytest.mark.parametrize(
    ("name", "frames", "options", "words"),
    [
        ("clip.avi", [FLAT], {}, "clip.avi"),
        ("clip.mp4", [FLAT], {"codec": "h265"}, "h265"),
        ("clip.mp4", [], {}, "no frame"),
        ("clip.mp4", [FLAT[:47]], {}, "even"),
        ("clip.mp4", [FLAT, FLAT[:46]], {}, "frame 1"),
        ("clip.mp4", [FLAT.astype(float)], {}, "float64"),
        ("clip.mp4", [FLAT], {"rate_hz": Fraction(0)}, "above 0"),
        ("clip.mp4", [FLAT, FLAT], {"pts_ns": [5, 5]}, "after the one before"),
        ("absent/clip.mp4", [FLAT], {}, "absent|No such"),
    ],
)
def test_a_clip_that_cannot_be_written_says_why_and_leaves_nothing(
    tmp_path: Path, name: str, frames: list[Image], options: dict[str, Any], words: str
) -> None:
    with pytest.raises((MediaEncodeError, OSError), match=words):
        write_clip(tmp_path / name, frames, **{"rate_hz": Fraction(25), **options})
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_breaks_leaves_the_old_clip(tmp_path: Path) -> None:
    def broken() -> Iterator[Image]:
        yield FLAT
        raise RuntimeError("the renderer died")

    path = tmp_path / "clip.mp4"
    write_clip(path, [FLAT], rate_hz=Fraction(25))
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="renderer"):
        write_clip(path, broken(), rate_hz=Fraction(25))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_index_of_a_plain_mp4_comes_first(clip_bytes: dict[str, bytes]) -> None:
    assert clip_bytes["plain.mp4"].index(b"moov") < clip_bytes["plain.mp4"].index(b"mdat")


def test_a_fragmented_mp4_has_fragments(clip_bytes: dict[str, bytes]) -> None:
    assert b"moof" in clip_bytes["fragmented.mp4"]


def test_equal_pictures_give_equal_bytes(tmp_path: Path, images: Any) -> None:
    clips = []
    for name in ("one.mp4", "two.mp4"):
        write_clip(tmp_path / name, images(20), rate_hz=Fraction(25))
        clips.append((tmp_path / name).read_bytes())
    assert clips[0] == clips[1]


def test_the_rate_in_the_file_is_exact(tmp_path: Path, images: Any) -> None:
    write_clip(tmp_path / "clip.mp4", images(20), rate_hz=Fraction(24_000, 1001))
    with av.open(str(tmp_path / "clip.mp4")) as clip:
        assert clip.streams.video[0].average_rate == Fraction(24_000, 1001)
        assert clip.streams.video[0].frames == 20
