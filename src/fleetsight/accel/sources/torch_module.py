"""A torch module of the user's own code: `package.module:factory`.

The factory takes nothing and answers (module, example inputs), or a module whose attribute `example_inputs` holds them.
Importing it runs the user's code, which is why nothing but this spelling gets here. Its digest covers the weights, the
text of the network and the files its classes are written in.
"""

import hashlib
import importlib
import inspect
import json
import re
from functools import cache
from typing import Any

import numpy as np

from fleetsight.accel.graph import Graph
from fleetsight.accel.licence import UNSTATED
from fleetsight.accel.session import Arrays
from fleetsight.accel.sources.source import ModelKind, Source, SourceError

PATH = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")

EXPORT_FORMAT = 1
"""Raised when what is exported changes; part of the digest."""


def is_import_path(text: str) -> bool:
    """Whether a text is spelled `package.module:factory`."""
    return PATH.fullmatch(text) is not None


def torch_module_source(path: str, *, batch: int | None = 1, licence: str = "") -> Source:
    """Make a source of a module by import path.

    Args:
        path: `package.module:factory`.
        batch: size of axis 0 of the graph; None leaves it open.
        licence: of the weights.

    Returns:
        the source.

    Raises:
        SourceError: it cannot be imported, fails, or answers something else than a module with example inputs.
    """
    module, example = _call(path)
    name = re.sub(r"[^a-z0-9._-]", "-", path.rsplit(".", 1)[-1].lower()).lstrip("._-")[:64] or "module"
    stated = licence or UNSTATED
    lineage = {"source": f"torch module {path}"}

    @cache
    def make_graph() -> Graph:
        from fleetsight.accel.sources.export import onnx_of

        outputs = [f"output_{index}" for index in range(_count_outputs(module, example))]
        onnx = onnx_of(module, example, outputs=outputs, batch=batch, name=name)
        return Graph.from_onnx(name, onnx, licence=stated, lineage=lineage)

    return Source(
        name=name,
        graph=make_graph,
        module=lambda: module,
        example=example,
        weights_sha256=_digest(module, example, batch),
        licence=stated,
        lineage=lineage,
        model_kind=_kind(module),
    )


def _call(path: str) -> tuple[Any, Arrays]:
    import torch

    match = PATH.fullmatch(path)
    if match is None:
        raise SourceError(f"{path!r} is no import path", hint="spell it package.module:factory")
    try:
        made = getattr(importlib.import_module(match[1]), match[2])()
    # The user's own code may raise anything: a named boundary.
    except Exception as error:
        raise SourceError(
            f"{path} failed: {type(error).__name__}: {error}",
            hint="the module must be importable from here (PYTHONPATH) and the factory take no arguments",
        ) from error
    module, given = (
        made if isinstance(made, tuple) and len(made) == 2 else (made, getattr(made, "example_inputs", None))
    )
    if isinstance(given, torch.Tensor):
        given = (given,)
    if not isinstance(module, torch.nn.Module) or not given or not all(isinstance(x, torch.Tensor) for x in given):
        raise SourceError(
            f"{path} answers {type(made).__name__}, expected (module, example inputs)",
            hint="return (module.eval(), (torch.rand(1, 3, 224, 224),)) or set module.example_inputs",
        )
    odd = [tuple(x.shape) for x in given if x.ndim < 1 or x.shape[0] != 1]
    if odd:
        raise SourceError(f"example inputs of {path} have shapes {odd}", hint="give a batch of 1 on axis 0")
    return module.float().eval(), tuple(x.detach().cpu().numpy() for x in given)


def _count_outputs(module: Any, example: Arrays) -> int:
    import torch

    with torch.no_grad():
        found = module(*(torch.from_numpy(array) for array in example))
    return len(found) if isinstance(found, list | tuple) else 1


def _digest(module: Any, example: Arrays, batch: int | None) -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    files = {inspect.getsourcefile(type(part)) for part in module.modules() if _is_foreign(part)}
    for file in sorted(file for file in files if file):
        with open(file, "rb") as stream:  # noqa: PTH123  # inspect answers text
            digest.update(stream.read())
    ports = [[str(array.dtype), list(array.shape)] for array in example]
    digest.update(json.dumps([EXPORT_FORMAT, str(module), ports, batch, str(torch.__version__)]).encode())
    return digest.hexdigest()


def _is_foreign(part: Any) -> bool:
    return not type(part).__module__.startswith("torch.")


def _kind(module: Any) -> ModelKind:
    names = {type(part).__name__.lower() for part in module.modules()}
    return "transformer" if any("attention" in name for name in names) else "cnn"
