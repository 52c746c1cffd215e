"""The bundled models of the cooler, loaded once per process."""

from functools import cache

from fleetsight.accel.bundled import bundled_model
from fleetsight.accel.choose import open_session
from fleetsight.accel.detector import Detector
from fleetsight.accel.embedder import Embedder

DETECTOR = "cooler-detector"
EMBEDDER = "cooler-embedder"


@cache
def load_detector(target: str = "auto", threads: int | None = None) -> Detector:
    """The bundled product and hand detector.

    Args:
        target: the chip; `auto` takes the best that works.
        threads: of the session; None takes every core.
    Returns:
        The detector, shared by all callers with the same arguments.
    """
    return Detector.open(bundled_model(DETECTOR), target, threads=threads)


@cache
def load_embedder(target: str = "auto", threads: int | None = None) -> Embedder:
    """The bundled product embedder.

    Args:
        target: the chip; `auto` takes the best that works.
        threads: of the session; None takes every core.
    Returns:
        The embedder, shared by all callers with the same arguments.
    """
    model = bundled_model(EMBEDDER)
    return Embedder(model, open_session(model, target=target, threads=threads))
