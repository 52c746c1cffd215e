"""Public weights as transformers keeps them: a folder, or the name of a repository; safetensors and nothing else.

What decides the answer of the cache is read here without torch. A folder with a `config.json` and no weights stands for
the architecture at its full size with random weights (`original.randomise`): they serve for speed.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleetsight.accel.parts.part import PartError
from fleetsight.accel.sources.hub_folder import find_folder, find_weights, versions_of

RECIPE_VERSION = 1
"""Goes into the digest of the weights: raise it when a wrapper changes what it computes."""

RANDOM_SEED = 0
"""Of the random weights where a folder holds none."""


def weights_folder(source: str | Path) -> Path:
    """Find or fetch the folder of a model.

    Args:
        source: a folder, or a repository as OWNER/NAME.

    Returns:
        a folder with `config.json`.

    Raises:
        PartError: there is no such folder.
        SourceError: the repository cannot be fetched, or its weights are pickles.
    """
    folder = find_folder(str(source))
    if folder is None:
        raise PartError(
            f"{str(source)!r} is no folder with a config.json and no name of a repository",
            hint="give the folder that save_pretrained wrote, or OWNER/NAME",
        )
    find_weights(folder)  # refuses pickles
    return folder


def is_trained(folder: Path) -> bool:
    """Whether the folder holds weights; False: they are made up from a seed."""
    return bool(find_weights(folder))


def weights_sha256(folder: Path, digest_of: Callable[[Path], str]) -> str:
    """Digest of everything in the folder that decides the network.

    Args:
        folder: with `config.json`; its tokenizer and the settings of its pictures count too.
        digest_of: the SHA-256 of a file.

    Returns:
        lower-case hex.
    """
    versions = versions_of(("torch", "transformers"))
    digest = hashlib.sha256(json.dumps([RECIPE_VERSION, RANDOM_SEED, versions]).encode())
    for path in (*sorted(folder.glob("*.json")), *find_weights(folder)):
        digest.update(f"{path.name} {digest_of(path)}\n".encode())
    return digest.hexdigest()


def pixel_config(folder: Path) -> dict[str, Any]:
    """What the folder says about preparing pictures.

    Args:
        folder: of the model.

    Returns:
        the image processor's values; empty when the folder says nothing.
    """
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            values = read_json(folder / name)
            return dict(values.get("image_processor", values))
    return {}


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that must hold an object.

    Args:
        path: the file.

    Returns:
        the object.

    Raises:
        PartError: it is missing or something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PartError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(values, dict):
        raise PartError(f"{path} must hold an object")
    return values
