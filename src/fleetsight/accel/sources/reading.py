"""Which kind of source a name means, and reading it."""

import os
from dataclasses import dataclass
from pathlib import Path

from fleetsight.accel.artifacts.artifact import is_artifact
from fleetsight.accel.modelstore import find_model
from fleetsight.accel.portable import CARD_FILE, MODEL_FILE, PortableModel
from fleetsight.accel.sources.hub_folder import ID, find_folder
from fleetsight.accel.sources.huggingface import huggingface_source
from fleetsight.accel.sources.onnx_source import onnx_source
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.accel.sources.source import Source, SourceError
from fleetsight.accel.sources.torch_module import is_import_path, torch_module_source
from fleetsight.accel.sources.ultralytics import ultralytics_source

PICKLES = (".pkl", ".pickle", ".bin", ".ckpt", ".pth", ".joblib", ".npz", ".pt2")
"""Suffixes of files that are pickles or may hold some."""


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    Attributes:
        model: a name, a folder, a file, an import path, or a Hugging Face id.
        batch: size of axis 0; None leaves it open.
        size_wh: size of the picture where the model leaves it open.
        licence: of the weights, where the user knows better than the files.
        allow_restricted_licence: accept AGPL, GPL, non-commercial and field-of-use lineage.
    """

    model: str
    batch: int | None = 1
    size_wh: tuple[int, int] | None = None
    licence: str = ""
    allow_restricted_licence: bool = False


def read_source(asked: Asked, *, models_dir: Path) -> Source:
    """Read a model from where it lies.

    Args:
        asked: what was asked for.
        models_dir: the store of imported models.

    Returns:
        the source.

    Raises:
        SourceError: it is a pickle, an artifact already, or of a kind that is not known.
        ModelError: there is no such model, or it is damaged.
        OnnxError: an ONNX file is wrong.
        LicenceError: it is an Ultralytics model, or a portable one, whose licence is restricted.
    """
    text, path = asked.model, Path(asked.model)
    if path.suffix == ".pt" and path.is_file():
        return ultralytics_source(path, allow_restricted_licence=asked.allow_restricted_licence, size_wh=asked.size_wh)
    if path.suffix in PICKLES and (path.exists() or os.sep in text):
        raise SourceError(
            f"{path} is a pickle or may hold one, which can run code when it is loaded: refused",
            hint="save the weights as safetensors, or export the model to ONNX, where you trust its author",
        )
    if path.is_file() and path.suffix == ".onnx":
        return onnx_source(path, batch=asked.batch, size_wh=asked.size_wh, licence=asked.licence)
    if path.is_dir() and is_artifact(path):
        raise SourceError(f"{path} is an artifact already", hint="compile the model it was made from")
    if path.is_dir() and not (path / CARD_FILE).is_file() and not (path / MODEL_FILE).is_file():
        return _folder(path, asked)
    if is_import_path(text):
        return torch_module_source(text, batch=asked.batch, licence=asked.licence)
    if ID.fullmatch(text) and not path.exists() and not text.startswith("."):
        found = find_folder(text)
        assert found is not None
        return huggingface_source(found, batch=asked.batch, licence=asked.licence)
    if (path / CARD_FILE).is_file() and asked.allow_restricted_licence:
        return portable_source(PortableModel.load(path, allow_restricted_licence=True))
    return portable_source(find_model(text, models_dir))


def _folder(path: Path, asked: Asked) -> Source:
    found = find_folder(str(path))
    if found is None:
        raise SourceError(
            f"{path} is no model: it holds neither {CARD_FILE} nor config.json",
            hint="a portable model has model.onnx and card.json, a Hugging Face one config.json and *.safetensors",
        )
    return huggingface_source(found, batch=asked.batch, licence=asked.licence)
