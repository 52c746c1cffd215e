"""From a trained network to the portable folder: ONNX, card, metrics of that very file."""

import io
import shutil
import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fleetsight.accel.card import Card
from fleetsight.accel.portable import PortableModel

OPSET = 17  # read by every target of accel
MODEL_BYTES_LIMIT = 4_000_000  # what the package may carry per model


def with_pixel_input(net: nn.Module) -> nn.Module:
    """Fold the division by 255 into the first convolution, so the file eats pixels as they are.

    Whole numbers up to 256 are exact in bfloat16; fractions are not. It also saves the host a pass over the picture.

    Args:
        net: trained on pixels / 255; its first convolution has no bias.

    Returns:
        A copy in eval mode on the CPU that gives the same answers for pixels 0..255.
    """
    copy = deepcopy(net).to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    first = next(module for module in copy.modules() if isinstance(module, nn.Conv2d))
    assert first.bias is None
    with torch.no_grad():
        first.weight.div_(255.0)
    assert isinstance(copy, nn.Module)
    return copy


def onnx_bytes(net: nn.Module, input_wh: tuple[int, int], *, open_batch: bool) -> bytes:
    """Write a network as one ONNX file.

    Args:
        net: in eval mode; eats (b, 3, h, w) float32.
        input_wh: width and height of the input.
        open_batch: True leaves the batch open, False fixes it to 1.

    Returns:
        The file; input `image`, output `raw`.
    """
    sample = torch.zeros(1, 3, input_wh[1], input_wh[0])
    axes: dict[str, dict[int, str]] | None = {"image": {0: "batch"}, "raw": {0: "batch"}} if open_batch else None
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The trace-based exporter is announced as legacy; the newer one needs onnxscript and folds less.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (sample,),
            buffer,  # type: ignore[arg-type]
            opset_version=OPSET,
            input_names=["image"],
            output_names=["raw"],
            dynamic_axes=axes,
            dynamo=False,
        )
    return buffer.getvalue()


def save_model(net: nn.Module, card: Card, *, folder: Path) -> PortableModel:
    """Export a trained network into a portable folder, in place of the one that lies there.

    Args:
        net: trained on pixels / 255.
        card: without digest; its input size decides the shape.
        folder: the model's folder.

    Returns:
        The model as loaded back.
    """
    content = onnx_bytes(with_pixel_input(net), card.input_size_wh, open_batch=card.task == "embed")
    draft = folder.with_name(folder.name + ".next")
    shutil.rmtree(draft, ignore_errors=True)
    PortableModel.save(draft, content, card=card)
    return _swap(draft, folder)


def publish(model: PortableModel, metrics: dict[str, Any], *, folder: Path) -> PortableModel:
    """Write a model with its measured figures into a folder, in place of what lies there.

    Args:
        model: exported; its ONNX file stays as it is.
        metrics: plain values for the card.
        folder: where; may be the model's own folder.

    Returns:
        The model as loaded back.
    """
    draft = folder.with_name(folder.name + ".next")
    shutil.rmtree(draft, ignore_errors=True)
    PortableModel.save(draft, model.onnx, card=replace(model.card, metrics=metrics, sha256=""))
    return _swap(draft, folder)


def _swap(draft: Path, folder: Path) -> PortableModel:
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)
    return PortableModel.load(folder)


def parameters_of(net: nn.Module) -> int:
    """Count the weights of a network."""
    return sum(weight.numel() for weight in net.parameters())


def multiply_adds(net: nn.Module, input_wh: tuple[int, int]) -> int:
    """Count multiply-adds of convolutions and linear layers for one picture.

    Args:
        net: eats (1, 3, h, w).
        input_wh: width and height.

    Returns:
        Multiply-adds.
    """
    total = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += (
                output.numel() * module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
            )
        elif isinstance(module, nn.Linear):
            total += output.numel() * module.in_features

    hooks = [module.register_forward_hook(count) for module in net.modules()]
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, input_wh[1], input_wh[0]))
    for hook in hooks:
        hook.remove()
    return total
