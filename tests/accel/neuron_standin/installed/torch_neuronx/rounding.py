"""The arithmetic of `--auto-cast`: operands of matrix products (or of everything) lose bits before they are used."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_PRODUCTS = {
    "matmul",
    "conv1d",
    "conv2d",
    "addmm",
    "baddbmm",
    "bmm",
    "convolution",
    "mm",
    "mv",
    "dot",
    "_convolution",
    "linear",
}


def _tf32(tensor: Tensor) -> Tensor:
    """10 of the 23 bits of the fraction remain."""
    return (tensor.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)


_ROUND: dict[str, Callable[[Tensor], Tensor]] = {
    "bf16": lambda tensor: tensor.bfloat16().float(),
    "fp16": lambda tensor: tensor.half().float(),
    "tf32": _tf32,
    "fp8_e4m3": lambda tensor: tensor.to(torch.float8_e4m3fn).float(),
}


class Rounding(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Rounds inside its block."""

    def __init__(self, auto_cast: str, kind: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.auto_cast = auto_cast
        self.round = _ROUND[kind]

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if self.auto_cast == "all" or (self.auto_cast == "matmult" and name in _PRODUCTS):
            args = tuple(self._rounded(arg) for arg in args)
        return func(*args, **(kwargs or {}))

    def _rounded(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.dtype == torch.float32:
            return self.round(value)
        return value
