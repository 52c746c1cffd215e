"""A portable model: a folder with `model.onnx` and `card.json`, every part checked before anything runs it.

Loading reads both files once and keeps the bytes: what was checked is what runs, whatever happens to the folder
afterwards. Nothing in the folder is ever executed or unpickled.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from fleetsight.accel.card import Card, format_card, parse_card
from fleetsight.accel.graph import Graph, TensorSpec
from fleetsight.accel.licence import refuse_restricted
from fleetsight.accel.onnx_file import FLOAT32, OnnxFacts, looks_pickled, read_facts, with_input_size
from fleetsight.errors import Error
from fleetsight.vision.heads import COLUMNS_BEFORE_CLASSES, cells
from fleetsight.vision.letterbox import fit

MODEL_FILE = "model.onnx"
CARD_FILE = "card.json"

MODEL_BYTES_MAX = 512 * 1024**2
"""Largest model file; what runs on cameras is a hundredth of it."""

CARD_BYTES_MAX = 1024**2
"""Largest card; ten thousand label names fit."""

FILES_MAX = 16
"""Most files in a model's folder."""

_PLAIN_SUFFIXES = {".md", ".txt", ".json", ".png", ".svg", ""}
"""Suffixes of files that may lie beside the model: text and pictures of it."""


class ModelError(Error):
    """A model folder is not what it must be."""

    code = "model"


@dataclass(frozen=True)
class PortableModel:
    """A model whose folder was checked.

    Attributes:
        folder: where it was read from.
        card: what it eats and answers.
        onnx: bytes of `model.onnx`, checked against the card's digest.
        facts: what the file says about its inputs and outputs.
    """

    folder: Path
    card: Card
    onnx: bytes = field(repr=False)
    facts: OnnxFacts = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.card.name

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of one batch: (1, 3, h, w)."""
        width, height = self.card.input_size_wh
        return (1, 3, height, width)

    @property
    def graph(self) -> Graph:
        """The computation, for targets: sizes as the card says them, an open batch left open."""
        entry, answer = self.facts.inputs[0], self.facts.outputs[0]
        batch = None if entry.shape and entry.shape[0] is None else 1
        sides = (answer.shape[1] or 1,) if self.card.decoder == "none" else head_shape(self.card)[1:]
        return Graph(
            name=self.name,
            onnx=self.onnx,
            inputs=(TensorSpec(name=entry.name, element="f32", shape=(batch, *self.input_shape[1:])),),
            outputs=(TensorSpec(name=answer.name, element="f32", shape=(batch, *sides)),),
            licence=self.card.licence,
            lineage=self.card.lineage,
        )

    def check_licence(self) -> None:
        """Refuse a restricted lineage, named by the card or by the ONNX file itself.

        Raises:
            LicenceError: some licence is restricted.
        """
        named = {"licence": self.card.licence, "lineage": self.card.lineage, "ONNX metadata": self.facts.metadata}
        refuse_restricted(named, model=self.name)

    def trimmed(self, image_wh: tuple[int, int]) -> "PortableModel":
        """The same model without the padding that images of one size would leave.

        A 640 x 360 clip fills 416 x 234 of a 416 x 416 input; trimmed to 416 x 256 the network does 38 % less work and
        sees the same pixels.

        Args:
            image_wh: width and height of the images in pixels.

        Returns:
            a model in memory with a smaller input, or this one when it is not resizable or nothing can go.
        """
        size_wh = self.trimmed_size_wh(image_wh)
        return self if size_wh == self.card.input_size_wh else self.resized(size_wh)

    def trimmed_size_wh(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """Input size of the trimmed model.

        Args:
            image_wh: width and height of the images in pixels.

        Returns:
            width and height in pixels; those of this model when it is not resizable or nothing can go.
        """
        card = self.card
        if not card.resizable or card.task != "detect":
            return card.input_size_wh
        content, step = fit(image_wh, card.input_size_wh).content_wh, max(card.strides)
        width, height = (
            min(full, -(-side // step) * step) for side, full in zip(content, card.input_size_wh, strict=True)
        )
        return (width, height)

    def resized(self, size_wh: tuple[int, int]) -> "PortableModel":
        """The same network for an input of another size.

        Args:
            size_wh: width and height in pixels, multiples of the strides.

        Returns:
            a model in memory, its digest that of the changed bytes.

        Raises:
            ModelError: it is not a detector.
            CardError: the size is not a multiple of the strides.
        """
        if self.card.task != "detect":
            raise ModelError(f"model {self.name!r} is no detector: its input has one size")
        card = replace(self.card, input_size_wh=size_wh)
        onnx = with_input_size(self.onnx, size_wh, output_shape=head_shape(card))
        card = replace(card, sha256=hashlib.sha256(onnx).hexdigest())
        return PortableModel(folder=self.folder, card=card, onnx=onnx, facts=check_onnx(onnx, card))

    @classmethod
    def load(cls, folder: Path | str, *, allow_restricted_licence: bool = False) -> "PortableModel":
        """Read and check a model folder.

        Args:
            folder: folder with `model.onnx` and `card.json`.
            allow_restricted_licence: accept AGPL, GPL, non-commercial and field-of-use lineage.

        Returns:
            the model, its bytes in memory.

        Raises:
            ModelError: a file is missing, too large, a link that leads out, a pickle, or its digest is wrong.
            CardError: the card is wrong.
            OnnxError: the model file is not ONNX.
            LicenceError: the lineage is restricted.
        """
        root = Path(folder)
        _check_entries(root)
        card = parse_card(read_plain(root / CARD_FILE, CARD_BYTES_MAX))
        onnx = read_plain(root / MODEL_FILE, MODEL_BYTES_MAX)
        digest = hashlib.sha256(onnx).hexdigest()
        if digest != card.sha256:
            raise ModelError(
                f"{root / MODEL_FILE} has SHA-256 {digest}, the card says {card.sha256 or 'nothing'}",
                hint="the file was changed or damaged: fetch the folder again",
            )
        model = cls(folder=root, card=card, onnx=onnx, facts=check_onnx(onnx, card))
        if not allow_restricted_licence:
            model.check_licence()
        return model

    @classmethod
    def save(
        cls, folder: Path | str, onnx: bytes | Path, *, card: Card, allow_restricted_licence: bool = False
    ) -> "PortableModel":
        """Write a model folder; it appears whole or not at all.

        Args:
            folder: where to write; must not hold a model yet.
            onnx: the ONNX file or its bytes.
            card: the card; its digest is filled in.
            allow_restricted_licence: accept AGPL, GPL, non-commercial and field-of-use lineage.

        Returns:
            the model as loaded back from the folder.

        Raises:
            ModelError: the folder exists and is not empty, or the model is not acceptable.
            CardError: the card does not describe the model.
            OnnxError: the model file is not ONNX.
            LicenceError: the lineage is restricted.
        """
        root = Path(folder)
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise ModelError(f"{root} exists already", hint="remove it or choose another name")
        content = onnx if isinstance(onnx, bytes) else read_plain(Path(onnx), MODEL_BYTES_MAX)
        refuse_pickle(content, name=str(onnx) if isinstance(onnx, Path) else MODEL_FILE)
        full_card = replace(card, sha256=hashlib.sha256(content).hexdigest())
        root.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
        try:
            (draft / MODEL_FILE).write_bytes(content)
            (draft / CARD_FILE).write_text(format_card(full_card), encoding="utf-8")
            cls.load(draft, allow_restricted_licence=allow_restricted_licence)
            draft.chmod(0o755)
            draft.replace(root)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return cls.load(root, allow_restricted_licence=allow_restricted_licence)


def check_onnx(onnx: bytes, card: Card) -> OnnxFacts:
    """Check a model file against a card.

    Args:
        onnx: the whole file.
        card: what it should be.

    Returns:
        what the file says about itself.

    Raises:
        ModelError: the file holds a pickle, weights outside the file, or inputs and outputs other than the card's.
        OnnxError: it is not an ONNX model.
    """
    refuse_pickle(onnx, name=MODEL_FILE)
    facts = read_facts(onnx)
    if facts.external:
        raise ModelError(
            f"the ONNX file keeps weights outside itself: {', '.join(facts.external[:3])}",
            hint="save it as one file: onnx.save(model, path, save_as_external_data=False)",
        )
    width, height = card.input_size_wh
    if len(facts.inputs) != 1:
        raise ModelError(f"the model must have one input, it has {', '.join(map(str, facts.inputs)) or 'none'}")
    entry = facts.inputs[0]
    if entry.element != FLOAT32 or not _fits(entry.shape, (1, 3, height, width)):
        raise ModelError(
            f"the model's input is {entry}, the card needs float32 (1, 3, {height}, {width})",
            hint="export with batch 1 or an open batch and float32 input, channels first",
        )
    _check_outputs(facts, card)
    return facts


def head_shape(card: Card) -> tuple[int, int, int]:
    """Shape of the answer of a detector.

    Args:
        card: card of a detector.

    Returns:
        (1, n, c): n cells over all strides, c numbers per cell.
    """
    columns = COLUMNS_BEFORE_CLASSES[card.decoder] + len(card.labels)
    return (1, len(cells(card.input_size_wh, card.strides)), columns)


def refuse_pickle(content: bytes, *, name: str) -> None:
    """Refuse bytes that some loader would unpickle.

    Args:
        content: the whole file, or its beginning.
        name: name of the file, for the message.

    Raises:
        ModelError: it is a pickle, a zip file such as torch.save writes, or a numpy file.
    """
    if looks_pickled(content):
        raise ModelError(
            f"{name} is a pickle or an archive, which can run code when it is loaded: refused",
            hint="export the model to ONNX where you trust its author: torch.onnx.export(...)",
        )


def _check_outputs(facts: OnnxFacts, card: Card) -> None:
    shapes = [port.shape for port in facts.outputs]
    if len(shapes) != 1:
        raise ModelError(f"the model must have one output, it has {', '.join(map(str, facts.outputs))}")
    if card.decoder == "none":
        if len(shapes[0]) != 2 or shapes[0][0] not in {None, 1} or shapes[0][1] is None:
            raise ModelError(f"an embedder answers (1, d), the model answers {facts.outputs[0]}")
        return
    wanted = head_shape(card)
    if not _fits(shapes[0], wanted):
        raise ModelError(
            f"decoder {card.decoder!r} with {len(card.labels)} labels reads {wanted}, the model answers {facts.outputs[0]}",
            hint="another decoder, other labels or another input size",
        )


def _fits(shape: tuple[int | None, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a shape equals the wanted one where it is not open; an output without a shape fits."""
    return not shape or (
        len(shape) == len(wanted) and all(side in {None, want} for side, want in zip(shape, wanted, strict=True))
    )


def _check_entries(root: Path) -> None:
    if not root.is_dir():
        raise ModelError(f"{root} is not a folder", hint=f"a model is a folder with {MODEL_FILE} and {CARD_FILE}")
    home = root.resolve()
    entries = sorted(root.iterdir())
    for entry in entries:
        if entry.suffix.lower() not in _PLAIN_SUFFIXES and entry.name != MODEL_FILE:
            raise ModelError(
                f"{entry} does not belong in a model folder",
                hint=f"it may hold {MODEL_FILE}, {CARD_FILE}, texts and pictures; never pickles (.pt, .pkl, .bin)",
            )
        if not entry.resolve().is_relative_to(home):
            raise ModelError(f"{entry} is a link that leads out of the folder", hint="copy the file into the folder")
        if not entry.is_file():
            raise ModelError(f"{entry} is not a plain file", hint="a model folder holds files only")
    if len(entries) > FILES_MAX:
        raise ModelError(f"{root} holds {len(entries)} files, at most {FILES_MAX} are expected")
    for name in (CARD_FILE, MODEL_FILE):
        if not (root / name).exists():
            raise ModelError(
                f"{root} has no {name}", hint="make a model folder with: fleetsight model import FILE.onnx ..."
            )


def read_plain(path: Path, bytes_max: int) -> bytes:
    """Read one plain file.

    Args:
        path: the file; pipes, devices and folders are refused.
        bytes_max: a larger file is refused.

    Returns:
        its bytes.

    Raises:
        ModelError: it cannot be read, is not a plain file, or is too large.
    """
    try:
        # Without O_NONBLOCK opening a named pipe would wait for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ModelError(f"{path} is not a plain file")
        content = stream.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise ModelError(f"{path} is larger than {bytes_max} bytes")
    return content
