"""A model's folder as Hugging Face lays it out: `config.json`, safetensors, a README that states the licence.

Weights come from safetensors and nothing else. All of it is read without importing torch.
"""

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fleetsight.accel.licence import UNSTATED
from fleetsight.accel.sources.source import SourceError

ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

_FETCHED = ["*.json", "*.safetensors", "README.md", "LICENSE*"]

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

_LICENCES = (
    re.compile(r"^licen[cs]e:\s*['\"]?([\w.+ -]+)", re.MULTILINE | re.IGNORECASE),
    re.compile(r"\*\*Licen[cs]e\.?\*\*[.:]?\s*([\w+-]+(?:\.\d+)*)"),
)
"""How a README states it: in its head as the hub wants it, or in bold in its text."""

_README_CHARS = 20_000


def find_folder(name: str) -> Path | None:
    """The folder of a Hugging Face model.

    Args:
        name: path of a folder with `config.json`, or an id such as `microsoft/resnet-50`.

    Returns:
        the folder, after a download where it is an id; None where it is neither.

    Raises:
        SourceError: the id cannot be fetched.
    """
    path = Path(name)
    if path.is_dir():
        return path if (path / "config.json").is_file() else None
    if ID.fullmatch(name) is None:
        return None
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise not_installed(error) from error
    try:
        return Path(snapshot_download(name, allow_patterns=_FETCHED))
    # Names of the hub's errors change between its versions: a named boundary.
    except Exception as error:
        raise SourceError(
            f"{name!r} cannot be fetched: {str(error).strip().splitlines()[0][:200]}",
            hint="give a folder that holds config.json and model.safetensors",
        ) from error


def find_weights(folder: Path) -> tuple[Path, ...]:
    """The weights in a folder.

    Args:
        folder: of the model.

    Returns:
        its safetensors by name; none at all where it holds an architecture only.

    Raises:
        SourceError: there are pickles and nothing else.
    """
    found = tuple(sorted(folder.glob("*.safetensors")))
    pickles = sorted(path.name for suffix in _PICKLES for path in folder.glob(suffix))
    if pickles and not found:
        raise SourceError(
            f"{folder} holds its weights as pickles ({', '.join(pickles[:3])}), which run code when loaded: refused",
            hint="save them as safetensors where you trust them: model.save_pretrained(folder)",
        )
    return found


def stated_licence(folder: Path) -> str:
    """Licence that the folder's README states.

    Args:
        folder: of the model.

    Returns:
        as written there; `UNSTATED` without one.
    """
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace")[:_README_CHARS] if readme.is_file() else ""
    found = next(filter(None, (pattern.search(text) for pattern in _LICENCES)), None)
    return found[1].strip() if found else UNSTATED


def versions_of(packages: Sequence[str]) -> list[str]:
    """Versions that decide what is exported.

    Args:
        packages: names of distributions.

    Returns:
        "name version" for each; "none" where it is not installed.
    """
    return [f"{name} {_version(name)}" for name in packages]


def not_installed(error: ImportError) -> SourceError:
    """What a user without the packages is told.

    Args:
        error: of the import.

    Returns:
        the error to raise.
    """
    return SourceError(
        f"a Hugging Face model needs torch and transformers: {error}", hint="pip install 'fleetsight[compile]'"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
