"""Small clips, whole and hostile, and one way to read them."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fleetsight.video.decode import ClipReader, DecodeSummary, Limits, MediaError
from fleetsight.video.encode import write_clip
from fleetsight.video.frame import Frame
from fleetsight.vision.image import Image

NTSC_30 = Fraction(30_000, 1001)
FRAMES = 60


@dataclass(frozen=True)
class Outcome:
    """What became of a clip."""

    frames: tuple[Frame, ...]
    summary: DecodeSummary | None
    error: MediaError | None
    seconds: float

    @property
    def degraded(self) -> tuple[str, ...]:
        return self.summary.degraded if self.summary else ()

    @property
    def code(self) -> str:
        return self.error.code if self.error else ""

    @property
    def is_honest(self) -> bool:
        """An error, or a result that says that something is wrong."""
        return self.error is not None or bool(self.degraded)


def read_clip(path: Path, limits: Limits | None = None) -> Outcome:
    begin = time.monotonic()
    try:
        with ClipReader(path, limits=limits) as reader:
            frames = tuple(reader)
            return Outcome(frames, reader.summary, None, time.monotonic() - begin)
    except MediaError as error:
        return Outcome((), None, error, time.monotonic() - begin)


def moving_images(count: int, *, width: int = 64, height: int = 48, seed: int = 1) -> Iterator[Image]:
    """A textured scene that drifts, with a block that crosses it."""
    scene = np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
    for index in range(count):
        image = np.roll(scene, index, axis=1).copy()
        left = (index * 2) % (width - 16)
        image[height // 4 : height // 2, left : left + 16] = (200, index % 255, 30)
        yield image


def mux_foreign(
    path: Path,
    *,
    count: int = 30,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    time_base: Fraction = Fraction(1, 30),
    stamps: Iterable[int] | None = None,
    size_wh: tuple[int, int] = (64, 48),
    muxer: str | None = None,
    group: int = 250,
    packet_edit: Callable[[Any], Any] = lambda packet: packet,
) -> None:
    """Write a clip as others would: without seal, in odd formats, with odd stamps, with edited packets."""
    ticks = list(stamps) if stamps is not None else list(range(count))
    with av.open(str(path), "w", format=muxer) as out:
        stream: Any = out.add_stream(
            codec, rate=1 / time_base, options={"preset": "ultrafast", "g": str(group)} if "264" in codec else {}
        )
        stream.width, stream.height, stream.pix_fmt = *size_wh, pixel_format
        stream.time_base = stream.codec_context.time_base = time_base
        images = moving_images(len(ticks), width=size_wh[0], height=size_wh[1])
        for image, tick in zip(images, ticks, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            for packet in stream.encode(frame.reformat(format=pixel_format)):
                out.mux(packet_edit(packet))
        for packet in stream.encode(None):
            out.mux(packet_edit(packet))


@pytest.fixture(scope="session")
def clip_bytes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same 60 pictures at 29.97 frames/s in each container, as bytes; the key is a file name."""
    folder = tmp_path_factory.mktemp("clips")
    clips = {}
    for name in ("plain.mp4", "fragmented.mp4", "clip.mkv", "clip.ts"):
        path = folder / name
        write_clip(path, moving_images(FRAMES), rate_hz=NTSC_30, crf=35, fragmented=name == "fragmented.mp4")
        clips[name] = path.read_bytes()
    return clips


@pytest.fixture(scope="session")
def read() -> Callable[..., Outcome]:
    """``read(path, limits=None)`` gives an Outcome."""
    return read_clip


@pytest.fixture(scope="session")
def images() -> Callable[..., Iterator[Image]]:
    """``images(count, width=64, height=48)`` gives a moving scene."""
    return moving_images


@pytest.fixture(scope="session")
def foreign() -> Callable[..., None]:
    """``foreign(path, …)`` writes a clip that is not ours."""
    return mux_foreign
