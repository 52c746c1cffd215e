"""Pictures that models are proved and calibrated on: a folder of the user's own, or a fixed set that is made up.

A folder may hold `truth.json` beside its pictures: {"FILE": {"label": 3}} for classifiers, {"FILE": {"boxes": [[x0, y0, x1,
y1, label], ...], "ignore": [[x0, y0, x1, y1], ...]}} in pixels for detectors. With it the gate `task` can say what a compiled
model costs in accuracy.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.portable import ModelError, read_plain
from fleetsight.errors import Error
from fleetsight.vision.average_precision import TruthBoxes
from fleetsight.vision.image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

TRUTH_FILE = "truth.json"

PICTURES_MAX = 300
"""Most pictures that are used: NNCF's calibration takes 300 by default, and more hardly change a median."""

PICTURE_BYTES_MAX = 64 * 1024**2
"""Largest picture file."""

MADE_UP = 16
"""How many pictures the made-up set holds."""


class PicturesError(Error):
    """A folder of pictures cannot be used."""

    code = "pictures"


@dataclass(frozen=True)
class Pictures:
    """Pictures, where they come from, and what is on them where that is known.

    They are decoded on first use: a hit in the artifact cache needs their digest alone.

    Attributes:
        count: how many.
        load: decodes them.
        is_real: they are the user's, not made up.
        origin: for the report.
        sha256: digest of the files, or of the name of the made-up set.
        labels: true class by index of the picture; empty where not known.
        boxes: true boxes by index of the picture; empty where not known.
    """

    count: int
    load: Callable[[], tuple[Image, ...]] = field(repr=False)
    is_real: bool
    origin: str
    sha256: str
    labels: Mapping[int, int] = field(default_factory=dict, repr=False)
    boxes: Mapping[int, TruthBoxes] = field(default_factory=dict, repr=False)

    @cached_property
    def images(self) -> tuple[Image, ...]:
        """The pictures.

        Returns:
            (h, w, 3) uint8 RGB each.

        Raises:
            PicturesError: one cannot be decoded.
        """
        return self.load()


def read_pictures(folder: Path, *, limit: int = PICTURES_MAX) -> Pictures:
    """Read the pictures of a folder and of the folders in it.

    Args:
        folder: the folder.
        limit: most pictures; of more, evenly spread ones are taken in the order of their names.

    Returns:
        the pictures.

    Raises:
        PicturesError: no folder, no pictures, one that cannot be read, or a truth that does not fit.
    """
    if not folder.is_dir():
        raise PicturesError(f"{folder} is no folder", hint="--data takes a folder of pictures")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise PicturesError(f"{folder} holds no pictures", hint=f"it may hold {', '.join(SUFFIXES)}")
    if len(paths) > limit:
        paths = [paths[index] for index in np.linspace(0, len(paths) - 1, limit).astype(int)]
    digest, contents = hashlib.sha256(), list[bytes]()
    for path in paths:
        contents.append(_read(path))
        digest.update(f"{path.relative_to(folder).as_posix()} {len(contents[-1])}\n".encode())
        digest.update(contents[-1])
    labels, boxes = _read_truth(folder, paths, digest)

    def decode() -> tuple[Image, ...]:
        return tuple(_decode(path, content) for path, content in zip(paths, contents, strict=True))

    return Pictures(
        count=len(paths),
        load=decode,
        is_real=True,
        origin=f"{len(paths)} pictures of {folder.name}",
        sha256=digest.hexdigest(),
        labels=labels,
        boxes=boxes,
    )


def made_up_pictures(count: int = MADE_UP) -> Pictures:
    """A fixed set of pictures: soft colours, edges, ellipses and grain; always the same.

    Args:
        count: how many.

    Returns:
        pictures of 480 x 360; they show nothing that a model was trained on, which the origin says.
    """
    return Pictures(
        count=count,
        load=lambda: tuple(_made_up(seed) for seed in range(count)),
        is_real=False,
        origin=f"{count} made-up pictures (no --data)",
        sha256=hashlib.sha256(f"made-up pictures 1, {count}".encode()).hexdigest(),
    )


def _decode(path: Path, content: bytes) -> Image:
    decoded = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        raise PicturesError(f"{path} is no picture that can be read", hint="remove it, or save it again")
    return np.asarray(decoded, dtype=np.uint8)


def _made_up(seed: int) -> Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(6, 8, 3)).astype(np.uint8)
    canvas: NDArray[Any] = cv2.resize(coarse, (480, 360), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        colour = tuple(int(value) for value in rng.integers(0, 256, size=3))
        centre = (int(rng.integers(0, 480)), int(rng.integers(0, 360)))
        axes = (int(rng.integers(8, 90)), int(rng.integers(8, 90)))
        if rng.random() < 0.5:
            cv2.ellipse(canvas, centre, axes, float(rng.integers(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(canvas, centre, (centre[0] + axes[0], centre[1] + axes[1]), colour, -1)
    grain = rng.normal(0.0, 6.0, size=canvas.shape)
    return np.asarray(np.clip(canvas + grain, 0, 255), dtype=np.uint8)


def _read(path: Path) -> bytes:
    try:
        return read_plain(path, PICTURE_BYTES_MAX)
    except ModelError as error:
        raise PicturesError(error.message, hint="remove it from the folder") from error


def _read_truth(folder: Path, paths: list[Path], digest: Any) -> tuple[dict[int, int], dict[int, TruthBoxes]]:
    if not (folder / TRUTH_FILE).is_file():
        return {}, {}
    content = _read(folder / TRUTH_FILE)
    digest.update(content)
    labels, boxes = dict[int, int](), dict[int, TruthBoxes]()
    try:
        truth = json.loads(content)
        for index, path in enumerate(paths):
            entry = truth.get(path.relative_to(folder).as_posix(), {})
            if "label" in entry:
                labels[index] = int(entry["label"])
            if "boxes" in entry:
                boxes[index] = _truth_boxes(entry["boxes"], entry.get("ignore", []))
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise PicturesError(
            f"{folder / TRUTH_FILE} cannot be read: {error}",
            hint='it holds {"FILE": {"label": 3}} or {"FILE": {"boxes": [[x0, y0, x1, y1, label]]}}',
        ) from error
    return labels, boxes


def _truth_boxes(rows: list[list[float]], ignored: list[list[float]]) -> TruthBoxes:
    table = np.asarray(rows, dtype=np.float32).reshape(-1, 5)
    ignore = np.asarray(ignored, dtype=np.float32).reshape(-1, 4)
    return TruthBoxes(boxes_xyxy_px=table[:, :4], labels=table[:, 4].astype(np.int32), ignore_xyxy_px=ignore)
