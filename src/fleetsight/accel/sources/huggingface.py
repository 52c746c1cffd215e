"""A Hugging Face folder or id, read with transformers: classifiers, backbones and detection transformers.

Weights come from safetensors and nothing else: `pytorch_model.bin` is a pickle and is refused. A folder with a
`config.json` and no weights gives the architecture at its full size with seeded random weights, which serves for speed
and says so in its lineage.

Everything that decides the answer of the cache (digest, licence, sizes) is read without importing torch.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetsight.accel.graph import Graph
from fleetsight.accel.proving.pictures import made_up_pictures
from fleetsight.accel.sources.hub_folder import find_weights, not_installed, stated_licence, versions_of
from fleetsight.accel.sources.picture_input import HALF, IMAGENET_MEAN, IMAGENET_STD, picture_input
from fleetsight.accel.sources.source import Answer, ModelKind, Source, SourceError

if TYPE_CHECKING:
    import torch

SEED = 0
"""Of the random weights where a folder holds none."""

EXPORT_FORMAT = 1
"""Raised when the wrappers below change what they export; part of the digest."""


@dataclass(frozen=True)
class Family:
    """What we know of one kind of model.

    Attributes:
        kind: rules of quantisation.
        side_px: side of the picture where the config does not say.
        mean: of the channels.
        std: of the channels.
        detects: it is a detection transformer.
    """

    kind: ModelKind
    side_px: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    detects: bool = False


_BLACK, _WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

FAMILIES: Mapping[str, Family] = {
    "resnet": Family("cnn"),
    "mobilenet_v1": Family("cnn", mean=HALF, std=HALF),
    "mobilenet_v2": Family("cnn", mean=HALF, std=HALF),
    "vit": Family("transformer", mean=HALF, std=HALF),
    "d_fine": Family("transformer", side_px=640, mean=_BLACK, std=_WHITE, detects=True),
    "rt_detr_v2": Family("transformer", side_px=640, mean=_BLACK, std=_WHITE, detects=True),
}
"""By `model_type` of the config; statistics and sizes as the processors of transformers have them."""

RECIPES = {"blip": "blip-vqa", "sam": "sam"}
"""Models of several parts, which are compiled part by part."""


def huggingface_source(folder: Path, *, batch: int | None = 1, licence: str = "") -> Source:
    """Make a source of a Hugging Face folder.

    Args:
        folder: with `config.json`; `*.safetensors` beside it, or no weights at all.
        batch: size of axis 0 of the graph; None leaves it open.
        licence: of the weights; empty: what the folder's README says.

    Returns:
        the source.

    Raises:
        SourceError: weights only as pickles, a kind of model that has a recipe instead, or one that is not known.
    """
    config = _read_json(folder / "config.json")
    model_type = str(config.get("model_type", ""))
    family = _family(model_type, folder)
    weights = find_weights(folder)
    stated = licence or stated_licence(folder)
    name = _name(folder, config)
    size = _size_wh(config, family)
    trained = bool(weights)
    lineage = {
        "source": f"Hugging Face {name}",
        "model_type": model_type,
        "weights": ", ".join(path.name for path in weights) if trained else f"random, seed {SEED}: for speed only",
    }
    picture = picture_input(
        size, _read_json(folder / "preprocessor_config.json"), mean=family.mean, std=family.std, crop=not family.detects
    )
    answer = _answer(config, family)

    @cache
    def make_module() -> "torch.nn.Module":
        return _Loader(folder, answer, trained).load()

    @cache
    def make_graph() -> Graph:
        from fleetsight.accel.sources.export import onnx_of

        onnx = onnx_of(make_module(), example, outputs=OUTPUTS[answer], batch=batch, name=name)
        return Graph.from_onnx(name, onnx, licence=stated, lineage=lineage)

    example = picture.prepare(made_up_pictures(1).images[0])
    return Source(
        name=name,
        graph=make_graph,
        module=make_module,
        example=example,
        weights_sha256=_digest(folder, weights, batch),
        licence=stated,
        lineage=lineage,
        model_kind=family.kind,
        answer=answer,
        prepare=picture.prepare,
        is_trained=trained,
    )


OUTPUTS: Mapping[Answer, tuple[str, ...]] = {
    "classes": ("logits",),
    "vector": ("vector",),
    "queries": ("logits", "boxes_cxcywh"),
}


@dataclass(frozen=True)
class _Loader:
    """Loads the model and gives it plain tensors in and out."""

    folder: Path
    answer: Answer
    trained: bool

    def load(self) -> "torch.nn.Module":
        try:
            import torch
            import transformers
        except ImportError as error:
            raise not_installed(error) from error
        logging: Any = transformers.logging
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        kind: Any = {
            "classes": transformers.AutoModelForImageClassification,
            "vector": transformers.AutoModel,
            "queries": transformers.AutoModelForObjectDetection,
        }[self.answer]
        try:
            if self.trained:
                net = kind.from_pretrained(
                    self.folder,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                    dtype=torch.float32,
                )
            else:
                torch.manual_seed(SEED)
                config = transformers.AutoConfig.from_pretrained(
                    self.folder, local_files_only=True, trust_remote_code=False
                )
                net = kind.from_config(config)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise SourceError(
                f"transformers cannot load {self.folder}: {str(error).strip().splitlines()[0][:300]}",
                hint="the folder must hold config.json and the weights it describes, as safetensors",
            ) from error
        return _plain(net.float().eval(), self.answer)


def _plain(net: "torch.nn.Module", answer: Answer) -> "torch.nn.Module":
    """Wrap a model so that it takes the picture by position and answers tensors.

    A detector's answer is raw: class logits and normalised boxes of every query. Scores, pixels and the choice of the best
    are the host's, in float32.
    """
    import torch

    read: Callable[[Any], Any] = {
        "classes": lambda found: found.logits,
        "vector": lambda found: found.pooler_output.flatten(1),
        "queries": lambda found: (found.logits, found.pred_boxes),
    }[answer]

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, pixel_values: torch.Tensor) -> Any:
            return read(self.net(pixel_values=pixel_values))

    return Plain().eval()


def _family(model_type: str, folder: Path) -> Family:
    if model_type in RECIPES:
        raise SourceError(
            f"{folder} is a {model_type} model: it has several parts, which are compiled one by one",
            hint=f"fleetsight compile {folder} --recipe {RECIPES[model_type]}",
        )
    if model_type not in FAMILIES:
        raise SourceError(
            f"{folder} has model_type {model_type!r}, known are {', '.join(FAMILIES)}",
            hint="export it to ONNX yourself, or give a torch module: fleetsight compile package.module:factory",
        )
    return FAMILIES[model_type]


def _answer(config: Mapping[str, Any], family: Family) -> Answer:
    if family.detects:
        return "queries"
    names = config.get("architectures") or [""]
    return "classes" if "ForImageClassification" in str(names[0]) else "vector"


def _size_wh(config: Mapping[str, Any], family: Family) -> tuple[int, int]:
    side = config.get("image_size") or config.get("eval_size") or family.side_px
    if isinstance(side, list):
        return (int(side[1]), int(side[0]))
    return (int(side), int(side))


def _digest(folder: Path, weights: Sequence[Path], batch: int | None) -> str:
    digest = hashlib.sha256()
    for path in (folder / "config.json", folder / "preprocessor_config.json", *weights):
        if path.is_file():
            with path.open("rb") as stream:
                digest.update(f"{path.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    versions = versions_of(("torch", "transformers"))
    digest.update(json.dumps([EXPORT_FORMAT, SEED, batch, versions]).encode())
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not JSON: {error}", hint="fetch the folder again") from error
    return value if isinstance(value, dict) else {}


def _name(folder: Path, config: Mapping[str, Any]) -> str:
    raw = str(config.get("_name_or_path") or folder.resolve().name).lower().strip("/")
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in raw)
    return kept.lstrip("._-")[:64] or "model"
