"""The model that is measured, by a few words that can be handed to another process.

A baseline runs in a process of its own, which opens the model again; modules cannot travel, these words can.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetsight.accel.sources.source import Source

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ModelWords:
    """Which model, at which size.

    Attributes:
        model: a name in the store, a folder of ours or of Hugging Face, a file ending in .onnx, or `package.module:factory`.
        store: folder of imported models.
        size_wh: another size of the picture, for networks that take it; None: the model's own.
    """

    model: str
    store: str = ""
    size_wh: tuple[int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        """The words as plain JSON."""
        return asdict(self)

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "ModelWords":
        """Read them back.

        Args:
            raw: from `as_json`.

        Returns:
            the words.
        """
        size = raw.get("size_wh")
        return cls(model=raw["model"], store=raw.get("store", ""), size_wh=(size[0], size[1]) if size else None)


def open_source(words: ModelWords, *, batch: int | None = 1) -> Source:
    """Open the model.

    Args:
        words: which one.
        batch: size of axis 0, for models that are exported here.

    Returns:
        its source.

    Raises:
        ModelError: there is no such model.
        SourceError: it cannot be read.
    """
    from fleetsight.accel.modelstore import find_model
    from fleetsight.accel.sources.huggingface import find_folder, huggingface_source
    from fleetsight.accel.sources.onnx_source import onnx_source
    from fleetsight.accel.sources.portable_source import portable_source
    from fleetsight.accel.sources.torch_module import is_import_path, torch_module_source

    if words.model.endswith(".onnx"):
        return onnx_source(Path(words.model), batch=batch, size_wh=words.size_wh)
    if is_import_path(words.model):
        return torch_module_source(words.model, batch=batch)
    folder = find_folder(words.model)
    if folder is not None:
        return huggingface_source(folder, batch=batch)
    model = find_model(words.model, Path(words.store))
    return portable_source(model.resized(words.size_wh) if words.size_wh else model)


def eager_module(raw: Mapping[str, Any]) -> "torch.nn.Module":
    """The torch module of a model; one that is made of its graph where there is no other.

    Args:
        raw: words from `ModelWords.as_json`.

    Returns:
        a module in eval mode, float32.

    Raises:
        SourceError: it cannot be read, or an operator of the graph is not known.
    """
    source = open_source(ModelWords.parse(raw))
    if source.module is not None:
        return source.module()
    module: torch.nn.Module = import_module("fleetsight.accel.sources.onnx_module").onnx_module(source.graph())
    return module
