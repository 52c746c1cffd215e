"""Take an ONNX file from outside into the model store: find out what can be found out, ask for the rest.

The input size comes from the file, normalisation from the decoder's preset, label names and licence from the caller.
The shape of the answer is checked against the decoder, then the model runs once on a made-up picture, so that a wrong
decoder is an error here and not strange boxes later.
"""

import hashlib
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fleetsight.accel.bundled import bundled_names
from fleetsight.accel.card import Card
from fleetsight.accel.importing.trial import run_trial
from fleetsight.accel.licence import UNSTATED
from fleetsight.accel.modelstore import accept_licence
from fleetsight.accel.onnx_file import Port, read_facts
from fleetsight.accel.portable import MODEL_BYTES_MAX, ModelError, PortableModel, head_shape, read_plain, refuse_pickle
from fleetsight.accel.session import TargetError
from fleetsight.errors import Error
from fleetsight.vision.heads import COLUMNS_BEFORE_CLASSES, STRIDES, Decoder
from fleetsight.vision.image import ShapeError

PRESETS: dict[str, dict[str, Any]] = {
    # Released YOLOX code (github.com/Megvii-BaseDetection/YOLOX, yolox/data/data_augment.py, preproc).
    "yolox": {"channel_order": "BGR", "scale": 1.0, "pad_value": 114, "pad_place": "top_left"},
    # Our own recipe (fleetsight train detector).
    "fleetsight_dense": {"channel_order": "RGB", "scale": 1.0 / 255.0, "pad_value": 114, "pad_place": "top_left"},
}
"""Normalisation that each decoder's family was trained with."""

KNOWN_FILES: dict[str, dict[str, str]] = {
    "695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14": {
        "licence": "Apache-2.0",
        "source": "YOLOX-Nano, COCO, github.com/Megvii-BaseDetection/YOLOX, as exported in Kazuhito00/YOLOX-ONNX-TFLite-Sample",
    },
}
"""Public files by SHA-256: licence and source, so that nobody has to look them up."""


class ImportModelError(Error):
    """An ONNX file does not fit the decoder, the labels or the size given."""

    code = "model_import"


@dataclass(frozen=True)
class ImportOptions:
    """What the file does not say about itself.

    Attributes:
        name: name in the store.
        decoder: how to read the head.
        labels: name of each class.
        licence: licence of the weights; empty: looked up for well-known files, else "unstated".
        size_wh: input width and height in pixels; None: as the file says.
        preset: fields of the card that differ from the decoder's preset, such as `channel_order`.
    """

    name: str
    decoder: Decoder
    labels: tuple[str, ...]
    licence: str = ""
    size_wh: tuple[int, int] | None = None
    preset: dict[str, Any] = field(default_factory=dict)


def import_onnx(
    file: Path,
    options: ImportOptions,
    *,
    store_dir: Path,
    allow_restricted_licence: bool = False,
    replace_existing: bool = False,
) -> PortableModel:
    """Import a detector.

    Args:
        file: the ONNX file.
        options: what it does not say about itself.
        store_dir: the model store; made when missing.
        allow_restricted_licence: accept AGPL, GPL and non-commercial lineage, and remember that for this file.
        replace_existing: take the place of a model of the same name.

    Returns:
        the model as stored.

    Raises:
        ImportModelError: the file does not fit the options, or the name is taken.
        ModelError: the file is no acceptable model.
        CardError: the options make no valid card.
        LicenceError: the lineage is restricted.
        TargetError: no target can run the model.
    """
    onnx = read_plain(file, MODEL_BYTES_MAX)
    refuse_pickle(onnx, name=str(file))
    card = _card(file, onnx, options)
    folder = store_dir / card.name
    if card.name in bundled_names():
        raise ImportModelError(f"a model named {card.name!r} ships with the package", hint="choose another --name")
    if folder.exists() and not replace_existing:
        raise ImportModelError(
            f"the store has a model {card.name!r} already", hint="choose another --name or --replace it"
        )
    store_dir.mkdir(parents=True, exist_ok=True)
    draft = store_dir / f".{card.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        model = PortableModel.save(draft, onnx, card=card, allow_restricted_licence=allow_restricted_licence)
        run_trial(model)
        if _runs_at_other_sizes(model):
            shutil.rmtree(draft)
            model = PortableModel.save(
                draft, onnx, card=replace(card, resizable=True), allow_restricted_licence=allow_restricted_licence
            )
        if allow_restricted_licence:
            accept_licence(store_dir, model.card.sha256)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return PortableModel.load(folder, allow_restricted_licence=allow_restricted_licence)


def _card(file: Path, onnx: bytes, options: ImportOptions) -> Card:
    facts = read_facts(onnx)
    if len(facts.inputs) != 1:
        raise ImportModelError(f"the model must have one input, it has {', '.join(map(str, facts.inputs)) or 'none'}")
    known = KNOWN_FILES.get(hashlib.sha256(onnx).hexdigest(), {})
    fields: dict[str, Any] = {**PRESETS[options.decoder], **options.preset}
    card = Card(
        name=options.name,
        task="detect",
        input_size_wh=_size_wh(facts.inputs[0], options.size_wh),
        decoder=options.decoder,
        labels=options.labels,
        licence=options.licence or known.get("licence", UNSTATED),
        lineage={"source": known.get("source", file.name), "imported_sha256": hashlib.sha256(onnx).hexdigest()},
        strides=STRIDES,
        **fields,
    )
    if len(facts.outputs) != 1:
        raise ImportModelError(
            f"the model must have one output, it has {', '.join(map(str, facts.outputs))}",
            hint="export the raw head as one tensor, without suppression inside the graph",
        )
    _check_head(facts.outputs[0], card)
    return card


def _size_wh(entry: Port, size_wh: tuple[int, int] | None) -> tuple[int, int]:
    shape = entry.shape
    if len(shape) == 4 and shape[3] == 3 and shape[1] != 3:
        raise ImportModelError(f"the input is {entry}: channels last", hint="export with channels first, (1, 3, h, w)")
    if len(shape) != 4 or shape[1] not in {3, None} or shape[0] not in {1, None}:
        raise ImportModelError(
            f"the input is {entry}, one image (1, 3, h, w) is needed", hint="export with batch size 1"
        )
    height, width = shape[2], shape[3]
    if size_wh is None:
        if width is None or height is None:
            raise ImportModelError(
                f"the input is {entry}: its size is open", hint="name it with --size, such as 416x416"
            )
        return width, height
    if width not in {None, size_wh[0]} or height not in {None, size_wh[1]}:
        raise ImportModelError(f"the input is {entry}, not {size_wh[0]} x {size_wh[1]}", hint="leave --size out")
    return size_wh


def _check_head(answer: Port, card: Card) -> None:
    """Compare the declared answer with what the decoder reads; say what it looks like instead."""
    _, count, columns = head_shape(card)
    shape = answer.shape
    if not shape or all(side is None for side in shape):
        return  # the trial run will tell
    fits = len(shape) == 3 and all(side in {None, want} for side, want in zip(shape, (1, count, columns), strict=True))
    if not fits:
        message = f"decoder {card.decoder!r} with {len(card.labels)} labels reads (1, {count}, {columns}), the model answers {answer}"
        raise ImportModelError(message, hint=_guess(shape, card))


def _guess(shape: tuple[int | None, ...], card: Card) -> str:
    """The likeliest reason why an answer does not fit."""
    _, count, columns = head_shape(card)
    if len(shape) != 3:
        return "export the raw head as one tensor (1, n, numbers per cell)"
    rows, width = shape[1], shape[2]
    before = COLUMNS_BEFORE_CLASSES[card.decoder]
    other: Decoder = "fleetsight_dense" if card.decoder == "yolox" else "yolox"
    if width == count or (rows is not None and width is not None and rows < width):
        return "its last two axes are swapped, (1, numbers, n): this is another family's head; export it as (1, n, numbers)"
    if rows == 3 * count:
        return "three boxes a cell: an anchor-based head (YOLOv5, YOLOv7), which no decoder here reads"
    if width in {6, 7} and rows != count:
        return "finished boxes: suppression is inside the graph; export the raw head without it"
    if rows == count and width is not None:
        if width == COLUMNS_BEFORE_CLASSES[other] + len(card.labels):
            return f"it fits --decoder {other}"
        if width > before:
            return f"the head has {width - before} classes, the labels name {len(card.labels)}: give the right --labels"
    if width == columns:
        return "another number of cells: strides other than 8, 16, 32, or another input size"
    return "see docs/adr/0004-portable-model.md for what each decoder reads"


def _runs_at_other_sizes(model: PortableModel) -> bool:
    """Whether the network also runs on half the height."""
    step = max(model.card.strides)
    width, height = model.card.input_size_wh
    smaller = max(step, height // 2 // step * step)
    if smaller == height:
        return False
    try:
        run_trial(model.resized((width, smaller)))
    except (TargetError, ModelError, ShapeError):
        return False
    return True
