"""The seal tells whether every byte of a clip is there and as it was."""

import io
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.video.seal import ANNOUNCEMENT, Seal, check_seal, make_seal

SUFFIXES = (".mp4", ".mkv", ".ts")


@given(st.binary(min_size=1, max_size=400), st.sampled_from(SUFFIXES), st.integers(0, 10**6), st.integers(0, 7))
def test_any_flipped_bit_breaks_the_seal(clip: bytes, suffix: str, place: int, bit: int) -> None:
    sealed = bytearray(clip + make_seal(io.BytesIO(clip), suffix))
    assert check_seal(io.BytesIO(bytes(sealed)), suffix, head=clip) is Seal.WHOLE
    sealed[place % len(sealed)] ^= 1 << bit
    announced = ANNOUNCEMENT.encode()
    assert check_seal(io.BytesIO(bytes(sealed)), suffix, head=announced) in {Seal.BROKEN, Seal.MISSING}


def test_a_clip_of_another_recorder_has_none() -> None:
    assert check_seal(io.BytesIO(b"clip"), ".ts", head=b"clip") is Seal.NONE


@pytest.mark.parametrize("name", ["plain.mp4", "fragmented.mp4", "clip.mkv", "clip.ts"])
def test_other_readers_do_not_mind_the_seal(tmp_path: Path, clip_bytes: dict[str, bytes], name: str) -> None:
    path = tmp_path / name
    path.write_bytes(clip_bytes[name])
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as complaints, av.open(str(path)) as clip:
            assert sum(1 for _ in clip.decode(video=0)) == 60
    finally:
        av.logging.set_level(None)
    assert complaints == []
