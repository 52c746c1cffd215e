"""The float32 model run as it was written: what every compiled one is compared with."""

from collections.abc import Sequence

import numpy as np
import torch

from fleetsight.accel.session import Arrays
from fleetsight.accel.sources.source import Source, SourceError


def eager_answers(source: Source, inputs: Sequence[Arrays]) -> list[Arrays]:
    """Run a torch module.

    Args:
        source: a model with a module.
        inputs: of batch 1.

    Returns:
        the outputs for each input, floats as float32.

    Raises:
        SourceError: the source has no module.
    """
    if source.module is None:
        raise SourceError(f"{source.name!r} has no torch module")
    module, answers = source.module(), list[Arrays]()
    with torch.inference_mode():
        for ports in inputs:
            found = module(*(torch.from_numpy(np.ascontiguousarray(port)) for port in ports))
            outputs = found if isinstance(found, list | tuple) else (found,)
            answers.append(tuple(_plain(output) for output in outputs))
    return answers


def _plain(output: torch.Tensor) -> np.ndarray:
    array = output.detach().cpu()
    return np.asarray((array.float() if array.is_floating_point() else array).numpy())
