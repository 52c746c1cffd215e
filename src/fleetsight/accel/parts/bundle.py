"""A compiled pipeline in one artifact, opened without torch.

    compiled/pipeline.json    recipe, settings, and which part lies where
    compiled/PART/            the target's files of each part

It is an artifact like any other: one signature over everything, checked before anything is loaded.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fleetsight.accel.artifacts.artifact import COMPILED_FOLDER, Artifact
from fleetsight.accel.parts.part import PartError, Settings
from fleetsight.accel.parts.recipes import check_name, make_pipeline
from fleetsight.accel.session import Session

PIPELINE_FILE = "pipeline.json"

FORMAT = 1

PIPELINE_BYTES_MAX = 64 * 1024**2
"""Largest `pipeline.json`: a tokenizer of 30,000 words is under 1 MB of it."""


@dataclass(frozen=True)
class PipelineFile:
    """What `pipeline.json` says.

    Attributes:
        recipe: name of the recipe.
        parts: names of the parts, each a folder.
        settings: what the pipeline must know.
    """

    recipe: str
    parts: tuple[str, ...]
    settings: Settings

    def save(self, folder: Path) -> None:
        """Write it.

        Args:
            folder: the artifact's compiled files.
        """
        values = {"format": FORMAT, "recipe": self.recipe, "parts": list(self.parts), "settings": dict(self.settings)}
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
        (folder / PIPELINE_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "PipelineFile":
        """Read it back.

        Args:
            folder: the artifact's compiled files.

        Returns:
            what was saved.

        Raises:
            PartError: it is missing, or of another form.
        """
        path = folder / PIPELINE_FILE
        if not path.is_file():
            raise PartError(
                f"{folder} holds no pipeline", hint="compile one: fleetsight compile FOLDER --recipe blip-vqa"
            )
        if path.stat().st_size > PIPELINE_BYTES_MAX:
            raise PartError(f"{path} is larger than {PIPELINE_BYTES_MAX} bytes")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["format"] != FORMAT or not isinstance(values["settings"], dict):
                raise PartError(f"{path} has another form", hint="compile the model again")
            parts = tuple(str(name) for name in values["parts"])
            return cls(recipe=check_name(str(values["recipe"])), parts=parts, settings=values["settings"])
        except (ValueError, KeyError, TypeError) as error:
            raise PartError(f"{path} cannot be read: {error}", hint="compile the model again") from error


def is_pipeline(artifact: Artifact) -> bool:
    """Whether an artifact holds a pipeline of several parts."""
    return (artifact.folder / COMPILED_FOLDER / PIPELINE_FILE).is_file()


class CompiledPipeline:
    """A pipeline whose parts are loaded.

    Args:
        artifact: checked.
        threads: most threads of each part; None: all.
        streams: requests at a time in `map`; None: what the target thinks best.

    Attributes:
        pipeline: a `VqaPipeline` or a `SamPipeline`.
        sessions: the loaded parts by name.

    Raises:
        PartError: the artifact holds no pipeline.
        TargetError: the target cannot load a part.
    """

    def __init__(self, artifact: Artifact, *, threads: int | None = None, streams: int | None = None) -> None:
        folder = artifact.folder / COMPILED_FOLDER
        plan = PipelineFile.load(folder)
        target: Any = import_module(f"fleetsight.accel.targets.{artifact.manifest.target}")
        self.sessions: dict[str, Session] = {}
        with ExitStack() as undo:
            for name in plan.parts:
                session: Session = target.load(folder / name, streams=streams, threads=threads)
                undo.callback(session.close)
                self.sessions[name] = session
            self.pipeline: Any = make_pipeline(plan.recipe, self.sessions, settings=plan.settings)
            undo.pop_all()

    def close(self) -> None:
        """Give the memory of every part back."""
        for session in self.sessions.values():
            session.close()
