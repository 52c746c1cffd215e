"""Close the open sizes of an ONNX file and fold what follows from them into constants."""

import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from fleetsight.accel.sources.source import SourceError

_LEFT_OUT = ["MatMulAddFusion"]
"""Its two reshapes around each linear layer of a transformer help ONNX Runtime alone."""

FOLD_BYTES_MAX = 1024**3
"""Larger files are left as they are: folding holds them in memory three times."""


def closed(content: bytes, shapes: Mapping[str, tuple[int | None, ...]]) -> bytes | None:
    """Close open sizes, and fold.

    Args:
        content: the whole file.
        shapes: shape of each input by name; None stays open.

    Returns:
        the changed file; None when no size was open.

    Raises:
        SourceError: the `onnx` package is missing, or the network does not work at these sizes.
    """
    try:
        onnx: Any = import_module("onnx")
    except ImportError as error:
        raise SourceError(
            f"open sizes of an ONNX file cannot be closed: {error}", hint="pip install 'fleetsight[compile]'"
        ) from error
    model = onnx.load_from_string(content)
    if not _close(model.graph, shapes):
        return None
    try:
        return folded(model.SerializeToString())
    except SourceError as error:
        raise SourceError(
            f"the network does not work at {dict(shapes)}: {error.message}", hint="another size: --size WxH"
        ) from error


def folded(content: bytes) -> bytes:
    """Fold what does not depend on the inputs into constants.

    ONNX Runtime's basic level does it, and drops what does nothing; what it writes is plain ONNX again.

    Args:
        content: the whole file.

    Returns:
        the folded file; the same one where it is too large.

    Raises:
        SourceError: ONNX Runtime cannot read it.
    """
    if len(content) > FOLD_BYTES_MAX:
        return content
    runtime: Any = import_module("onnxruntime")
    with tempfile.TemporaryDirectory(prefix="fleetsight-fold-") as folder:
        target = Path(folder) / "folded.onnx"
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        try:
            runtime.InferenceSession(
                content, sess_options=options, providers=["CPUExecutionProvider"], disabled_optimizers=_LEFT_OUT
            )
        # ONNX Runtime's own errors have RuntimeError or Exception as their only common parent: a named boundary.
        except Exception as error:
            raise SourceError(
                f"ONNX Runtime cannot fold it: {str(error).strip().splitlines()[0][:300]}",
                hint="export it again with a lower opset, such as 17",
            ) from error
        return _without_unused_domains(target.read_bytes())


def _without_unused_domains(content: bytes) -> bytes:
    """ONNX Runtime names every domain it knows; other readers stop at those they do not."""
    onnx: Any = import_module("onnx")
    model = onnx.load_from_string(content)
    used = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return bytes(model.SerializeToString())


def _close(graph: Any, shapes: Mapping[str, tuple[int | None, ...]]) -> bool:
    """Write sizes into the graph's inputs; whether any changed. What was noted on sizes further on is dropped."""
    changed = False
    for port in graph.input:
        sides = port.type.tensor_type.shape.dim
        for side, wanted in zip(sides, shapes.get(port.name, ()), strict=False):
            if wanted is not None and side.dim_value != wanted:
                side.dim_value = wanted
                changed = True
    if changed:
        del graph.value_info[:]
        for port in graph.output:
            for side in port.type.tensor_type.shape.dim:
                if side.dim_param:
                    side.Clear()
    return changed
