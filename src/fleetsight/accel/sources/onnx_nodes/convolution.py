"""ONNX operators over pictures in torch: convolution, pooling, normalisation, resizing."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fleetsight.accel.session import OTHER_TARGETS, UnsupportedError
from fleetsight.accel.sources.onnx_nodes.host import Attributes

_CONVOLVE: dict[int, Callable[..., Tensor]] = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    3: functional.conv_transpose1d,
    4: functional.conv_transpose2d,
    5: functional.conv_transpose3d,
}
_MAX_POOL: dict[int, Callable[..., Any]] = {
    3: functional.max_pool1d,
    4: functional.max_pool2d,
    5: functional.max_pool3d,
}
_MEAN_POOL: dict[int, Callable[..., Tensor]] = {
    3: functional.avg_pool1d,
    4: functional.avg_pool2d,
    5: functional.avg_pool3d,
}


def _convolve(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    kernel = list(weight.shape[2:])
    strides, dilations = _window(a, len(kernel))
    x, pads = _padded(a, x, kernel, value=0.0)
    return _CONVOLVE[x.dim()](x, weight, bias, strides, pads, dilations, a.get("group", 1))


def _convolve_transposed(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    count = weight.dim() - 2
    strides, dilations = _window(a, count)
    pads = a.get("pads", [0] * 2 * count)
    if a.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in a or pads[:count] != pads[count:]:
        raise UnsupportedError("operator ConvTranspose with uneven padding is not interpreted", hint=OTHER_TARGETS)
    extra = a.get("output_padding", [0] * count)
    return _TRANSPOSED[x.dim()](x, weight, bias, strides, pads[:count], extra, a.get("group", 1), dilations)


def _max_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel = list(a["kernel_shape"])
    strides, dilations = _window(a, len(kernel))
    x, pads = _padded(a, x, kernel, value=float("-inf"))
    if any(pad > side // 2 for pad, side in zip(pads, kernel, strict=True)):
        x, pads = functional.pad(x, _flat(pads, pads), value=float("-inf")), [0] * len(kernel)
    return torch.as_tensor(_MAX_POOL[x.dim()](x, kernel, strides, pads, dilations, bool(a.get("ceil_mode", 0))))


def _mean_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel = list(a["kernel_shape"])
    strides, dilations = _window(a, len(kernel))
    include = bool(a.get("count_include_pad", 0))
    padded, pads = _padded(a, x, kernel, value=0.0)
    if any(side != 1 for side in dilations) or (padded is not x and not include):
        raise UnsupportedError(
            "operator AveragePool with dilations or uneven padding is not interpreted", hint=OTHER_TARGETS
        )
    return _MEAN_POOL[x.dim()](padded, kernel, strides, pads, bool(a.get("ceil_mode", 0)), include)


def _batch_norm(a: Attributes, x: Tensor, *statistics: Tensor) -> Tensor:
    scale, bias, mean, variance = statistics
    return functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, a.get("epsilon", 1e-5))


def _instance_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=scale, bias=bias, eps=a.get("epsilon", 1e-5))


def _group_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    if scale.shape[0] != x.shape[1]:  # until opset 20 one scale for each group
        each = x.shape[1] // scale.shape[0]
        scale, bias = scale.repeat_interleave(each), bias.repeat_interleave(each)
    return functional.group_norm(x, a["num_groups"], scale, bias, a.get("epsilon", 1e-5))


def resize(a: Attributes, x: Tensor, *told: list[Any] | None) -> Tensor:
    """Resize, for the ways of counting that torch has too.

    Args:
        a: the node's attributes.
        x: (b, c, h, w) or one side less or more.
        *told: region (ignored, as this way of counting is refused), factor of each axis, length of each axis.

    Returns:
        the resized tensor.

    Raises:
        UnsupportedError: the way of counting is another, or batch or channels change.
    """
    _, scales, sizes = [*told, None, None, None][:3]
    mode, counting = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    ways: dict[tuple[str, str], dict[str, Any]] = {
        ("nearest", "asymmetric"): {"mode": "nearest"},
        ("nearest", "half_pixel"): {"mode": "nearest-exact"},
        ("linear", "half_pixel"): {"mode": _LINEAR.get(x.dim()), "align_corners": False},
        ("linear", "pytorch_half_pixel"): {"mode": _LINEAR.get(x.dim()), "align_corners": False},
        ("linear", "align_corners"): {"mode": _LINEAR.get(x.dim()), "align_corners": True},
        ("cubic", "half_pixel"): {"mode": "bicubic", "align_corners": False},
        ("cubic", "pytorch_half_pixel"): {"mode": "bicubic", "align_corners": False},
        ("cubic", "align_corners"): {"mode": "bicubic", "align_corners": True},
    }
    way = ways.get((mode, counting))
    floor = counting != "asymmetric" or a.get("nearest_mode", "round_prefer_floor") == "floor"
    if way is None or not floor or "axes" in a or (mode == "cubic" and a.get("cubic_coeff_a", -0.75) != -0.75):
        raise UnsupportedError(f"operator Resize with {mode}, {counting} is not interpreted", hint=OTHER_TARGETS)
    if scales:
        if any(scale != 1.0 for scale in scales[:2]):
            raise UnsupportedError("operator Resize over batch or channels is not interpreted", hint=OTHER_TARGETS)
        return functional.interpolate(x, scale_factor=[float(scale) for scale in scales[2:]], **way)
    return functional.interpolate(x, size=list(sizes or [])[2:], **way)


_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


def _window(a: Attributes, count: int) -> tuple[list[int], list[int]]:
    return list(a.get("strides", [1] * count)), list(a.get("dilations", [1] * count))


def _padded(a: Attributes, x: Tensor, kernel: list[int], *, value: float) -> tuple[Tensor, list[int]]:
    """The input, padded where the two ends of an axis differ, and what torch is to pad at both ends."""
    count, way = len(kernel), a.get("auto_pad", "NOTSET")
    begin, end = [0] * count, [0] * count
    if way in {"SAME_UPPER", "SAME_LOWER"}:
        strides, dilations = _window(a, count)
        for axis, (side, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
            length = x.shape[2 + axis]
            total = max(0, (-(-length // stride) - 1) * stride + (side - 1) * dilation + 1 - length)
            small = total // 2
            begin[axis], end[axis] = (small, total - small) if way == "SAME_UPPER" else (total - small, small)
    elif way == "NOTSET":
        pads = list(a.get("pads", [0] * 2 * count))
        begin, end = pads[:count], pads[count:]
    if begin == end:
        return x, begin
    return functional.pad(x, _flat(begin, end), value=value), [0] * count


def _flat(begin: list[int], end: list[int]) -> list[int]:
    """Both ends of each axis in torch's order: last axis first."""
    return [pad for pair in zip(reversed(begin), reversed(end), strict=True) for pad in pair]


def _all_sides(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.dim()))


CONVOLUTION: dict[str, Callable[..., Tensor | tuple[Tensor, ...]]] = {
    "AveragePool": _mean_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _convolve,
    "ConvTranspose": _convolve_transposed,
    "GlobalAveragePool": lambda _, x: x.mean(dim=_all_sides(x), keepdim=True),
    "GlobalMaxPool": lambda _, x: x.amax(dim=_all_sides(x), keepdim=True),
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "MaxPool": _max_pool,
}
"""The operators of this module; `resize` also serves the old Upsample."""
