"""What training eats: labelled pictures, from any source that can be called with a seed.

Training knows no renderer and no data set. A source is a picklable callable that yields samples for ever (or until it
has no more); equal seeds give equal samples. Worker processes call it with different seeds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (h, w, 3) RGB


@dataclass(frozen=True)
class DetectorSample:
    """One picture with its boxes.

    Args:
        image: (h, w, 3) uint8 RGB.
        boxes_xyxy_px: (n, 4) float32, visible extent in pixels of the image.
        labels: (n,) int, index into the detector's labels.
        ignore_xyxy_px: (k, 4) float32 regions where detections are neither right nor wrong (hidden too far to judge).
    """

    image: Image
    boxes_xyxy_px: NDArray[np.float32]
    labels: NDArray[np.int32]
    ignore_xyxy_px: NDArray[np.float32]


@dataclass(frozen=True)
class CropSample:
    """One picture of one product.

    Args:
        image: (h, w, 3) uint8 RGB crop at its natural aspect, product filling it up to a small margin.
        design: index of the product among all designs of the source; the class to learn.
        family: index of its look-alike group; equal for products that are easily confused.
        gallery: True for a catalog picture, False for a crop from a scene.
    """

    image: Image
    design: int
    family: int
    gallery: bool


DetectorSource = Callable[[int], Iterator[DetectorSample]]
CropSource = Callable[[int], Iterator[CropSample]]
