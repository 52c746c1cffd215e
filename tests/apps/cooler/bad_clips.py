"""Makes bad clips out of one good one, and settles them under watch. The good one is decided without a person."""

import re
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from typer.testing import CliRunner, Result

from fleetsight.apps.cooler.decide import Decision
from fleetsight.apps.cooler.flow import Engine, Settlement, settle
from fleetsight.catalog.planogram import Planogram
from fleetsight.cli.main import app
from fleetsight.sim.session import plan_session, render
from fleetsight.video.decode import Limits, MediaError
from fleetsight.video.encode import write_clip
from fleetsight.vision.image import Image
from tests.video.test_hostile import _giant_sps

RUNNER = CliRunner()
RATE_HZ = Fraction(10)
SIZE_WH = (256, 144)
FIRST, LAST, STRIDE = 20, 170, 3
"""Frames of the rendered session at 30 frames/s that the good clip keeps: one product is taken."""
SECONDS_MAX = 120.0
"""Far above what any of these needs on a loaded machine; what never ends is what is meant."""
GROWTH_BYTES_MAX = 400 * 2**20
"""By how much the peak memory of this process may rise for one bad clip."""


@dataclass(frozen=True)
class Answer:
    """What became of a clip: a settlement, or a refusal."""

    settlement: Settlement | None
    error: MediaError | None
    seconds: float
    growth_bytes: int

    @property
    def code(self) -> str:
        return self.error.code if self.error else ""

    @property
    def degraded(self) -> tuple[str, ...]:
        return self.settlement.degraded if self.settlement else ()

    @property
    def is_bounded(self) -> bool:
        return self.seconds < SECONDS_MAX and self.growth_bytes < GROWTH_BYTES_MAX

    @property
    def is_refused(self) -> bool:
        """An error with a stable code that says what to do."""
        return self.error is not None and self.code.startswith("media_") and bool(self.error.message)

    @property
    def is_for_a_person(self) -> bool:
        """Degraded with its reason, and neither charged nor released."""
        return (
            self.settlement is not None
            and bool(self.degraded)
            and self.settlement.decision is Decision.REVIEW
            and "degraded" in self.settlement.reason
        )

    @property
    def is_safe(self) -> bool:
        """A refusal or a degraded result for a person, within bounds."""
        return self.is_bounded and (self.is_refused or self.is_for_a_person)


def answer_to(clip: Path, engine: Engine, *, limits: Limits | None = None) -> Answer:
    """Settle a clip that may be anything; whatever is not a `MediaError` escapes."""
    peak_bytes, begin = _peak_bytes(), time.monotonic()
    settlement, error = None, None
    try:
        settlement = settle(clip, engine, planogram=calibration(), limits=limits)
    except MediaError as refusal:
        error = refusal
    return Answer(settlement, error, time.monotonic() - begin, _peak_bytes() - peak_bytes)


@cache
def calibration() -> Planogram:
    """The camera of the good clip, calibrated; no facing is listed."""
    camera = plan_session("basic", 1, size_wh=SIZE_WH).camera
    return Planogram(camera.width_px, camera.height_px, camera.focal_px, (), tilt_rad=camera.pitch_rad)


@cache
def good_images() -> tuple[Image, ...]:
    """Frames of a rendered session in which one product is taken."""
    frames = islice(render(plan_session("basic", 1, size_wh=SIZE_WH)), FIRST, LAST, STRIDE)
    return tuple(frame.image for frame in frames)


@cache
def good_bytes(suffix: str, *, sealed: bool = True) -> bytes:
    """The good clip in a container, as we write it or as another recorder would."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / f"good{suffix}"
        write_clip(clip, good_images(), rate_hz=RATE_HZ, crf=26)
        content = clip.read_bytes()
    length = {".ts": 188, ".mp4": 63, ".mkv": 57}[suffix]
    return content if sealed else content[:-length].replace(b"fleetsight sealed", b"someone's camera ")


def write_images(clip: Path, images: Iterable[Image], *, stamps_s: Iterable[float] | None = None) -> Path:
    """A whole, sealed clip of these pictures."""
    pts_ns = None if stamps_s is None else (round(at_s * 1e9) for at_s in stamps_s)
    write_clip(clip, images, rate_hz=RATE_HZ, crf=26, pts_ns=pts_ns)
    return clip


def flipped(content: bytes, *, count: int, seed: int) -> bytes:
    """The same bytes with some bits turned over."""
    generator = np.random.default_rng(seed)
    changed = bytearray(content)
    for place in generator.integers(0, len(changed), count):
        changed[place] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def turned(source: Path, clip: Path, degrees: int) -> Path:
    """The same pictures with a note that they are to be shown turned, as phones write it."""
    with av.open(str(source)) as file, av.open(str(clip), "w") as out:
        video = file.streams.video[0]
        stream: Any = out.add_stream_from_template(video)
        stream.set_display_rotation(degrees)
        for packet in file.demux(video):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return clip


def giant_after(count: int) -> Callable[[Any], Any]:
    """Edits H.264 packets: after so many of them the stream claims pictures of 16384 x 8192."""
    seen = []

    def blow_up(packet: Any) -> Any:
        seen.append(packet)
        if len(seen) <= count:
            return packet
        claim = b"\0\0\0\x01" + _giant_sps(16_384, 8_192)
        giant = av.Packet(
            re.sub(rb"\0\0\0\x01\x67.*?(?=\0\0\0\x01\x68)", lambda _: claim, bytes(packet), flags=re.DOTALL)
        )
        giant.stream, giant.time_base, giant.pts, giant.dts = packet.stream, packet.time_base, packet.pts, packet.dts
        giant.is_keyframe = packet.is_keyframe
        return giant

    return blow_up


def sound_only(clip: Path) -> Path:
    """A second of silence and no picture."""
    with av.open(str(clip), "w") as out:
        stream: Any = out.add_stream("aac", rate=16_000, layout="mono")
        for index in range(16):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, index * 1024
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return clip


def noisy(level: float, *, count: int, size_wh: tuple[int, int] = SIZE_WH) -> Iterator[Image]:
    """Pictures of one brightness as a sensor behind a lid or a hand gives them."""
    generator = np.random.default_rng(5)
    for _ in range(count):
        yield np.clip(generator.normal(level, 2.0, (size_wh[1], size_wh[0], 3)), 0, 255).astype(np.uint8)


def wall(*, count: int) -> Iterator[Image]:
    """A sharp picture, with a sensor's noise, in which no product is."""
    generator = np.random.default_rng(1)
    coarse = generator.integers(40, 216, (3, 4, 3)).astype(np.uint8)
    scene = cv2.resize(coarse, SIZE_WH, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    for _ in range(count):
        yield np.clip(scene + generator.normal(0, 6.0, scene.shape), 0, 255).astype(np.uint8)


def command(*arguments: str | Path) -> Result:
    """Run `fleetsight cooler settle` in this process."""
    return RUNNER.invoke(app, ["cooler", "settle", *map(str, arguments)])


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
