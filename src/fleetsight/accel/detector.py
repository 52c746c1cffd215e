"""A detector: images in, boxes out.

`detect` answers for one image. `stream` keeps the chip busy: this thread letterboxes the next image and decodes the
last answer while requests are in flight. A detector made by `Detector.open` trims the padding that images of one size
would leave: it opens the network once more at the smaller size. One of an artifact has the size it was compiled for.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.artifacts.artifact import Artifact
from fleetsight.accel.card import Card
from fleetsight.accel.choose import open_session
from fleetsight.accel.portable import ModelError, PortableModel
from fleetsight.accel.preprocess import Described, Preprocessor, takes_bytes
from fleetsight.accel.proving.answers import IOU_MAX, dense_boxes
from fleetsight.accel.session import Precision, Session
from fleetsight.errors import Error
from fleetsight.vision.box import area
from fleetsight.vision.detections import Detections
from fleetsight.vision.image import Image, check_image, size_wh
from fleetsight.vision.letterbox import Letterbox

SESSIONS_MAX = 4
"""Most sizes one detector opens; images of further shapes take the full size with its padding."""


class Detector:
    """Finds things in images.

    Args:
        model: a checked detector, portable or compiled.
        session: the model opened on a target; the detector does not close it.
        iou_max: two kept boxes of one label overlap by at most this, 0-1.

    Attributes:
        labels: names of the labels.
        name: name of the model.
    """

    def __init__(self, model: Described, session: Session, *, iou_max: float = IOU_MAX) -> None:
        if model.card.task != "detect":
            raise ModelError(f"model {model.name!r} does {model.card.task!r}, a detector is needed")
        self.labels = model.card.labels
        self.name = model.name
        self._card = model.card
        self._session = session
        self._takes_bytes = takes_bytes(session)
        self._iou_max = iou_max
        self._is_owner = False
        self._open: tuple[PortableModel, Callable[[PortableModel], Session]] | None = None
        self._trimmed: dict[tuple[int, int], tuple[Card, Session]] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls, model: PortableModel, target: str = "auto", *, precision: Precision = "auto", threads: int | None = None
    ) -> "Detector":
        """Open a model and detect with it; padding is trimmed where the model allows.

        Args:
            model: a checked detector.
            target: "auto" or the name of a target.
            precision: arithmetic inside the graph.
            threads: most threads to use; None: all.

        Returns:
            a detector that owns its sessions: close it, or use it in a `with` block.

        Raises:
            ModelError: the model is no detector.
            TargetError: no target can open the model.
        """
        opener = partial(open_session, target=target, precision=precision, threads=threads)
        detector = cls(model, opener(model))
        detector._open, detector._is_owner = (model, opener), True
        return detector

    @classmethod
    def of_artifact(cls, artifact: Artifact, *, threads: int | None = None) -> "Detector":
        """Detect with a compiled model.

        Args:
            artifact: a checked artifact of a detector.
            threads: most threads to use; None: all.

        Returns:
            a detector that owns its session: close it, or use it in a `with` block.

        Raises:
            ArtifactError: it carries no card, or was compiled for larger batches.
            ModelError: it is no detector.
            TargetError: its target cannot load it here.
        """
        artifact.check_batch_of_one()
        session = artifact.session(threads=threads)
        try:
            detector = cls(artifact, session)
        except Error:
            session.close()
            raise
        detector._is_owner = True
        return detector

    def close(self) -> None:
        """Close the sessions that this detector opened; a second call does nothing."""
        with self._lock:
            for _, session in self._trimmed.values():
                session.close()
            if self._is_owner:
                self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        card, session = self._fitting(size_wh(check_image(image)))
        batch, box = self._prepare(Preprocessor(card), image, None)
        return self._read(session.run(batch)[0], card, box, score_min=score_min)

    def stream(self, images: Iterable[Image], *, score_min: float = 0.3) -> Iterator[Detections]:
        """Find things in many images, several in flight.

        Args:
            images: each (h, w, 3) uint8 RGB; taken a few ahead of the answers. Sizes may differ; the first one decides
                how far the padding is trimmed.
            score_min: drop boxes below this score, 0-1.

        Yields:
            detections for each image in order, in pixels of that image, best score first.

        Raises:
            ShapeError: an image is not (h, w, 3) uint8.
            TargetError: the target failed.
        """
        source = iter(images)
        first = next(source, None)
        if first is None:
            return
        card, session = self._fitting(size_wh(check_image(first)))
        preprocessor = Preprocessor(card)
        busy: deque[tuple[NDArray[Any], Letterbox]] = deque()
        idle: list[NDArray[Any]] = []

        def batches() -> Iterator[NDArray[Any]]:
            for image in chain([first], source):
                batch, box = self._prepare(preprocessor, image, idle.pop() if idle else None)
                busy.append((batch, box))
                yield batch

        for outputs in session.map(batches()):
            # The session reads a batch until its answer came; from here on its memory may be used again.
            batch, box = busy.popleft()
            idle.append(batch)
            yield self._read(outputs[0], card, box, score_min=score_min)

    def _fitting(self, image_wh: tuple[int, int]) -> tuple[Card, Session]:
        """The session whose input fits images of one size, and its card."""
        if self._open is None:
            return self._card, self._session
        whole, opener = self._open
        size = whole.trimmed_size_wh(image_wh)
        if size == self._card.input_size_wh:
            return self._card, self._session
        with self._lock:
            if size not in self._trimmed:
                if len(self._trimmed) >= SESSIONS_MAX:
                    return self._card, self._session
                model = whole.resized(size)
                self._trimmed[size] = (model.card, opener(model))
            return self._trimmed[size]

    def _prepare(
        self, preprocessor: Preprocessor, image: Image, out: NDArray[Any] | None
    ) -> tuple[NDArray[Any], Letterbox]:
        if self._takes_bytes:
            return preprocessor.letterbox(image, out=out)
        return preprocessor.prepare(image, out=out)

    def _read(self, raw: NDArray[np.float32], card: Card, box: Letterbox, *, score_min: float) -> Detections:
        kept = dense_boxes(raw[0], card, score_min=score_min, iou_max=self._iou_max)
        placed = Detections(
            boxes_xyxy_px=box.boxes_to_image(kept.boxes_xyxy_px), scores=kept.scores, labels=kept.labels
        )
        # Boxes that lay wholly in the padding are empty now.
        return placed.select(area(placed.boxes_xyxy_px) > 0.0)
