"""From an image to the batch a model eats: letterbox, channel order, float32, normalisation.

Done on the caller's thread. Letting OpenVINO convert and normalise inside the graph was measured slower, and so was
OpenCV's blobFromImage, which takes fresh memory for each image (docs/adr/0004-portable-model.md).
"""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.card import Card
from fleetsight.accel.session import Session
from fleetsight.vision.image import Image, check_image, size_wh
from fleetsight.vision.letterbox import Letterbox, fit, place_content


class Described(Protocol):
    """A model with a card: portable, or compiled for one target."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def card(self) -> Card:
        """What it eats and answers."""
        ...


class Preprocessor:
    """Prepares images for one model; keeps its canvas, so each thread needs its own.

    Args:
        card: card of the model.
        smooth: average over the covered area when shrinking (see `letterbox`).
    """

    def __init__(self, card: Card, *, smooth: bool = False) -> None:
        self._card = card
        self._smooth = smooth
        self._source = (0, 1, 2) if card.channel_order == "RGB" else (2, 1, 0)
        self._gain, self._shift = gain_and_shift(card)
        self._canvas: Image = np.zeros((0, 0, 3), dtype=np.uint8)
        self._box: Letterbox | None = None

    def prepare(self, image: Image, *, out: NDArray[np.float32] | None = None) -> tuple[NDArray[np.float32], Letterbox]:
        """Prepare one image.

        Args:
            image: (h, w, 3) uint8 RGB.
            out: a batch that is no longer needed, to be overwritten: touching fresh memory costs as much as the rest.

        Returns:
            batch: (1, 3, h, w) float32 in the model's size, channel order and normalisation; `out` or new memory.
            box: maps boxes of the model's input back to the image.

        Raises:
            ShapeError: image is not (h, w, 3) uint8.
        """
        box = self._place(image)
        width, height = self._card.input_size_wh
        batch = np.empty((1, 3, height, width), dtype=np.float32) if out is None else out
        planes = cv2.split(self._canvas)
        for channel, source in enumerate(self._source):
            plane = batch[0, channel]
            plane[:] = planes[source]
            # In float32 and in place: a mixed product of bytes and floats is five times slower in numpy.
            if self._gain[channel] != 1.0:
                np.multiply(plane, self._gain[channel], out=plane)
            if self._shift[channel] != 0.0:
                np.add(plane, self._shift[channel], out=plane)
        return batch, box

    def letterbox(self, image: Image, *, out: NDArray[np.uint8] | None = None) -> tuple[NDArray[np.uint8], Letterbox]:
        """Prepare one image for a network that normalises itself.

        Args:
            image: (h, w, 3) uint8 RGB.
            out: a batch that is no longer needed, to be overwritten.

        Returns:
            batch: (1, h, w, 3) uint8 RGB in the model's size; `out` or new memory.
            box: maps boxes of the model's input back to the image.

        Raises:
            ShapeError: image is not (h, w, 3) uint8.
        """
        box = self._place(image)
        if out is None:
            return self._canvas[None].copy(), box
        out[0] = self._canvas
        return out, box

    def _place(self, image: Image) -> Letterbox:
        image_wh = size_wh(check_image(image))
        width, height = self._card.input_size_wh
        if self._box is None or self._box.image_wh != image_wh:
            self._box = fit(image_wh, (width, height), place=self._card.pad_place)
            self._canvas = np.full((height, width, 3), self._card.pad_value, dtype=np.uint8)
        place_content(image, self._box, canvas=self._canvas, smooth=self._smooth)
        return self._box


def takes_bytes(session: Session) -> bool:
    """Whether a network normalises its pictures itself.

    Args:
        session: an open session.

    Returns:
        True when its first input is bytes: give it `Preprocessor.letterbox`, not `prepare`.
    """
    return session.inputs[0].element == "u8"


def gain_and_shift(card: Card) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The card's normalisation as one product and one sum.

    Args:
        card: card of the model.

    Returns:
        gain: (3,) float32 in the card's channel order.
        shift: (3,) float32: (pixel * scale - mean) / std = pixel * gain + shift.
    """
    gain = (card.scale / np.array(card.std)).astype(np.float32)
    return gain, (-np.array(card.mean) / np.array(card.std)).astype(np.float32)
