"""One picture of a clip and the time it belongs to."""

from dataclasses import dataclass

from fleetsight.vision.image import Image


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded picture.

    Attributes:
        index: 0 for the first picture that was decoded, then 1, 2, …
        pts_ns: presentation time in nanoseconds, shifted so that the first picture has 0; strictly rising.
        image: (h, w, 3) uint8 RGB, upright (rotation metadata is applied), owned by the frame.
    """

    index: int
    pts_ns: int
    image: Image
