"""One computation in portable form: ONNX bytes, and what goes in and comes out.

A graph may have several inputs of several element types; where axis 0 of an input is open, it is the batch. Everything
that must be known before a run time sees the bytes is checked in `Graph.from_onnx`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike

from fleetsight.accel.onnx_file import Port, looks_pickled, read_facts
from fleetsight.accel.wire import OnnxError

Element: TypeAlias = Literal["f32", "f16", "i64", "i32", "u8", "bool"]
ELEMENTS: tuple[str, ...] = get_args(Element)

GRAPH_BYTES_MAX = 2 * 1024**3
"""Largest graph: protobuf, ONNX's container, ends there."""

_ELEMENT_OF_ONNX: dict[int, Element] = {1: "f32", 10: "f16", 7: "i64", 6: "i32", 2: "u8", 9: "bool"}
"""`TensorProto.DataType` of onnx/onnx.proto3."""

_DTYPES: dict[str, DTypeLike] = {
    "f32": np.float32,
    "f16": np.float16,
    "i64": np.int64,
    "i32": np.int32,
    "u8": np.uint8,
    "bool": np.bool_,
}


@dataclass(frozen=True)
class TensorSpec:
    """What one input or output is.

    Attributes:
        name: its name in the graph.
        element: element type inside the graph.
        shape: its dimensions; None where the size is open.
    """

    name: str
    element: Element
    shape: tuple[int | None, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the numpy array that carries it."""
        return np.dtype(_DTYPES[self.element])

    @property
    def answer_dtype(self) -> np.dtype[Any]:
        """Element type in which a session hands it out: float32 for every kind of float."""
        return np.dtype(np.float32) if self.element in {"f32", "f16"} else self.dtype

    def at_batch(self, batch: int | None) -> "TensorSpec":
        """The same with an open batch closed.

        Args:
            batch: size of axis 0; None leaves it open.

        Returns:
            this, or a copy with axis 0 set where it was open.
        """
        if batch is None or not self.has_open_batch:
            return self
        return replace(self, shape=(batch, *self.shape[1:]))

    @property
    def has_open_batch(self) -> bool:
        """Whether axis 0 is open."""
        return bool(self.shape) and self.shape[0] is None

    def __str__(self) -> str:
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.dtype} ({sides}{',' if len(self.shape) == 1 else ''})"


@dataclass(frozen=True)
class Graph:
    """A checked computation.

    Attributes:
        name: name of the model or part.
        onnx: the whole ONNX file.
        inputs: what it takes, in order.
        outputs: what it answers, in order; an empty shape may also mean that the file does not tell.
        licence: licence of the weights.
        lineage: where the weights come from.
    """

    name: str
    onnx: bytes = field(repr=False)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    licence: str
    lineage: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """Digest of the ONNX bytes, lower-case hex."""
        return hashlib.sha256(self.onnx).hexdigest()

    @property
    def has_open_batch(self) -> bool:
        """Whether any input leaves axis 0 open."""
        return any(spec.has_open_batch for spec in self.inputs)

    def at_batch(self, batch: int | None) -> "Graph":
        """The same graph for one size of batch; the bytes stay as they are.

        Args:
            batch: size of axis 0, >= 1; None leaves it open. 1, the default everywhere, also takes a graph whose batch is
                fixed at another size.

        Returns:
            a graph whose specs say the batch.

        Raises:
            OnnxError: the graph's batch is fixed at another size, or fixed where an open one is asked for.
        """
        if not self.has_open_batch:
            fixed = self.inputs[0].shape[0] if self.inputs and self.inputs[0].shape else None
            if batch is None or batch not in {1, fixed}:
                wanted = "open" if batch is None else str(batch)
                raise OnnxError(
                    f"{self.name!r} has its batch fixed at {fixed}, {wanted} is asked for",
                    hint="export it with an open batch, or ask for the batch it has",
                )
            return self
        if batch is not None and batch < 1:
            raise OnnxError(f"batch must be >= 1, got {batch}", hint="leave the batch open with batch=None")
        return replace(
            self,
            inputs=tuple(spec.at_batch(batch) for spec in self.inputs),
            outputs=tuple(spec.at_batch(batch) for spec in self.outputs),
        )

    @classmethod
    def from_onnx(cls, name: str, onnx: bytes, *, licence: str, lineage: Mapping[str, Any] | None = None) -> "Graph":
        """Check an ONNX file.

        Args:
            name: name of the model or part.
            onnx: the whole file.
            licence: licence of the weights.
            lineage: where the weights come from.

        Returns:
            the graph.

        Raises:
            OnnxError: not ONNX, a pickle, larger than 2 GiB, weights outside the file, or an element type that no target
                takes.
        """
        if len(onnx) > GRAPH_BYTES_MAX:
            raise OnnxError(f"{name!r} is {len(onnx)} bytes, ONNX files end at {GRAPH_BYTES_MAX}")
        if looks_pickled(onnx):
            raise OnnxError(
                f"{name!r} is a pickle or an archive, which can run code when it is loaded: refused",
                hint="export the model to ONNX where you trust its author: torch.onnx.export(...)",
            )
        facts = read_facts(onnx)
        if facts.external:
            raise OnnxError(
                f"{name!r} keeps weights outside the ONNX file: {', '.join(facts.external[:3])}",
                hint="save it as one file: onnx.save(model, path, save_as_external_data=False)",
            )
        return cls(
            name=name,
            onnx=onnx,
            inputs=tuple(_spec(port) for port in facts.inputs),
            outputs=tuple(_spec(port) for port in facts.outputs),
            licence=licence,
            lineage=dict(lineage or {}),
        )


def _spec(port: Port) -> TensorSpec:
    if port.element not in _ELEMENT_OF_ONNX:
        raise OnnxError(
            f"{port.name!r} has ONNX element type {port.element}, targets take {', '.join(ELEMENTS)}",
            hint="cast it inside the model before export",
        )
    return TensorSpec(name=port.name, element=_ELEMENT_OF_ONNX[port.element], shape=port.shape)
