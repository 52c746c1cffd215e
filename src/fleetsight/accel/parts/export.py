"""From a part's torch module to its portable graph, and the same module as an eager reference."""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fleetsight.accel.graph import Graph
from fleetsight.accel.parts.part import Part, PartError
from fleetsight.accel.session import Arrays

OPSET = 17
"""Read by every target of accel, and the first with LayerNormalization as one node."""


def part_onnx(part: Part, module: nn.Module, *, example: Arrays) -> bytes:
    """Write a part as one ONNX file.

    Args:
        part: names of its inputs and outputs, and whether the batch stays open.
        module: the wrapped part in eval mode.
        example: one array for each input; shapes that are not open become those of the file.

    Returns:
        the file.

    Raises:
        PartError: the exporter dropped an input or cannot write an operator.
    """
    open_names = (*part.rows, *part.outputs) if part.has_open_batch else ()
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The trace-based exporter is announced as legacy; the newer one needs onnxscript and folds less. What else it
        # warns of are the constants that a fixed shape makes.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module,
                as_tensors(example),
                buffer,  # type: ignore[arg-type]
                opset_version=OPSET,
                input_names=list(part.inputs),
                output_names=list(part.outputs),
                dynamic_axes={name: {0: "batch"} for name in open_names},
                dynamo=False,
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise PartError(
                f"part {part.name!r} cannot be written as ONNX: {first[:300]}",
                hint="a part of more than 2 GiB, or an operator without an ONNX form: split the part",
            ) from error
    return buffer.getvalue()


def part_graph(part: Part, onnx: bytes, *, licence: str, lineage: Mapping[str, Any]) -> Graph:
    """Check a part's ONNX file against the part.

    Args:
        part: what it should be.
        onnx: the file.
        licence: licence of the weights.
        lineage: where the weights come from.

    Returns:
        the graph.

    Raises:
        PartError: its inputs are others than the part's.
        OnnxError: it is not an ONNX file that targets take.
    """
    graph = Graph.from_onnx(part.name, onnx, licence=licence, lineage=lineage)
    found = tuple(spec.name for spec in graph.inputs)
    if found != part.inputs:
        raise PartError(
            f"part {part.name!r} takes {', '.join(part.inputs)}, its graph {', '.join(found)}",
            hint="an input that the module does not use is dropped on export: this version of transformers ignores it",
        )
    return graph


def as_tensors(arrays: Sequence[NDArray[Any]]) -> tuple[torch.Tensor, ...]:
    """Arrays as tensors over the same memory.

    Args:
        arrays: numpy arrays.

    Returns:
        one tensor for each.
    """
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)


class EagerRunner:
    """A part on torch, eager, float32: the reference. It remembers what it was fed.

    Args:
        module: the wrapped part in eval mode.
        keep: how many calls to remember; the first ones are kept.

    Attributes:
        module: as given.
        fed: inputs of the calls that were remembered.
    """

    def __init__(self, module: nn.Module, *, keep: int = 0) -> None:
        self.fed: list[Arrays] = []
        self.module = module
        self._keep = keep

    def run(self, *inputs: NDArray[Any]) -> Arrays:
        """Run the module.

        Args:
            *inputs: one array for each input.

        Returns:
            its outputs.
        """
        if len(self.fed) < self._keep:
            # Copies: the pipeline overwrites its cache.
            self.fed.append(tuple(array.copy() for array in inputs))
        with torch.inference_mode():
            answer = self.module(*as_tensors(inputs))
        outputs = answer if isinstance(answer, tuple) else (answer,)
        return tuple(output.numpy() for output in outputs)
