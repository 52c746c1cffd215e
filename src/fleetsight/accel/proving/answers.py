"""From what a network answers to what it means: boxes, a class, a vector."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.card import Card
from fleetsight.accel.portable import ModelError
from fleetsight.vision.detections import Detections
from fleetsight.vision.heads import decode, decode_queries
from fleetsight.vision.nms import suppress

if TYPE_CHECKING:
    from fleetsight.accel.session import Arrays
    from fleetsight.accel.sources.source import Source

IOU_MAX = 0.6
"""Two kept boxes of one label overlap by at most this. YOLOX evaluates at 0.65 (released code); neighbouring facings
stand close together but rarely cover each other's box by more than half."""

CANDIDATES_MAX = 1000
"""Most boxes that enter suppression, best first: a head that fires everywhere must not stall the stream. A thousand boxes
take about 5 ms, three thousand 30; a full shelf gives a few dozen."""

DETECTIONS_MAX = 300
"""Most boxes per image, as COCO tools allow; five times a full shelf."""


def dense_boxes(raw: NDArray[Any], card: Card, *, score_min: float, iou_max: float = IOU_MAX) -> Detections:
    """Read a dense head: decode, keep the best, suppress.

    Args:
        raw: (n, c) float32, the head's answer for one image.
        card: card of the detector.
        score_min: drop boxes below this score, 0-1.
        iou_max: two kept boxes of one label overlap by at most this, 0-1.

    Returns:
        detections in pixels of the model's input, best score first.

    Raises:
        ModelError: the card names no decoder.
        ShapeError: the answer does not fit the card.
    """
    if card.decoder == "none":
        raise ModelError(f"model {card.name!r} has no decoder")
    found = decode(raw, card.decoder, input_wh=card.input_size_wh, score_min=score_min, strides=card.strides)
    if len(found) > CANDIDATES_MAX:
        found = found.select(np.argsort(-found.scores, kind="stable")[:CANDIDATES_MAX])
    boxes, scores, labels = found.boxes_xyxy_px, found.scores, found.labels
    return found.select(suppress(boxes, scores, labels=labels, iou_max=iou_max, keep_max=DETECTIONS_MAX))


def boxes_of(source: "Source", outputs: "Arrays", *, score_min: float) -> Detections:
    """Read a detector's answer for one image.

    Args:
        source: a model whose `answer` is "dense" or "queries".
        outputs: of batch 1.
        score_min: drop boxes below this score, 0-1.

    Returns:
        detections in pixels of the model's input.
    """
    if source.answer == "dense" and source.card is not None:
        return dense_boxes(outputs[0][0], source.card, score_min=score_min)
    height, width = source.example[0].shape[2:]
    return decode_queries(outputs[0][0], outputs[1][0], input_wh=(width, height), score_min=score_min)
