"""Draw what was seen onto a copy of the image: boxes with their names, for evidence and demos."""

from collections.abc import Sequence

import cv2
import numpy as np

from fleetsight.vision.detections import Detections
from fleetsight.vision.image import Image, check_image

PALETTE = (
    (230, 75, 53),
    (77, 187, 213),
    (0, 160, 135),
    (243, 155, 127),
    (60, 84, 136),
    (145, 209, 194),
    (126, 97, 72),
    (132, 145, 180),
)
"""RGB colours that stay apart for most colour-blind readers (palette "npg" of the R package ggsci, MIT)."""

Colour = tuple[int, int, int]


def draw_box(
    image: Image, box_xyxy_px: Sequence[float], *, text: str = "", colour: Colour = PALETTE[0], thickness_px: int = 2
) -> None:
    """Draw one box with a caption, in place.

    Args:
        image: (h, w, 3) uint8 RGB, C-contiguous, overwritten.
        box_xyxy_px: x1, y1, x2, y2; parts outside the image are not drawn.
        text: caption above the box; ASCII, other characters become "?".
        colour: RGB.
        thickness_px: width of the line.
    """
    height, width = check_image(image).shape[:2]
    limit = np.array([width - 1, height - 1, width - 1, height - 1])
    x1, y1, x2, y2 = (int(v) for v in np.clip(np.nan_to_num(np.round(box_xyxy_px)), 0, limit))
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, thickness_px)
    if text:
        draw_text(image, text, xy_px=(x1, y1 - 4), colour=colour)


def draw_text(image: Image, text: str, *, xy_px: tuple[int, int], colour: Colour = PALETTE[0]) -> None:
    """Write text on a filled plate, in place and inside the image.

    Args:
        image: (h, w, 3) uint8 RGB, C-contiguous, overwritten.
        text: ASCII, other characters become "?".
        xy_px: left end of the base line.
        colour: RGB of the plate; the text is black or white, whichever stands out.
    """
    face, scale = cv2.FONT_HERSHEY_SIMPLEX, max(0.4, min(0.8, image.shape[0] / 900.0))
    ascii_text = text.encode("ascii", "replace").decode("ascii")
    (width, height), drop = cv2.getTextSize(ascii_text, face, scale, 1)
    x = int(min(max(0, xy_px[0]), max(0, image.shape[1] - width - 4)))
    y = int(min(max(height + 2, xy_px[1]), max(height + 2, image.shape[0] - drop - 2)))
    cv2.rectangle(image, (x, y - height - 2), (x + width + 4, y + drop), colour, cv2.FILLED)
    # Weights of ITU-R BT.601 luma.
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140.0
    ink = (0, 0, 0) if bright else (255, 255, 255)
    cv2.putText(image, ascii_text, (x + 2, y), face, scale, ink, 1, cv2.LINE_AA)


def draw_detections(image: Image, detections: Detections, *, names: Sequence[str]) -> Image:
    """A copy of the image with every detection drawn.

    Args:
        image: (h, w, 3) uint8 RGB.
        detections: what to draw, in pixels of the image.
        names: name of each label.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    canvas = np.ascontiguousarray(check_image(image)).copy()
    for box, score, label in zip(detections.boxes_xyxy_px, detections.scores, detections.labels, strict=True):
        name = names[label] if 0 <= label < len(names) else str(label)
        draw_box(canvas, box.tolist(), text=f"{name} {score:.2f}", colour=PALETTE[int(label) % len(PALETTE)])
    return canvas
