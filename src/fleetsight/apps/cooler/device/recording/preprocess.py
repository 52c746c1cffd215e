"""What happens to a picture before it is stored: faces blurred when told to, then scaled down."""

from dataclasses import dataclass

import cv2
import numpy as np

from fleetsight.apps.cooler.device.recording.faces import FaceFinder, without_faces
from fleetsight.vision.image import Image

CLIP_HEIGHT_PX = 360  # the size that baskets are scored at
SEGMENT_S = 2.0


@dataclass(frozen=True, slots=True)
class RecordingConfig:
    """How to record; the server says so in the answer to a heartbeat.

    Attributes:
        blur_faces: make faces unrecognisable.
        clip_height_px: pictures are scaled down to this height, never up.
        segment_s: length of a segment.
    """

    blur_faces: bool = False
    clip_height_px: int = CLIP_HEIGHT_PX
    segment_s: float = SEGMENT_S


def prepared(image: Image, config: RecordingConfig, *, faces: FaceFinder | None) -> Image:
    """Make a picture ready to be stored.

    Args:
        image: (h, w, 3) uint8 RGB.
        config: how.
        faces: None only where `config.blur_faces` is False; looks at the picture in full size, where faces are largest.
    Returns:
        (h', w', 3) uint8 RGB with even sides.
    """
    if config.blur_faces and faces is not None:
        image = without_faces(image, faces.find(image))
    size_wh = stored_size((image.shape[1], image.shape[0]), config.clip_height_px)
    if size_wh == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def stored_size(size_wh: tuple[int, int], clip_height_px: int) -> tuple[int, int]:
    """The size in which a picture is stored.

    Args:
        size_wh: width and height of the camera's picture.
        clip_height_px: the height to scale down to.
    Returns:
        width and height, both even, as H.264 with halved colour wants them; the aspect is kept to a pixel.
    """
    width, height = size_wh
    if height > clip_height_px:
        width, height = round(width * clip_height_px / height), clip_height_px
    return max(2, width - width % 2), max(2, height - height % 2)
