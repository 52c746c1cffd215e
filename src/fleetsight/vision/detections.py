"""What a detector saw in one image: boxes, scores and labels of equal length."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.vision.box import Boxes, check_boxes
from fleetsight.vision.image import ShapeError


@dataclass(frozen=True)
class Detections:
    """Boxes found in one image.

    Attributes:
        boxes_xyxy_px: (n, 4) float32 in pixels of the image.
        scores: (n,) float32, 0-1.
        labels: (n,) int32, index into the label names of the model.
    """

    boxes_xyxy_px: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]

    def __post_init__(self) -> None:
        count = len(check_boxes(self.boxes_xyxy_px))
        if self.scores.shape != (count,) or self.labels.shape != (count,):
            raise ShapeError(
                f"{count} boxes need as many scores and labels, got {self.scores.shape} and {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> "Detections":
        """Nothing seen.

        Returns:
            detections of length 0.
        """
        return cls(
            boxes_xyxy_px=np.zeros((0, 4), dtype=np.float32),
            scores=np.zeros(0, dtype=np.float32),
            labels=np.zeros(0, dtype=np.int32),
        )

    def select(self, chosen: NDArray[Any]) -> "Detections":
        """Some of the detections.

        Args:
            chosen: (n,) bool, or (k,) indices in the order wanted.

        Returns:
            the chosen ones, copied.
        """
        return Detections(
            boxes_xyxy_px=self.boxes_xyxy_px[chosen], scores=self.scores[chosen], labels=self.labels[chosen]
        )

    def with_label(self, label: int) -> "Detections":
        """The detections of one label.

        Args:
            label: index of the label.

        Returns:
            those with this label, in the same order.
        """
        return self.select(self.labels == label)
