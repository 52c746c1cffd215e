"""BentoML: the JPEG as the root input; tuned: a process per core, and a bound on concurrency that answers 429."""

from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType
from engine import engine_of_environment, is_tuned, workers_of_environment

SETTINGS: dict[str, Any] = (
    {"workers": workers_of_environment(), "threads": 2, "traffic": {"timeout": 10, "max_concurrency": 64}}
    if is_tuned()
    else {}
)


@bentoml.service(**SETTINGS)
class Frames:
    """One process that runs the engine."""

    def __init__(self) -> None:
        self._engine = engine_of_environment()

    @bentoml.api
    def infer(self, image: Annotated[bytes, ContentType("image/jpeg")], /) -> dict[str, Any]:
        return {"answer": self._engine([image])[0]}
