"""How pictures become inputs for networks without a card of ours: resize, normalise, channels first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from fleetsight.accel.session import Arrays
from fleetsight.vision.image import Image, check_image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel statistics of ImageNet in 0-1, as ResNet and its kin are trained with."""

HALF = (0.5, 0.5, 0.5)
"""Statistics of networks that want -1 to 1: MobileNet, ViT."""


@dataclass(frozen=True)
class PictureInput:
    """What a network expects of a picture.

    Attributes:
        size_wh: width and height of the input in pixels.
        mean: subtracted from 0-1, per channel of RGB.
        std: then divided by.
        fit: "stretch" ignores the aspect; "crop" fills the input and cuts the rest off, evenly on both sides.
    """

    size_wh: tuple[int, int]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    fit: Literal["stretch", "crop"] = "stretch"

    def prepare(self, image: Image) -> Arrays:
        """Prepare one picture.

        Args:
            image: (h, w, 3) uint8 RGB.

        Returns:
            one array, (1, 3, h, w) float32.

        Raises:
            ShapeError: image is not (h, w, 3) uint8.
        """
        source, (width, height) = check_image(image), self.size_wh
        if self.fit == "crop":
            share = min(source.shape[1] / width, source.shape[0] / height)
            cut_w, cut_h = max(1, round(share * width)), max(1, round(share * height))
            left, top = (source.shape[1] - cut_w) // 2, (source.shape[0] - cut_h) // 2
            source = source[top : top + cut_h, left : left + cut_w]
        shrinks = source.shape[1] > width
        resized = cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        scaled = (resized.astype(np.float32) / 255.0 - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return (np.ascontiguousarray(scaled.transpose(2, 0, 1)[None]),)


def picture_input(
    size_wh: tuple[int, int], stated: Mapping[str, Any], *, mean: tuple[float, ...], std: tuple[float, ...], crop: bool
) -> PictureInput:
    """What a model's `preprocessor_config.json` says, with the family's habit where it says nothing.

    Args:
        size_wh: the network's input.
        stated: the file's content; may be empty.
        mean: of the family.
        std: of the family.
        crop: whether the family crops.

    Returns:
        how to prepare pictures.
    """
    if stated.get("do_normalize", True) is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return PictureInput(
        size_wh=size_wh,
        mean=tuple(map(float, stated.get("image_mean", mean))) if stated.get("do_normalize", True) else mean,
        std=tuple(map(float, stated.get("image_std", std))) if stated.get("do_normalize", True) else std,
        fit="crop" if crop else "stretch",
    )
