"""Ours: the engine as a callable that `fleetsight serve models` names; a process for each replica."""

from collections.abc import Sequence
from typing import Any

from engine import engine_of_environment


class Frames:
    """One process that runs the engine."""

    def __init__(self) -> None:
        self._engine = engine_of_environment()

    def __call__(self, frames: Sequence[Any]) -> list[list[float]]:
        return self._engine([bytes(frame.jpeg) for frame in frames])
