"""Public weights as transformers keeps them: a folder, or the name of a repository; safetensors and nothing else.

What decides the answer of the cache is read here without torch. A folder with a `config.json` and no weights stands for
the architecture at its full size with random weights (`original.randomise`): they serve for speed.
"""

import hashlib
import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fleetsight.accel.licence import UNSTATED
from fleetsight.accel.parts.part import PartError
from fleetsight.accel.sources.huggingface import find_folder

RECIPE_VERSION = 1
"""Goes into the digest of the weights: raise it when a wrapper changes what it computes."""

RANDOM_SEED = 0
"""Of the random weights where a folder holds none."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def weights_folder(source: str | Path) -> Path:
    """Find or fetch the folder of a model.

    Args:
        source: a folder, or a repository as OWNER/NAME.

    Returns:
        a folder with `config.json`.

    Raises:
        PartError: there is no such folder, or its weights are pickles.
        SourceError: the repository cannot be fetched.
    """
    folder = find_folder(str(source))
    if folder is None:
        raise PartError(
            f"{str(source)!r} is no folder with a config.json and no name of a repository",
            hint="give the folder that save_pretrained wrote, or OWNER/NAME",
        )
    pickles = sorted(path.name for suffix in PICKLES for path in folder.glob(suffix))
    if pickles and not is_trained(folder):
        raise PartError(
            f"{folder} holds its weights as pickles ({', '.join(pickles[:3])}), which run code when loaded: refused",
            hint="save them as safetensors where you trust them: model.save_pretrained(folder)",
        )
    return folder


def is_trained(folder: Path) -> bool:
    """Whether the folder holds weights; False: they are made up from a seed."""
    return any(folder.glob("*.safetensors"))


def weights_sha256(folder: Path) -> str:
    """Digest of everything in the folder that decides the network.

    Args:
        folder: with `config.json`; its tokenizer and the settings of its pictures count too.

    Returns:
        lower-case hex.
    """
    versions = [f"{name} {_version(name)}" for name in ("torch", "transformers")]
    digest = hashlib.sha256(json.dumps([RECIPE_VERSION, RANDOM_SEED, versions]).encode())
    for path in (*sorted(folder.glob("*.json")), *sorted(folder.glob("*.safetensors"))):
        with path.open("rb") as stream:
            digest.update(f"{path.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def stated_licence(folder: Path) -> str:
    """Licence that the folder's README states at its head.

    Args:
        folder: of the model.

    Returns:
        as written there; `UNSTATED` without one.
    """
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace")[:20_000] if readme.is_file() else ""
    found = re.search(r"^licen[cs]e:\s*['\"]?([\w.+ -]+)", text, re.MULTILINE | re.IGNORECASE)
    return found[1].strip() if found else UNSTATED


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


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
