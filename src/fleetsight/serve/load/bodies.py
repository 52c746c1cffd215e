"""Request bodies: JPEGs of 50 to 100 KB, as cameras send them, made of pictures that the caller brings."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.serve.load.line import Payload
from fleetsight.serve.load.shots import LoadError

LOW_BYTES, HIGH_BYTES = 50_000, 100_000
"""Size of a 640x480 JPEG of a camera (common rules of the serving reference)."""

QUALITIES = (95, 90, 85, 80, 75, 98, 99, 100, 70, 60, 50, 40)
"""JPEG qualities that are tried, the usual ones first."""

FILES_MAX = 1000
"""Most files that are read from a folder; bodies live in the memory of each generator."""


def jpeg_body(image: NDArray[np.uint8]) -> Payload:
    """Encode a picture at the first quality that brings it into the range of sizes, or nearest to it.

    Args:
        image: (h, w, 3) uint8 RGB.

    Returns:
        the JPEG.

    Raises:
        LoadError: the picture cannot be encoded.
    """
    best = b""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    for quality in QUALITIES:
        is_good, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not is_good:
            raise LoadError(f"a picture of shape {image.shape} cannot be encoded as JPEG")
        body = data.tobytes()
        if not best or _outside(len(body)) < _outside(len(best)):
            best = body
        if _outside(len(best)) == 0:
            break
    return Payload(best)


def jpeg_bodies(images: Iterable[NDArray[np.uint8]]) -> list[Payload]:
    """Encode pictures.

    Args:
        images: (h, w, 3) uint8 RGB each.

    Returns:
        a body each.
    """
    return [jpeg_body(image) for image in images]


def folder_bodies(folder: Path) -> list[Payload]:
    """Take the JPEG files of a folder as they are.

    Args:
        folder: where *.jpg and *.jpeg lie.

    Returns:
        a body each, by name.

    Raises:
        LoadError: there are none, or too many.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not 1 <= len(files) <= FILES_MAX:
        raise LoadError(f"{folder} holds {len(files)} JPEG files, expected 1 to {FILES_MAX}")
    return [Payload(path.read_bytes()) for path in files]


def _outside(size: int) -> int:
    return max(LOW_BYTES - size, size - HIGH_BYTES, 0)
