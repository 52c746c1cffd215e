"""The card of a model: everything needed to feed it and to read its answer, plus where it comes from.

`card.json` is checked field by field: an unknown name, a missing one or a wrong value is an error that names the field.
Numbers go into the network as `(pixel * scale - mean) / std` per channel, in the order the card names.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from fleetsight.errors import Error
from fleetsight.store.fields import check_names
from fleetsight.vision.letterbox import Place

FORMAT = 1
"""Version of the card's schema."""

SIDE_PX_MAX = 4096
"""Largest side of a model's input; keeps one batch under 200 MB."""

LABELS_MAX = 10_000
"""Most label names in a card."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Names of models: they become folder names, so no separators, no capitals, no leading dot."""

TASKS = ("detect", "embed")
DECODERS = ("yolox", "fleetsight_dense", "none")


class CardError(Error):
    """A model's card is missing a field, has an unknown one, or a value that makes no sense."""

    code = "model_card"


@dataclass(frozen=True)
class Card:
    """What a model eats, what it answers and where it comes from.

    Attributes:
        name: name of the model: lower case, digits, dot, dash, underscore.
        task: "detect" answers with a dense head, "embed" with one vector.
        input_size_wh: width and height of the input in pixels.
        decoder: how to read a detector's answer; "none" for an embedder.
        labels: name of each class, in the order of the head's columns; empty for an embedder.
        licence: licence of the weights, SPDX name where there is one.
        lineage: where the weights come from: free keys; a key that contains "licence" is checked like `licence`.
        layout: order of the input's axes; only "NCHW".
        channel_order: order of the colours the network was trained on.
        scale: a pixel 0-255 is first multiplied by this.
        mean: then this is subtracted, per channel in `channel_order`.
        std: then it is divided by this, per channel in `channel_order`.
        pad_value: grey level of the letterbox padding, 0-255.
        pad_place: where the picture lies in the letterbox.
        strides: pixels per cell of each grid of a dense head; empty for an embedder.
        resizable: the network also runs at other input sizes that are multiples of the strides; measured, not claimed.
        metrics: what was measured, free keys.
        sha256: digest of `model.onnx`, lower-case hex; filled in by `PortableModel.save`.
    """

    name: str
    task: Literal["detect", "embed"]
    input_size_wh: tuple[int, int]
    decoder: Literal["yolox", "fleetsight_dense", "none"]
    labels: tuple[str, ...]
    licence: str
    lineage: Mapping[str, Any]
    layout: Literal["NCHW"] = "NCHW"
    channel_order: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pad_value: int = 114
    pad_place: Place = "top_left"
    strides: tuple[int, ...] = (8, 16, 32)
    resizable: bool = False
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        for name, (good, wanted) in _RULES.items():
            if not good(getattr(self, name)):
                raise CardError(f"card field {name!r} is {getattr(self, name)!r}, expected {wanted}")
        if self.task == "embed" and (self.decoder != "none" or self.labels or self.strides):
            raise CardError("an embedder has decoder 'none', no labels and no strides")
        if self.task == "detect":
            self._check_detector()

    def _check_detector(self) -> None:
        if self.decoder == "none" or not self.labels or not self.strides:
            raise CardError(
                "a detector needs a decoder, labels and strides", hint=f"decoders: {', '.join(DECODERS[:-1])}"
            )
        odd = [stride for stride in self.strides if any(side % stride for side in self.input_size_wh)]
        if odd:
            raise CardError(f"input_size_wh {self.input_size_wh} is not a multiple of the strides {odd}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: isinstance(value, str) and value in choices), "one of " + ", ".join(map(repr, choices))


def _are_numbers(value: Any, *, positive: bool) -> bool:
    return len(value) == 3 and all(_is_number(part) and (part > 0 or not positive) for part in value)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (
        lambda v: isinstance(v, str) and NAME.fullmatch(v) is not None,
        "lower-case letters, digits, '.', '_' or '-', at most 64, beginning with a letter or digit",
    ),
    "task": _is_one_of(*TASKS),
    "decoder": _is_one_of(*DECODERS),
    "layout": _is_one_of("NCHW"),
    "channel_order": _is_one_of("RGB", "BGR"),
    "pad_place": _is_one_of("top_left", "centre"),
    "input_size_wh": (
        lambda v: isinstance(v, tuple) and len(v) == 2 and all(_is_count(side, 1, SIDE_PX_MAX) for side in v),
        f"two whole numbers, 1 to {SIDE_PX_MAX}",
    ),
    "labels": (
        lambda v: (
            isinstance(v, tuple)
            and len(v) <= LABELS_MAX
            and all(isinstance(name, str) and name.strip() for name in v)
            and len(set(v)) == len(v)
        ),
        f"a list of at most {LABELS_MAX} different names",
    ),
    "licence": (lambda v: isinstance(v, str) and bool(v.strip()), "the name of a licence, such as 'Apache-2.0'"),
    "lineage": (lambda v: isinstance(v, Mapping), "an object"),
    "metrics": (lambda v: isinstance(v, Mapping), "an object"),
    "scale": (lambda v: _is_number(v) and v > 0, "a number above 0"),
    "mean": (lambda v: isinstance(v, tuple) and _are_numbers(v, positive=False), "three numbers"),
    "std": (lambda v: isinstance(v, tuple) and _are_numbers(v, positive=True), "three numbers above 0"),
    "pad_value": (lambda v: _is_count(v, 0, 255), "a whole number, 0 to 255"),
    "strides": (
        lambda v: isinstance(v, tuple) and len(v) <= 8 and all(_is_count(stride, 1, 1024) for stride in v),
        "at most 8 whole numbers",
    ),
    "resizable": (lambda v: isinstance(v, bool), "true or false"),
    "sha256": (
        lambda v: isinstance(v, str) and re.fullmatch("[0-9a-f]{64}|", v) is not None,
        "64 lower-case hexadecimal digits",
    ),
}


def parse_card(text: str | bytes) -> Card:
    """Read a card.

    Args:
        text: content of `card.json`.

    Returns:
        the card, every field checked.

    Raises:
        CardError: the text is not JSON, or a field is unknown, missing or wrong.
    """
    try:
        raw = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise CardError(f"card.json is not valid JSON: {error}") from error
    if not isinstance(raw, dict):
        raise CardError(f"card.json must hold an object, got {type(raw).__name__}")
    return parse_card_fields(raw)


def parse_card_fields(raw: dict[str, Any]) -> Card:
    """Read a card that travels inside another file.

    Args:
        raw: the card as JSON read it.

    Returns:
        the card, every field checked.

    Raises:
        CardError: a field is unknown, missing or wrong.
    """
    raw = dict(raw)
    if raw.pop("format", None) != FORMAT:
        raise CardError(f"card field 'format' must be {FORMAT}", hint="the model may come from another version")
    known = [entry.name for entry in fields(Card)]
    check_names(raw, known, error=CardError, what="card")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
    return Card(**values)


def format_card(card: Card) -> str:
    """Write a card.

    Args:
        card: the card.

    Returns:
        text of `card.json`; `parse_card` reads it back to an equal card.
    """
    return json.dumps(card_fields(card), indent=2, ensure_ascii=False) + "\n"


def card_fields(card: Card) -> dict[str, Any]:
    """The card as plain JSON.

    Args:
        card: the card.

    Returns:
        an object that `parse_card_fields` reads back to an equal card.
    """
    fields_of_card: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **asdict(card)}))
    return fields_of_card


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise CardError(f"card field {name!r} stands twice")
        seen[name] = value
    return seen
