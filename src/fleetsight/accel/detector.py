"""A detector: images in, boxes out.

`detect` answers for one image. `stream` keeps the chip busy: this thread letterboxes the next image and decodes the
last answer while requests are in flight.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.portable import ModelError, PortableModel
from fleetsight.accel.preprocess import Preprocessor
from fleetsight.accel.session import Session
from fleetsight.vision.box import area
from fleetsight.vision.detections import Detections
from fleetsight.vision.heads import decode
from fleetsight.vision.image import Image
from fleetsight.vision.letterbox import Letterbox
from fleetsight.vision.nms import suppress

IOU_MAX = 0.6
"""Two kept boxes of one label overlap by at most this. YOLOX evaluates at 0.65 (released code); neighbouring facings
stand close together but rarely cover each other's box by more than half."""

CANDIDATES_MAX = 3000
"""Most boxes that enter suppression, best first: a head that fires everywhere must not stall the stream."""

DETECTIONS_MAX = 300
"""Most boxes per image, as COCO tools allow; five times a full shelf."""


class Detector:
    """Finds things in images.

    Args:
        model: a checked detector.
        session: the model opened on a target; the detector does not close it.
        iou_max: two kept boxes of one label overlap by at most this, 0-1.

    Attributes:
        labels: names of the labels.
        name: name of the model.
    """

    def __init__(self, model: PortableModel, session: Session, *, iou_max: float = IOU_MAX) -> None:
        if model.card.task != "detect":
            raise ModelError(f"model {model.name!r} does {model.card.task!r}, a detector is needed")
        self.labels = model.card.labels
        self.name = model.name
        self._card = model.card
        self._session = session
        self._iou_max = iou_max

    def detect(self, image: Image, *, score_min: float = 0.3) -> Detections:
        """Find things in one image; safe from several threads.

        Args:
            image: (h, w, 3) uint8 RGB.
            score_min: drop boxes below this score, 0-1.

        Returns:
            detections in pixels of the image, best score first.

        Raises:
            ShapeError: image is not (h, w, 3) uint8.
            TargetError: the target failed.
        """
        batch, box = Preprocessor(self._card).prepare(image)
        return self._read(self._session.run(batch)[0], box, score_min=score_min)

    def stream(self, images: Iterable[Image], *, score_min: float = 0.3) -> Iterator[Detections]:
        """Find things in many images, several in flight.

        Args:
            images: each (h, w, 3) uint8 RGB; taken a few ahead of the answers; sizes may differ.
            score_min: drop boxes below this score, 0-1.

        Yields:
            detections for each image in order, in pixels of that image, best score first.

        Raises:
            ShapeError: an image is not (h, w, 3) uint8.
            TargetError: the target failed.
        """
        busy: deque[tuple[NDArray[np.float32], Letterbox]] = deque()
        idle: list[NDArray[np.float32]] = []
        preprocessor = Preprocessor(self._card)

        def batches() -> Iterator[NDArray[np.float32]]:
            for image in images:
                batch, box = preprocessor.prepare(image, out=idle.pop() if idle else None)
                busy.append((batch, box))
                yield batch

        for outputs in self._session.map(batches()):
            # The session reads a batch until its answer came; from here on its memory may be used again.
            batch, box = busy.popleft()
            idle.append(batch)
            yield self._read(outputs[0], box, score_min=score_min)

    def _read(self, raw: NDArray[np.float32], box: Letterbox, *, score_min: float) -> Detections:
        card = self._card
        if card.decoder == "none":
            raise ModelError(f"model {card.name!r} has no decoder")
        found = decode(raw[0], card.decoder, input_wh=card.input_size_wh, score_min=score_min, strides=card.strides)
        if len(found) > CANDIDATES_MAX:
            found = found.select(np.argsort(-found.scores, kind="stable")[:CANDIDATES_MAX])
        kept = found.select(
            suppress(
                found.boxes_xyxy_px,
                found.scores,
                labels=found.labels,
                iou_max=self._iou_max,
                keep_max=DETECTIONS_MAX,
            )
        )
        placed = Detections(
            boxes_xyxy_px=box.boxes_to_image(kept.boxes_xyxy_px), scores=kept.scores, labels=kept.labels
        )
        # Boxes that lay wholly in the padding are empty now.
        return placed.select(area(placed.boxes_xyxy_px) > 0.0)
