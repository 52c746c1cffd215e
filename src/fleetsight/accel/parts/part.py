"""What a recipe says about a model of several parts.

A recipe is a few lines: which parts the model has, which module of the original each of them stands for, and how the
compiled parts are asked. The flow of compiling (`flow`) and the folder that the service loads (`bundle`) know no model by
name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.session import Arrays
from fleetsight.errors import Error
from fleetsight.vision.image import Image

if TYPE_CHECKING:
    from torch import nn

Settings: TypeAlias = Mapping[str, Any]
"""What the run-time pipeline must know of a model beside its parts; plain JSON values."""


class PartError(Error):
    """A model of several parts cannot be read, compiled or asked."""

    code = "parts"


class Runner(Protocol):
    """What a pipeline needs of a compiled part: any `Session` is one."""

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        """Run the part once; see `Session.run`."""
        ...


Runners: TypeAlias = Mapping[str, Runner]
"""Name of the part -> what runs it."""


@dataclass(frozen=True)
class Part:
    """One part of a model.

    Attributes:
        name: lower case and underscores; also the folder of its artifact.
        wrap: makes the light module around the original one; it shapes inputs and outputs and owns no weights.
        rows: names of the inputs whose axis 0 is the batch; they stand before the others.
        whole: names of the inputs that are shared by all rows of a batch.
        outputs: names of the outputs.
        has_open_batch: leave axis 0 of `rows` and of the outputs open; False where the part has one size.
    """

    name: str
    wrap: "Callable[[nn.Module], nn.Module]" = field(repr=False)
    rows: tuple[str, ...]
    whole: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    has_open_batch: bool = True

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs in order."""
        return self.rows + self.whole


@dataclass(frozen=True)
class Examples:
    """Real inputs on which a compiled model is compared with the original and calibrated.

    Attributes:
        images: each (h, w, 3) uint8 RGB.
        questions: asked of every image; used by recipes that answer questions.
        answers: closed answers that are compared for every question.
    """

    images: Sequence[Image]
    questions: Sequence[str] = ()
    answers: Sequence[str] = ()


@dataclass(frozen=True)
class Agreement:
    """How far the answers of the compiled pipeline are those of the original.

    Attributes:
        passed: whether every gate of the recipe holds.
        asked: how many answers were compared.
        same: how many of them are the same.
        distinct: how many different answers the original gave; with 1, agreement says nothing.
        score_shift: largest difference of a score, in the recipe's own unit.
        reasons: one sentence for each gate that does not hold.
    """

    passed: bool
    asked: int
    same: int
    distinct: int
    score_shift: float
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {
            "passed": self.passed,
            "asked": self.asked,
            "same": self.same,
            "distinct": self.distinct,
            "score_shift": self.score_shift,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True)
class Recipe:
    """A kind of model of several parts.

    Attributes:
        name: as on the command line.
        architecture: class of transformers that reads the weights.
        parts: from the original model and its sizes to its parts.
        settings: (folder, model, sizes=) to what the pipeline must know.
        pipeline: from runners and settings to the pipeline that users ask; importing it must not import torch.
        ask: exercise a pipeline on examples, so that every part is fed what it will be fed in use.
        compare: (pipeline, model, examples=) to how far the answers of a pipeline are the original's.
        stand_ins: (model, runners, settings=) to an attribute of the original -> a module that takes its place.
    """

    name: str
    architecture: str
    parts: "Callable[[nn.Module, Mapping[str, tuple[int, ...]]], tuple[Part, ...]]" = field(repr=False)
    settings: Callable[..., dict[str, Any]] = field(repr=False)
    pipeline: Callable[[Runners, Settings], Any] = field(repr=False)
    ask: Callable[[Any, Examples], None] = field(repr=False)
    compare: Callable[..., Agreement] = field(repr=False)
    stand_ins: "Callable[..., Mapping[str, nn.Module]]" = field(repr=False)


def run_rows(runner: Runner, rows: Arrays, *, whole: Arrays = ()) -> Arrays:
    """Run a part on any number of rows.

    A part with an open batch takes them at once. A part compiled for a fixed batch takes them in chunks; the last one is
    filled up with copies of its first row, whose answers are dropped.

    Args:
        runner: the compiled part.
        rows: inputs whose axis 0 is the batch, all of n >= 1 rows.
        whole: inputs shared by all rows.

    Returns:
        its outputs, n rows each.
    """
    count = len(rows[0])
    batch = _fixed_batch(runner)
    if batch is None or batch == count:
        return runner.run(*rows, *whole)
    answers: list[Arrays] = []
    for start in range(0, count, batch):
        chunk = tuple(array[start : start + batch] for array in rows)
        real = len(chunk[0])
        if real < batch:
            chunk = tuple(_filled(array, batch) for array in chunk)
        answers.append(tuple(output[:real] for output in runner.run(*chunk, *whole)))
    return tuple(np.concatenate(parts) for parts in zip(*answers, strict=True))


def _fixed_batch(runner: Runner) -> int | None:
    specs = getattr(runner, "inputs", ())
    return specs[0].shape[0] if specs and specs[0].shape else None


def _filled(array: NDArray[Any], batch: int) -> NDArray[Any]:
    return np.concatenate([array, np.repeat(array[:1], batch - len(array), axis=0)])
