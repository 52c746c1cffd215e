"""From an image to the batch a model eats: letterbox, channel order, float32, normalisation.

Done by OpenCV on the caller's thread. The alternative, letting OpenVINO convert and normalise inside the graph, was
measured slower (docs/adr/0004-portable-model.md).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.card import Card
from fleetsight.vision.image import Image, check_image, size_wh
from fleetsight.vision.letterbox import Letterbox, fit, place_content


class Preprocessor:
    """Prepares images for one model; keeps its canvas, so each thread needs its own.

    Args:
        card: card of the model.
        smooth: average over the covered area when shrinking (see `letterbox`).
    """

    def __init__(self, card: Card, *, smooth: bool = False) -> None:
        self._card = card
        self._smooth = smooth
        self._swap = card.channel_order == "BGR"
        # (pixel * scale - mean) / std  =  pixel * gain + shift
        self._gain = card.scale / np.array(card.std, dtype=np.float64)
        self._shift = -np.array(card.mean, dtype=np.float64) / np.array(card.std, dtype=np.float64)
        self._is_uniform = len(set(self._gain)) == 1
        self._canvas: Image = np.zeros((0, 0, 3), dtype=np.uint8)
        self._box: Letterbox | None = None

    def prepare(self, image: Image) -> tuple[NDArray[np.float32], Letterbox]:
        """Prepare one image.

        Args:
            image: (h, w, 3) uint8 RGB.

        Returns:
            batch: (1, 3, h, w) float32 in the model's size, channel order and normalisation; new memory.
            box: maps boxes of the model's input back to the image.

        Raises:
            ShapeError: image is not (h, w, 3) uint8.
        """
        image_wh = size_wh(check_image(image))
        if self._box is None or self._box.image_wh != image_wh:
            width, height = self._card.input_size_wh
            self._box = fit(image_wh, (width, height), place=self._card.pad_place)
            self._canvas = np.full((height, width, 3), self._card.pad_value, dtype=np.uint8)
        place_content(image, self._box, self._canvas, smooth=self._smooth)
        return self._normalise(), self._box

    def _normalise(self) -> NDArray[np.float32]:
        if self._is_uniform:
            gain = float(self._gain[0])
            # OpenCV subtracts the mean before it scales: pixel * gain + shift = (pixel + shift / gain) * gain.
            mean = [float(value) for value in -self._shift / gain]
            batch = cv2.dnn.blobFromImage(self._canvas, scalefactor=gain, mean=mean, swapRB=self._swap)
        else:
            batch = cv2.dnn.blobFromImage(self._canvas, swapRB=self._swap)
            np.multiply(batch, self._gain.astype(np.float32)[None, :, None, None], out=batch)
            np.add(batch, self._shift.astype(np.float32)[None, :, None, None], out=batch)
        return np.asarray(batch, dtype=np.float32)
