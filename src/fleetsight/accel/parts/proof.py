"""What a part does on torch, eager, in float32, and how far a compiled part is from it.

Figures of every output, over everything that was compared:
    cosine      of the two answers as one vector; 1 is the same direction
    relative    largest difference over the largest value of the original
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fleetsight.accel.graph import Graph
from fleetsight.accel.parts.export import EagerRunner, part_graph, part_onnx
from fleetsight.accel.parts.part import Examples, Part, PartError, Recipe, Runner, run_rows
from fleetsight.accel.session import Arrays

KEEP = 24
"""Calls of each part that are remembered; each is at least one sample for calibration."""

PROVED = 4
"""Calls of each part that are compared."""

TIMED = 9
"""Runs of which the median is taken."""

COSINE_MIN: Mapping[str, float] = {"f32": 0.99999, "bf16": 0.995, "f16": 0.999, "int8": 0.97}
"""Least cosine of an output. Loose but for f32: what counts are the answers of the whole, which have gates of their own;
this one catches what is broken (measured: docs/adr/0020-parts.md)."""


@dataclass
class PartProof:
    """A part, its eager module and what it was fed.

    Attributes:
        part: the part.
        module: wrapped, eval mode.
        fed: inputs of the calls that were remembered.
    """

    part: Part
    module: nn.Module
    fed: list[Arrays]
    _graph: Graph | None = field(default=None, repr=False)

    def graph(self, *, licence: str, lineage: Mapping[str, Any]) -> Graph:
        """The part as ONNX; made once.

        Args:
            licence: of the weights.
            lineage: where the weights come from.

        Returns:
            the graph.
        """
        if self._graph is None:
            onnx = part_onnx(self.part, self.module, example=self.samples(1)[0])
            self._graph = part_graph(self.part, onnx, licence=licence, lineage=lineage)
        return self._graph

    def samples(self, batch: int | None) -> tuple[Arrays, ...]:
        """What was fed, as inputs of one size.

        Args:
            batch: rows of each sample; None: one.

        Returns:
            a sample for each row of each call, repeated to `batch`.
        """
        count, rows = batch or 1, len(self.part.rows)
        return tuple(
            tuple(np.repeat(array[row : row + 1], count, axis=0) for array in call[:rows]) + call[rows:]
            for call in self.fed
            for row in range(len(call[0]))
        )

    def check(self, runner: Runner, precision: str) -> dict[str, Any]:
        """Compare a compiled part with the original.

        Args:
            runner: the compiled part.
            precision: decides the gate.

        Returns:
            the figures of each output.

        Raises:
            PartError: an output is not finite or too far away.
        """
        eager = EagerRunner(self.module)
        rows = len(self.part.rows)
        pairs = [(eager.run(*call), run_rows(runner, call[:rows], whole=call[rows:])) for call in self.fed[:PROVED]]
        figures = {
            name: compare_outputs([(a[index], b[index]) for a, b in pairs])
            for index, name in enumerate(self.part.outputs)
        }
        least = COSINE_MIN[precision]
        for name, figure in figures.items():
            if not figure["cosine"] >= least:
                raise PartError(
                    f"part {self.part.name!r} in {precision}: output {name!r} has cosine {figure['cosine']:.5f} to float32 "
                    f"eager, {least} is needed (largest relative error {figure['relative']:.3g})",
                    hint=f"--part-precision {self.part.name}=f32",
                )
        return {"compared": len(pairs), "outputs": figures}


def record_parts(
    recipe: Recipe,
    model: nn.Module,
    *,
    settings: Mapping[str, Any],
    sizes: Mapping[str, tuple[int, ...]],
    examples: Examples,
) -> tuple[PartProof, ...]:
    """Wrap every part and ask the eager pipeline, so that each part is fed what it will be fed in use.

    Args:
        recipe: the model's.
        model: the original.
        settings: the pipeline's.
        sizes: of the recipe.
        examples: what is asked.

    Returns:
        the parts in the order of use.

    Raises:
        PartError: the examples do not reach some part.
    """
    parts = recipe.parts(model, sizes)
    runners = {part.name: EagerRunner(part.wrap(model).eval(), keep=KEEP) for part in parts}
    recipe.ask(recipe.pipeline(runners, settings), examples)
    idle = [part.name for part in parts if not runners[part.name].fed]
    if idle:
        raise PartError(
            f"the examples never reach {', '.join(idle)}",
            hint="give images and questions, one for each bucket of sizes",
        )
    return tuple(PartProof(part, runners[part.name].module, runners[part.name].fed) for part in parts)


def compare_outputs(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> dict[str, float]:
    """Figures of one output.

    Args:
        pairs: the original's answer and the compiled one's.

    Returns:
        "cosine", "relative" and "max_abs"; -1 and infinities where an answer is not finite or has another shape.
    """
    one = np.concatenate([np.ravel(a).astype(np.float64) for a, _ in pairs])
    other = np.concatenate([np.ravel(b).astype(np.float64) for _, b in pairs])
    if one.shape != other.shape or not np.isfinite(other).all():
        return {"cosine": -1.0, "relative": float("inf"), "max_abs": float("inf")}
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    worst = float(np.abs(one - other).max())
    scale = float(np.abs(one).max())
    return {
        "cosine": float(one @ other) / length if length else float(worst == 0.0),
        "relative": worst / scale if scale else worst,
        "max_abs": worst,
    }


def seconds_per_run(runner: Runner, proof: PartProof) -> float:
    """Time a compiled part on what it is fed in use.

    Args:
        runner: the compiled part.
        proof: gives the inputs.

    Returns:
        median over `TIMED` runs.
    """
    call, rows = proof.fed[0], len(proof.part.rows)
    run_rows(runner, call[:rows], whole=call[rows:])
    taken = []
    for _ in range(TIMED):
        began = time.perf_counter()
        run_rows(runner, call[:rows], whole=call[rows:])
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
