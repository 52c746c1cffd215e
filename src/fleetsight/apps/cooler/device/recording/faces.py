"""Faces: found by a model that the installation brings, and made unrecognisable before a picture is stored.

OpenCV's cascades are no choice: since version 5 the wheel has neither their files nor the class that ran them. YuNet (Wu et al., "YuNet: A Tiny
Millisecond-level Face Detector", 2023; file `face_detection_yunet_2023mar.onnx` of the OpenCV model zoo, 230 kB, MIT) runs in the OpenCV
that is installed anyway. No weights of others are shipped, so the file is named by whoever installs the device.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np

from fleetsight.apps.cooler.device.hardware import HardwareError
from fleetsight.vision.image import Image

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, right and bottom excluded."""

SCORE_MIN = 0.5  # below the zoo's 0.9: a blurred bottle costs less than a face that is kept
MARGIN = 0.2  # of the box on each side: hair, ears and chin identify too
MOSAIC = 6  # patches across a face; people recognise familiar faces from about 16 pixels (Harmon and Julesz 1973)


class FaceFinder(Protocol):
    """Finds faces in a picture."""

    def find(self, image: Image) -> Sequence[Box]:
        """Boxes of the faces.

        Args:
            image: (h, w, 3) uint8 RGB.
        Returns:
            Boxes, possibly reaching out of the picture.
        """
        ...


class YuNetFaces:
    """Faces by OpenCV's YuNet.

    Args:
        model: the ONNX file.
    Raises:
        HardwareError: there is no such file, or OpenCV cannot read it.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise HardwareError(f"no face model at {model}", hint="download face_detection_yunet_2023mar.onnx")
        try:
            self._detector: Any = cv2.FaceDetectorYN.create(str(model), "", (320, 320), SCORE_MIN)
        except cv2.error as error:
            raise HardwareError(f"{model} is no YuNet model: {error}", hint="see --face-model") from error

    def find(self, image: Image) -> Sequence[Box]:
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        _, rows = self._detector.detect(np.ascontiguousarray(image[..., ::-1]))
        if rows is None:
            return []
        return [
            (
                int(left - MARGIN * width),
                int(top - MARGIN * height),
                int(left + (1 + MARGIN) * width),
                int(top + (1 + MARGIN) * height),
            )
            for left, top, width, height in np.asarray(rows)[:, :4]
        ]


def without_faces(image: Image, boxes: Sequence[Box]) -> Image:
    """Replace faces by coarse mosaics; what was there cannot be computed back.

    Args:
        image: (h, w, 3) uint8 RGB; not changed.
        boxes: see `FaceFinder.find`.
    Returns:
        The same picture when there is no box in it, else a copy.
    """
    height, width = image.shape[:2]
    result = image
    for left, top, right, bottom in boxes:
        x1, y1, x2, y2 = max(0, left), max(0, top), min(width, right), min(height, bottom)
        if x2 <= x1 or y2 <= y1:
            continue
        result = image.copy() if result is image else result
        face = result[y1:y2, x1:x2]
        patches = cv2.resize(face, (min(MOSAIC, x2 - x1), min(MOSAIC, y2 - y1)), interpolation=cv2.INTER_AREA)
        result[y1:y2, x1:x2] = cv2.resize(patches, (x2 - x1, y2 - y1), interpolation=cv2.INTER_NEAREST)
    return result
