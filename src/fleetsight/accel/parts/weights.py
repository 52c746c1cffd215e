"""Public weights as transformers keeps them: a folder, or the name of a repository; safetensors and nothing else."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from fleetsight.accel.parts.part import PartError, Recipe

FILES = ("*.json", "*.txt", "*.safetensors", "README.md")
"""What is fetched of a repository: texts and safetensors; never code, never pickles."""

RECIPE_VERSION = "1"
"""Goes into the digest of every part: raise it when a wrapper changes what it computes."""

SEED_KEY = "random_weights_seed"
"""Key of `config.json` that marks weights nobody trained."""


def weights_folder(source: str | Path) -> Path:
    """Find or fetch the folder of a model.

    Args:
        source: a folder, or a repository as OWNER/NAME.

    Returns:
        a folder with `config.json` and at least one safetensors file.

    Raises:
        PartError: there is no such folder, it lacks a file, or the repository cannot be fetched.
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _fetched(str(source))
    if not (folder / "config.json").is_file():
        raise PartError(f"{folder} has no config.json", hint="give the folder that save_pretrained wrote")
    if not any(folder.glob("*.safetensors")):
        raise PartError(
            f"{folder} has no safetensors file; pickled weights can run code when they are loaded and are refused",
            hint="convert them where you trust their author: model.save_pretrained(folder)",
        )
    return folder


def load_original(recipe: Recipe, folder: Path) -> nn.Module:
    """Read the original model.

    Args:
        recipe: names its class.
        folder: with its weights.

    Returns:
        the model as transformers makes it: float32, eager attention, eval mode, on the CPU.

    Raises:
        PartError: the folder holds a model of another class, or the weights do not fit.
    """
    named = _read_json(folder / "config.json").get("architectures") or []
    if named and recipe.architecture not in named:
        raise PartError(
            f"recipe {recipe.name!r} takes a {recipe.architecture}, {folder} holds {', '.join(map(str, named))}",
            hint="another recipe, or another folder",
        )
    kind: Any = getattr(transformers, recipe.architecture)
    try:
        model: nn.Module = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype=torch.float32, attn_implementation="eager"
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise PartError(f"{folder} cannot be read as {recipe.architecture}: {str(error)[:300]}") from error
    return model.eval()


def weights_sha256(folder: Path) -> str:
    """Digest of everything in the folder that decides the network.

    Args:
        folder: with `config.json` and safetensors files.

    Returns:
        lower-case hex.
    """
    digest = hashlib.sha256()
    for path in (folder / "config.json", *sorted(folder.glob("*.safetensors"))):
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def part_sha256(weights: str, *, recipe: str, part: str, sizes: Mapping[str, tuple[int, ...]]) -> str:
    """Digest that stands for one part: the weights of the whole and how the part is cut out of them.

    Args:
        weights: digest of the folder.
        recipe: name of the recipe.
        part: name of the part.
        sizes: sizes the parts were made for.

    Returns:
        lower-case hex.
    """
    said = json.dumps([weights, RECIPE_VERSION, recipe, part, {k: list(v) for k, v in sorted(sizes.items())}])
    return hashlib.sha256(said.encode()).hexdigest()


def is_trained(folder: Path) -> bool:
    """Whether somebody trained the weights.

    Args:
        folder: with `config.json`.

    Returns:
        False where `randomise` made them.
    """
    return SEED_KEY not in _read_json(folder / "config.json")


def pixel_config(folder: Path) -> dict[str, Any]:
    """What the folder says about preparing pictures.

    Args:
        folder: of the model.

    Returns:
        the image processor's values; empty when the folder says nothing.
    """
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            values = _read_json(folder / name)
            return dict(values.get("image_processor", values))
    return {}


def randomise(model: nn.Module, seed: int) -> None:
    """Give a model weights that nobody trained but that make its answers depend on its inputs.

    The usual start (normal, 0.02) leaves attention flat and every answer the same, so that agreement would say nothing.
    Here matrices keep the size of what passes through, and norms and biases differ.

    Args:
        model: changed in place; its config is marked.
        seed: chooses the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    config: Any = model.config
    setattr(config, SEED_KEY, seed)
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


def _fetched(name: str) -> Path:
    parts = name.split("/")
    if len(parts) != 2 or not all(parts) or name.startswith((".", "/")):
        raise PartError(f"there is no folder {name!r}", hint="give a folder, or a repository as OWNER/NAME")
    hub: Any = __import__("huggingface_hub")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:
        raise PartError(
            f"{name!r} is no folder and cannot be fetched: {str(error).splitlines()[0][:200]}",
            hint="check the name, or download the repository and give its folder",
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PartError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(values, dict):
        raise PartError(f"{path} must hold an object")
    return values
