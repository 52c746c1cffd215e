"""Find models: by the path of a folder, among those that ship, or in the store of imported ones.

The store is a folder with one model folder for each name. A restricted licence that the user accepted on import is
remembered beside the models, by digest: a folder cannot accept its own terms.
"""

import difflib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fleetsight.accel.bundled import bundled_folder, bundled_names
from fleetsight.accel.card import NAME
from fleetsight.accel.portable import CARD_FILE, ModelError, PortableModel
from fleetsight.errors import Error

ACCEPTED_FILE = "accepted-licences.json"


@dataclass(frozen=True)
class StoredModel:
    """A model that can be found by name.

    Attributes:
        name: its name.
        folder: where it lies.
        origin: "bundled" or "imported".
        model: the checked model; None when it is damaged.
        problem: what is wrong with it; empty when nothing is.
    """

    name: str
    folder: Path
    origin: Literal["bundled", "imported"]
    model: PortableModel | None
    problem: str = ""


def find_model(name_or_folder: str | os.PathLike[str], store_dir: Path) -> PortableModel:
    """Load a model by name or by folder.

    Args:
        name_or_folder: path of a model folder, name of a model that ships, or name of an imported one.
        store_dir: the model store.

    Returns:
        the checked model.

    Raises:
        ModelError: there is no such model, or it is damaged.
        CardError: its card is wrong.
        LicenceError: its lineage is restricted and was not accepted on import.
    """
    text = os.fspath(name_or_folder)
    path = Path(text)
    if isinstance(name_or_folder, Path) or os.sep in text or (path / CARD_FILE).is_file():
        return _load(path, store_dir)
    if text in bundled_names():
        return _load(bundled_folder() / text, store_dir)
    if NAME.fullmatch(text) and (store_dir / text).is_dir():
        return _load(store_dir / text, store_dir)
    known = [*bundled_names(), *_imported_names(store_dir)]
    close = difflib.get_close_matches(text, known, n=1)
    listed = f"there are: {', '.join(known) or 'none'}; import one with: fleetsight model import FILE.onnx ..."
    raise ModelError(f"there is no model {text!r}", hint=f"did you mean {close[0]!r}?" if close else listed)


def list_models(store_dir: Path) -> tuple[StoredModel, ...]:
    """Every model that can be found by name.

    Args:
        store_dir: the model store; may be missing.

    Returns:
        models that ship, then imported ones, each by name; damaged ones with the problem.
    """
    places: list[tuple[Literal["bundled", "imported"], Path]] = [
        *(("bundled", bundled_folder() / name) for name in bundled_names()),
        *(("imported", store_dir / name) for name in _imported_names(store_dir)),
    ]
    found = []
    for origin, folder in places:
        model, problem = None, ""
        try:
            model = _load(folder, store_dir)
        except Error as error:
            problem = error.message
        found.append(StoredModel(name=folder.name, folder=folder, origin=origin, model=model, problem=problem))
    return tuple(found)


def accept_licence(store_dir: Path, sha256: str) -> None:
    """Remember that the user accepts the licence of a model.

    Args:
        store_dir: the model store; must exist.
        sha256: digest of the model file.
    """
    accepted = sorted(_accepted(store_dir) | {sha256})
    draft = store_dir / f".{ACCEPTED_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(accepted, indent=2) + "\n", encoding="utf-8")
    draft.replace(store_dir / ACCEPTED_FILE)


def _load(folder: Path, store_dir: Path) -> PortableModel:
    model = PortableModel.load(folder, allow_restricted_licence=True)
    if model.card.sha256 not in _accepted(store_dir):
        model.check_licence()
    return model


def _accepted(store_dir: Path) -> set[str]:
    try:
        listed = json.loads((store_dir / ACCEPTED_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except ValueError as error:
        raise ModelError(
            f"{store_dir / ACCEPTED_FILE} is damaged: {error}", hint="remove it and accept again"
        ) from error
    return {entry for entry in listed if isinstance(entry, str)} if isinstance(listed, list) else set()


def _imported_names(store_dir: Path) -> list[str]:
    if not store_dir.is_dir():
        return []
    return sorted(entry.name for entry in store_dir.iterdir() if NAME.fullmatch(entry.name) and entry.is_dir())
