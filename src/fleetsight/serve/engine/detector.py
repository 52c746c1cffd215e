"""Any portable detector as an engine: JPEG bytes in, boxes out."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fleetsight.accel.detector import Detector
from fleetsight.serve.engine.picture import decode_jpeg, sample_jpeg
from fleetsight.serve.engine.protocol import EngineError, Frame, FrameFault, Result
from fleetsight.vision.detections import Detections
from fleetsight.vision.image import Image, size_wh

PLACES_PX = 2
PLACES_SCORE = 4
"""A hundredth of a pixel is below what any detector means."""


class DetectorEngine:
    """Answers with boxes.

    Args:
        open_detector: opens the model on a chip.
    """

    def __init__(self, open_detector: Callable[[], Detector]) -> None:
        self._open = open_detector
        self._detector: Detector | None = None

    def load(self) -> None:
        self._detector = self._open()

    def warmup(self) -> None:
        self.infer_batch([self.sample()] * 2)

    def infer_batch(self, frames: Sequence[Frame]) -> Sequence[Result]:
        detector = self._detector
        if detector is None:
            raise EngineError("the engine was not loaded")
        answers: list[Result] = [None] * len(frames)
        good: list[tuple[int, tuple[int, int]]] = []

        def images() -> Iterator[Image]:
            for place, frame in enumerate(frames):
                image = decode_jpeg(frame.jpeg)
                if isinstance(image, FrameFault):
                    answers[place] = image
                else:
                    good.append((place, size_wh(image)))
                    yield image

        if len(frames) == 1:
            for image in images():
                answers[0] = self._told(detector.detect(image, score_min=frames[0].score_min), size_wh(image))
            return answers
        lowest = min(frame.score_min for frame in frames)
        for done, found in enumerate(detector.stream(images(), score_min=lowest)):
            place, size = good[done]
            answers[place] = self._told(found.select(found.scores >= frames[place].score_min), size)
        return answers

    def sample(self) -> Frame:
        return Frame(sample_jpeg())

    def close(self) -> None:
        if self._detector is not None:
            self._detector.close()

    def _told(self, found: Detections, size: tuple[int, int]) -> dict[str, Any]:
        labels = self._detector.labels if self._detector is not None else ()
        rows = zip(found.boxes_xyxy_px.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
        return {
            "size_wh": list(size),
            "detections": [
                {
                    "label": labels[label],
                    "score": round(score, PLACES_SCORE),
                    "box_xyxy_px": [round(side, PLACES_PX) for side in box],
                }
                for box, score, label in rows
            ],
        }
