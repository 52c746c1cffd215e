"""A shelf drawn in a few lines: printed boxes, a hand on an arm, and perfect detections. For tests of the rules alone."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from fleetsight.apps.cooler.shelf import Place, ShelfReader
from fleetsight.vision.detections import Detections
from fleetsight.vision.image import Image

WIDTH, HEIGHT, RATE_HZ = 320, 180, 20
FOCAL_PX = 266.0
"""What `Lens.assumed` takes for a picture this wide."""

FRONT_WIDTHS = 6.0
"""Distance at which a product stands at the x it is listed by."""


def print_of(seed: int) -> Image:
    """A printed front of 96 x 160 px that looks like no other."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 226, (8, 5, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (96, 160), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


@dataclass
class DrawnShelf:
    """Products stand at distances; the hand comes from below. Distances are in widths of a product from the camera.

    Attributes:
        fronts: for each place its x in pixels and the print seeds with distances that stand there, front first.
    """

    fronts: dict[int, list[tuple[int, float]]]
    reader: ShelfReader = field(default_factory=lambda: ShelfReader(WIDTH, HEIGHT))
    frame: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def play(self, seconds: float, hand_at: tuple[float, float] | None = None) -> None:
        """Show the shelf for a while, with or without a hand at a point."""
        for _ in range(round(seconds * RATE_HZ)):
            self.step(hand_at)

    def reach(self, x: int, act: "list[tuple[int, float]] | None" = None) -> None:
        """A hand comes from below to a place, something changes there, and it goes again."""
        for y in np.linspace(HEIGHT, 90, 8):
            self.step((x, float(y)))
        for _ in range(6):
            self.step((x, 90.0))
        if act is not None:
            self.fronts[x] = act
        for y in np.linspace(90, HEIGHT + 40, 8):
            self.step((x, float(y)))

    def step(self, hand_at: tuple[float, float] | None) -> None:
        """Draw one frame and let the reader see it."""
        image: Image = np.full((HEIGHT, WIDTH, 3), 205, dtype=np.uint8)
        boxes = []
        for x, stack in self.fronts.items():
            for seed, distance in stack[:1]:
                boxes.append(self._product(image, x, seed, distance))
        hands: NDArray[np.float32] = np.zeros((0, 4), dtype=np.float32)
        if hand_at is not None:
            hands = self._hand(image, hand_at)
            boxes = [box for box in boxes if not self._covered(box, hands[0])]
        noisy = image.astype(np.int16) + self.rng.normal(0, 2, image.shape).astype(np.int16)
        image = np.clip(noisy, 0, 255).astype(np.uint8)
        found = Detections(
            boxes_xyxy_px=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            scores=np.full(len(boxes), 0.9, dtype=np.float32),
            labels=np.zeros(len(boxes), dtype=np.int32),
        )
        self.reader.update(image, found, hands_xyxy_px=hands, at_s=self.frame / RATE_HZ)
        self.frame += 1

    def finish(self) -> list[Place]:
        """End the session."""
        return self.reader.finish()

    @staticmethod
    def _product(image: Image, x: int, seed: int, distance: float) -> tuple[float, float, float, float]:
        width = FOCAL_PX / distance
        height = width * 160 / 96
        base = HEIGHT / 2 + 1.1 * FOCAL_PX / distance  # the board lies 1.1 widths below the camera
        middle = WIDTH / 2 + (x - WIDTH / 2) * FRONT_WIDTHS / distance
        x0, y0 = round(middle - width / 2), round(base - height)
        sized = cv2.resize(print_of(seed), (round(width), round(height)), interpolation=cv2.INTER_AREA)
        image[y0 : y0 + sized.shape[0], x0 : x0 + sized.shape[1]] = sized
        return (x0, y0, x0 + sized.shape[1], y0 + sized.shape[0])

    @staticmethod
    def _hand(image: Image, at: tuple[float, float]) -> NDArray[np.float32]:
        x, y = round(at[0]), round(at[1])
        cv2.rectangle(image, (x - 14, y + 20), (x + 14, HEIGHT), (60, 70, 120), -1)
        cv2.ellipse(image, (x, y), (26, 34), 0, 0, 360, (222, 170, 140), -1)
        return np.array([[x - 26, y - 34, x + 26, y + 34]], dtype=np.float32)

    @staticmethod
    def _covered(box: tuple[float, float, float, float], hand: NDArray[np.float32]) -> bool:
        wide = min(box[2], hand[2]) - max(box[0], hand[0])
        high = min(box[3], hand[3]) - max(box[1], hand[1])
        return bool(wide > 0 and high > 0 and wide * high > 0.25 * (box[2] - box[0]) * (box[3] - box[1]))
