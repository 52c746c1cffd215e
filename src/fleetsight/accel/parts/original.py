"""The original model as transformers makes it."""

import math
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from fleetsight.accel.parts.part import PartError, Recipe
from fleetsight.accel.parts.weights import RANDOM_SEED, is_trained, read_json


def load_original(recipe: Recipe, folder: Path) -> nn.Module:
    """Read the original model.

    Args:
        recipe: names its class.
        folder: with its weights; without any it gets random ones.

    Returns:
        the model as transformers makes it: float32, eager attention, eval mode, on the CPU.

    Raises:
        PartError: the folder holds a model of another class, or the weights do not fit.
    """
    named = read_json(folder / "config.json").get("architectures") or []
    if named and recipe.architecture not in named:
        raise PartError(
            f"recipe {recipe.name!r} takes a {recipe.architecture}, {folder} holds {', '.join(map(str, named))}",
            hint="another recipe, or another folder",
        )
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    kind: Any = getattr(transformers, recipe.architecture)
    try:
        if not is_trained(folder):
            config = kind.config_class.from_pretrained(folder, local_files_only=True)
            config._attn_implementation = "eager"
            model: nn.Module = kind(config).float()
            randomise(model, RANDOM_SEED)
        else:
            model = kind.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, dtype=torch.float32, attn_implementation="eager"
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise PartError(f"{folder} cannot be read as {recipe.architecture}: {str(error)[:300]}") from error
    return model.eval()


def randomise(model: nn.Module, seed: int) -> None:
    """Give a model weights that nobody trained but that make its answers depend on its inputs.

    The usual start (normal, 0.02) leaves attention flat and every answer the same, so that agreement would say nothing.
    Here matrices keep the size of what passes through, and norms and biases differ.

    Args:
        model: changed in place.
        seed: chooses the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            if weight.dim() >= 2 and "embedding" not in name and "token" not in name:
                fan_in = math.prod(weight.shape[1:])
                weight.copy_(drawn * (1.3 / math.sqrt(fan_in)))
            elif weight.dim() >= 2:
                weight.copy_(drawn * 0.7)
            elif name.endswith("weight"):
                weight.copy_(1.0 + 0.1 * drawn)
            else:
                weight.copy_(0.1 * drawn)
