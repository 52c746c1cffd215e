"""ONNX operators in torch, one small function each (onnx.ai/onnx/operators; opset 7 to 21).

Each takes the node's attributes (with "opset" among them) and its inputs. Arguments that say sizes, axes or counts arrive
as lists of whole numbers (`SIZES`), everything else as tensors; an input that is left out is None.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from fleetsight.accel.session import OTHER_TARGETS, UnsupportedError
from fleetsight.accel.sources.onnx_nodes.convolution import CONVOLUTION, resize
from fleetsight.accel.sources.onnx_nodes.host import Attributes

Sizes: TypeAlias = list[int]

DTYPES: dict[int, torch.dtype] = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}
"""`TensorProto.DataType` of onnx/onnx.proto3."""

SIZES: dict[str, frozenset[int]] = {
    "ConstantOfShape": frozenset({0}),
    "CumSum": frozenset({1}),
    "Expand": frozenset({1}),
    "OneHot": frozenset({1}),
    "Pad": frozenset({1, 3}),
    "Range": frozenset({0, 1, 2}),
    "ReduceL2": frozenset({1}),
    "ReduceMax": frozenset({1}),
    "ReduceMean": frozenset({1}),
    "ReduceMin": frozenset({1}),
    "ReduceProd": frozenset({1}),
    "ReduceSum": frozenset({1}),
    "Reshape": frozenset({1}),
    "Resize": frozenset({1, 2, 3}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Split": frozenset({1}),
    "Squeeze": frozenset({1}),
    "Tile": frozenset({1}),
    "TopK": frozenset({1}),
    "Trilu": frozenset({1}),
    "Unsqueeze": frozenset({1}),
    "Upsample": frozenset({1}),
}
"""Positions of the arguments that say sizes, axes or counts."""


def _refuse(operator: str, what: str) -> UnsupportedError:
    return UnsupportedError(f"operator {operator} with {what} is not interpreted", hint=OTHER_TARGETS)


def _gemm(a: Attributes, x: Tensor, y: Tensor, c: Tensor | None = None) -> Tensor:
    left = x.transpose(0, 1) if a.get("transA", 0) else x
    right = y.transpose(0, 1) if a.get("transB", 0) else y
    found = left @ right
    found = found if a.get("alpha", 1.0) == 1.0 else found * a["alpha"]
    if c is None:
        return found
    return found + (c if a.get("beta", 1.0) == 1.0 else c * a["beta"])


def _softmax(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def softmax(a: Attributes, x: Tensor) -> Tensor:
        if a["opset"] >= 13:
            return function(x, dim=a.get("axis", -1))
        axis = a.get("axis", 1) % x.dim()  # until opset 12 everything from the axis on was one row
        return function(x.flatten(axis), dim=-1).reshape(x.shape)

    return softmax


def _reshape(a: Attributes, x: Tensor, shape: Sizes) -> Tensor:
    keep = not a.get("allowzero", 0)
    return x.reshape([x.shape[i] if keep and _is_zero(side) else side for i, side in enumerate(shape)])


def _is_zero(side: Any) -> bool:
    return isinstance(side, int) and side == 0


def _slice(a: Attributes, x: Tensor, *bounds: Sizes | None) -> Tensor:
    told = [*bounds, None, None, None, None]
    starts = a["starts"] if told[0] is None else told[0]
    ends = a["ends"] if told[1] is None else told[1]
    axes = (a.get("axes") or range(len(starts))) if told[2] is None else told[2]
    steps = [1] * len(starts) if told[3] is None else told[3]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step > 0:
            cut: list[slice] = [slice(None)] * x.dim()
            cut[axis] = slice(start, end, step)
            x = x[tuple(cut)]
        else:
            places = range(x.shape[axis])[start : end if end >= -x.shape[axis] else None : step]
            x = x.index_select(axis, torch.tensor(list(places), dtype=torch.int64, device=x.device))
    return x


def _split(a: Attributes, x: Tensor, sizes: Sizes | None = None) -> tuple[Tensor, ...]:
    axis, told = a.get("axis", 0), a.get("split") if sizes is None else sizes
    if told is not None:
        return torch.split(x, list(told), dim=axis)
    parts = a["outputs"]
    return torch.split(x, -(-x.shape[axis] // parts), dim=axis)


def _gather(a: Attributes, x: Tensor, indices: Tensor) -> Tensor:
    axis = a.get("axis", 0) % x.dim()
    rows = torch.where(indices < 0, indices + x.shape[axis], indices)
    found = x.index_select(axis, rows.reshape(-1))
    return found.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


def _gather_nd(a: Attributes, x: Tensor, indices: Tensor) -> Tensor:
    if a.get("batch_dims", 0):
        raise _refuse("GatherND", "batch_dims")
    return x[tuple(indices.unbind(-1))]


def _scatter_nd(a: Attributes, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    if a.get("reduction", "none") != "none":
        raise _refuse("ScatterND", f"reduction {a['reduction']}")
    return x.index_put(tuple(indices.unbind(-1)), updates)


def _squeeze(a: Attributes, x: Tensor, axes: Sizes | None = None) -> Tensor:
    chosen = a.get("axes") if axes is None else axes
    return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))


def _unsqueeze(a: Attributes, x: Tensor, axes: Sizes | None = None) -> Tensor:
    chosen = a["axes"] if axes is None else axes
    rank = x.dim() + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        x = x.unsqueeze(axis)
    return x


def _flatten(a: Attributes, x: Tensor) -> Tensor:
    axis = a.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    if axis == 0:
        return x.reshape(1, -1)
    rows = x.flatten(0, axis - 1)
    return rows.unsqueeze(1) if rows.dim() == 1 else rows.flatten(1)


def _expand(_: Attributes, x: Tensor, shape: Sizes) -> Tensor:
    # ONNX broadcasts both ways: a 1 in the shape keeps the tensor's own side.
    missing = max(0, len(shape) - x.dim())
    own: list[Any] = [1] * missing + list(x.shape)
    asked: list[Any] = [1] * (len(own) - len(shape)) + list(shape)
    return x.expand(
        [mine if isinstance(side, int) and side == 1 else side for mine, side in zip(own, asked, strict=True)]
    )


def _pad(
    a: Attributes, x: Tensor, pads: Sizes | None = None, value: Tensor | None = None, axes: Sizes | None = None
) -> Tensor:
    told = list(a["pads"]) if pads is None else list(pads)
    chosen = list(range(x.dim())) if axes is None else [axis % x.dim() for axis in axes]
    begin = dict(zip(chosen, told[: len(chosen)], strict=True))
    end = dict(zip(chosen, told[len(chosen) :], strict=True))
    flat = [side for axis in reversed(range(x.dim())) for side in (begin.get(axis, 0), end.get(axis, 0))]
    mode = a.get("mode", "constant")
    if mode == "constant":
        return functional.pad(x, flat, value=float(value) if value is not None else a.get("value", 0.0))
    if mode not in {"reflect", "edge"} or any(flat[4:]):
        raise _refuse("Pad", f"mode {mode}")
    return functional.pad(x, flat[:4], mode="replicate" if mode == "edge" else "reflect")


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduce(a: Attributes, x: Tensor, axes: Sizes | None = None) -> Tensor:
        chosen = a.get("axes") if axes is None else axes
        if not chosen and a.get("noop_with_empty_axes", 0):
            return x
        return function(x, dim=tuple(chosen or range(x.dim())), keepdim=bool(a.get("keepdims", 1)))

    return reduce


def _product(x: Tensor, dim: tuple[int, ...], *, keepdim: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in dim), reverse=True):
        x = x.prod(dim=axis, keepdim=keepdim)
    return x


def _top(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def top(a: Attributes, x: Tensor) -> Tensor:
        if a.get("select_last_index", 0):
            raise _refuse("ArgMax", "select_last_index")
        return function(x, dim=a.get("axis", 0), keepdim=bool(a.get("keepdims", 1)))

    return top


def _top_k(a: Attributes, x: Tensor, k: Sizes) -> tuple[Tensor, Tensor]:
    values, indices = torch.topk(
        x, k[0], dim=a.get("axis", -1), largest=bool(a.get("largest", 1)), sorted=bool(a.get("sorted", 1))
    )
    return values, indices


def _clip(a: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    low = a.get("min") if low is None else low
    high = a.get("max") if high is None else high
    return x if low is None and high is None else torch.clamp(x, low, high)


def _cast(a: Attributes, x: Tensor) -> Tensor:
    if a["to"] not in DTYPES:
        raise _refuse("Cast", f"element type {a['to']}")
    return x.to(DTYPES[a["to"]])


def _divide(_: Attributes, x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _layer_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = a.get("axis", -1) % x.dim()
    return functional.layer_norm(
        x,
        list(scale.shape) if scale.dim() == x.dim() - axis else list(x.shape[axis:]),
        scale,
        bias,
        a.get("epsilon", 1e-5),
    )


def _gelu(a: Attributes, x: Tensor) -> Tensor:
    return functional.gelu(x, approximate=a.get("approximate", "none"))


def _trilu(a: Attributes, x: Tensor, k: Sizes | None = None) -> Tensor:
    shift = k[0] if k else 0
    return torch.triu(x, shift) if a.get("upper", 1) else torch.tril(x, shift)


def _one_hot(a: Attributes, indices: Tensor, depth: Sizes, values: Tensor) -> Tensor:
    if a.get("axis", -1) != -1:
        raise _refuse("OneHot", f"axis {a['axis']}")
    hot = functional.one_hot(indices.long() % depth[0], depth[0]).bool()
    return torch.where(hot, values[1], values[0])


def _cumulative(a: Attributes, x: Tensor, axis: Sizes) -> Tensor:
    if a.get("exclusive", 0) or a.get("reverse", 0):
        raise _refuse("CumSum", "exclusive or reverse")
    return torch.cumsum(x, dim=axis[0]).to(x.dtype)


def _constant_of_shape(a: Attributes, shape: Sizes) -> Tensor:
    value = a.get("value")
    filled = torch.zeros(1) if value is None else torch.from_numpy(value)
    return torch.full(list(shape), filled.reshape(-1)[0].item(), dtype=filled.dtype)


def _range(_: Attributes, start: Sizes, end: Sizes, step: Sizes) -> Tensor:
    return torch.arange(start[0], end[0], step[0])


def _fold(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def fold(_: Attributes, first: Tensor, *rest: Tensor) -> Tensor:
        for other in rest:
            first = function(first, other)
        return first

    return fold


def _depth_to_space(a: Attributes, x: Tensor) -> Tensor:
    if a.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, a["blocksize"])
    b, c, h, w = x.shape
    n = a["blocksize"]
    return x.reshape(b, n, n, c // n**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(b, c // n**2, h * n, w * n)


def _space_to_depth(a: Attributes, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    n = a["blocksize"]
    return x.reshape(b, c, h // n, n, w // n, n).permute(0, 3, 5, 1, 2, 4).reshape(b, c * n**2, h // n, w // n)


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda _, x: function(x)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda _, x, y: function(x, y)


OPERATORS: dict[str, Callable[..., Tensor | tuple[Tensor, ...]]] = {
    **CONVOLUTION,
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add),
    "And": _binary(torch.logical_and),
    "ArgMax": _top(torch.argmax),
    "ArgMin": _top(torch.argmin),
    "Cast": _cast,
    "CastLike": lambda _, x, like: x.to(like.dtype),
    "Ceil": _unary(torch.ceil),
    "Clip": _clip,
    "Concat": lambda a, *parts: torch.cat(parts, dim=a["axis"]),
    "ConstantOfShape": _constant_of_shape,
    "Cos": _unary(torch.cos),
    "CumSum": _cumulative,
    "DepthToSpace": _depth_to_space,
    "Div": _divide,
    "Dropout": lambda _, x, *__: x,
    "Einsum": lambda a, *parts: torch.einsum(a["equation"], *parts),
    "Elu": lambda a, x: functional.elu(x, a.get("alpha", 1.0)),
    "Equal": _binary(torch.eq),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _unary(torch.floor),
    "Gather": _gather,
    "GatherElements": lambda a, x, i: torch.gather(x, a.get("axis", 0), i),
    "GatherND": _gather_nd,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "HardSigmoid": lambda a, x: torch.clamp(x * a.get("alpha", 0.2) + a.get("beta", 0.5), 0.0, 1.0),
    "HardSwish": _unary(functional.hardswish),
    "Identity": lambda _, x: x,
    "IsNaN": _unary(torch.isnan),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda a, x: functional.leaky_relu(x, a.get("alpha", 0.01)),
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "Log": _unary(torch.log),
    "LogSoftmax": _softmax(torch.log_softmax),
    "MatMul": _binary(torch.matmul),
    "Max": _fold(torch.maximum),
    "Min": _fold(torch.minimum),
    "Mish": _unary(functional.mish),
    "Mod": lambda a, x, y: torch.fmod(x, y) if a.get("fmod", 0) else torch.remainder(x, y),
    "Mul": _binary(torch.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "OneHot": _one_hot,
    "Or": _binary(torch.logical_or),
    "PRelu": lambda _, x, slope: torch.where(x < 0, x * slope, x),
    "Pad": _pad,
    "Pow": _binary(torch.pow),
    "Range": _range,
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceL2": _reduce(torch.linalg.vector_norm),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceProd": _reduce(_product),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _unary(torch.relu),
    "Reshape": _reshape,
    "Resize": resize,
    "Round": _unary(torch.round),
    "ScatterND": _scatter_nd,
    "Sigmoid": _unary(torch.sigmoid),
    "Sign": _unary(torch.sign),
    "Sin": _unary(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax(torch.softmax),
    "Softplus": _unary(functional.softplus),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Sqrt": _unary(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _binary(torch.sub),
    "Sum": _fold(torch.add),
    "Tanh": _unary(torch.tanh),
    "Tile": lambda _, x, repeats: x.repeat(repeats),
    "TopK": _top_k,
    "Transpose": lambda a, x: x.permute(a.get("perm") or tuple(reversed(range(x.dim())))),
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
    "Upsample": lambda a, x, scales: resize(
        {**a, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, x, None, scales
    ),
    "Where": lambda _, chosen, x, y: torch.where(chosen, x, y),
    "Xor": _binary(torch.logical_xor),
}
"""Every operator that is interpreted; `Shape`, `Size` and `Constant` belong to `onnx_module`."""
