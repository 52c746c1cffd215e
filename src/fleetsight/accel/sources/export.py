"""From a torch module to a portable graph: traced with fixed sizes, so that every shape inside is a constant.

Shapes that are computed inside a graph cost time on each run and keep quantisation from seeing what belongs together; a
network traced at the size it is used needs none. With an open batch only axis 0 stays open.
"""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fleetsight.accel.sources.fold import folded
from fleetsight.accel.sources.source import SourceError

OPSET = 17
"""Read by every target; the first with LayerNormalization, later than GridSample (16)."""


def onnx_of(
    module: nn.Module, example: Sequence[NDArray[Any]], *, outputs: Sequence[str], batch: int | None, name: str
) -> bytes:
    """Export a module.

    Args:
        module: in eval mode; takes the example's tensors by position and answers one tensor or a tuple of them.
        example: inputs of batch 1.
        outputs: names of the outputs.
        batch: size of axis 0 of every input and output; None leaves it open.
        name: of the model, for messages.

    Returns:
        the ONNX file.

    Raises:
        SourceError: the module cannot be traced, or uses an operator that ONNX lacks.
    """
    inputs = [f"input_{index}" for index in range(len(example))]
    repeated = tuple(torch.from_numpy(np.repeat(array, batch or 1, axis=0)) for array in example)
    axes = {port: {0: "batch"} for port in (*inputs, *outputs)} if batch is None else None
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The trace-based exporter is announced as legacy; the newer one needs onnxscript and folds less.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                repeated,
                buffer,  # type: ignore[arg-type]
                opset_version=OPSET,
                input_names=inputs,
                output_names=list(outputs),
                dynamic_axes=axes,
                do_constant_folding=True,
                dynamo=False,
            )
    # The exporter raises whatever the module's own code or its C++ half raises: a named boundary.
    except Exception as error:
        raise SourceError(
            f"{name!r} cannot be exported to ONNX: {_first_line(error)}",
            hint="torch.onnx.export traces one run: control flow on values and exotic operators do not pass",
        ) from error
    return folded(buffer.getvalue())


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
