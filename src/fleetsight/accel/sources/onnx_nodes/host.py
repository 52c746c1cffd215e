"""The part of an ONNX graph that only computes sizes, on the host.

Exports compute shapes with the same operators as pictures: Shape, Gather, Concat, Mul. Doing that on plain numbers keeps a
graph's sizes fixed for compilers that need it, and keeps symbolic sizes (an open batch under `torch.export`) symbolic.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Host: TypeAlias = NDArray[Any]
"""Whole numbers or floats; an object array where a symbolic size is among them."""

Attributes: TypeAlias = Mapping[str, Any]

HOST_SIZE_MAX = 64
"""Most numbers of a constant that may be a shape; shapes have at most a handful, weights are larger."""

_DTYPES: dict[int, type] = {1: np.float32, 6: np.int64, 7: np.int64, 9: np.bool_, 11: np.float64}
"""`TensorProto.DataType`; 32-bit whole numbers are as well counted in 64."""


def compute_on_host(operator: str, attributes: Attributes, *, inputs: list[Host | None]) -> Host | None:
    """Compute one node on plain numbers.

    Args:
        operator: ONNX's name.
        attributes: those of the node.
        inputs: all of its inputs; None for one that is left out.

    Returns:
        the answer, or None where this operator is not done here.
    """
    function = _OPERATORS.get(operator)
    return None if function is None else function(attributes, *inputs)


def as_host(numbers: list[Any]) -> Host:
    """Plain numbers as an array.

    Args:
        numbers: whole numbers, symbolic ones among them.

    Returns:
        int64, or an object array.
    """
    plain = all(isinstance(number, int) for number in numbers)
    return np.array(numbers, dtype=np.int64 if plain else object)


def _cast(a: Attributes, x: Host) -> Host | None:
    kind = _DTYPES.get(int(a["to"]))
    if kind is None or (x.dtype == object and kind is not np.int64):
        return None
    return x if x.dtype == object else x.astype(kind)


def _gather(a: Attributes, x: Host, indices: Host) -> Host:
    return np.asarray(np.take(x, indices.astype(np.int64), axis=int(a.get("axis", 0))))


def _slice(a: Attributes, x: Host, *bounds: Host | None) -> Host:
    starts, ends, axes, steps = _slice_bounds(a, list(bounds))
    cut: list[slice] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return x[tuple(cut)]


def _slice_bounds(a: Attributes, bounds: list[Host | None]) -> tuple[list[int], list[int], list[int], list[int]]:
    told: list[list[int] | None] = [None if bound is None else [int(n) for n in bound.ravel()] for bound in bounds]
    told += [None] * (4 - len(told))
    starts = told[0] if told[0] is not None else list(a["starts"])
    ends = told[1] if told[1] is not None else list(a["ends"])
    axes = told[2] if told[2] is not None else list(a.get("axes", range(len(starts))))
    steps = told[3] if told[3] is not None else [1] * len(starts)
    return starts, ends, axes, steps


def _squeeze(a: Attributes, x: Host, axes: Host | None = None) -> Host:
    chosen = a.get("axes") if axes is None else axes.tolist()
    return np.squeeze(x, axis=None if chosen is None else tuple(chosen))


def _unsqueeze(a: Attributes, x: Host, axes: Host | None = None) -> Host:
    return np.expand_dims(x, axis=tuple(a["axes"] if axes is None else axes.tolist()))


def _divide(_: Attributes, x: Host, y: Host) -> Host:
    # ONNX divides whole numbers towards zero; sizes are not negative, so down is the same.
    whole = x.dtype.kind in "iO" and y.dtype.kind in "iO"
    return np.asarray(x // y if whole else x / y)


def _reduce(function: Callable[..., Any]) -> Callable[..., Host]:
    def reduce(a: Attributes, x: Host, axes: Host | None = None) -> Host:
        chosen = a.get("axes") if axes is None else axes.tolist()
        axis = None if chosen is None else tuple(chosen)
        return np.asarray(function(x, axis=axis, keepdims=bool(a.get("keepdims", 1))))

    return reduce


def _reshape(_: Attributes, x: Host, shape: Host) -> Host:
    return x.reshape([int(side) for side in shape])


def _where(_: Attributes, chosen: Host, x: Host, y: Host) -> Host:
    return np.where(chosen.astype(np.bool_), x, y)


def _constant_of_shape(a: Attributes, shape: Host) -> Host | None:
    if shape.dtype == object or int(np.prod(shape)) > HOST_SIZE_MAX:
        return None
    value = a.get("value", np.zeros(1, dtype=np.float32))
    return np.full([int(side) for side in shape], value.ravel()[0])


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Host]:
    return lambda _, x, y: np.asarray(function(x, y))


_OPERATORS: dict[str, Callable[..., Host | None]] = {
    "Add": _binary(lambda x, y: x + y),
    "Cast": _cast,
    "Ceil": lambda _, x: np.ceil(x),
    "Concat": lambda a, *parts: np.concatenate([np.atleast_1d(part) for part in parts], axis=int(a["axis"])),
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Equal": _binary(lambda x, y: x == y),
    "Floor": lambda _, x: np.floor(x),
    "Gather": _gather,
    "Greater": _binary(lambda x, y: x > y),
    "Identity": lambda _, x: x,
    "Less": _binary(lambda x, y: x < y),
    "Max": _binary(np.maximum),
    "Min": _binary(np.minimum),
    "Mod": _binary(lambda x, y: x % y),
    "Mul": _binary(lambda x, y: x * y),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _binary(lambda x, y: x - y),
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
