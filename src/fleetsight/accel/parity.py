"""Whether a compiled model still answers what the float32 model answers, on real inputs.

Each gate compares one kind of answer and has one limit; a gate that fails makes the compile fail, with the figures. What a
gate cannot say is said too: on random weights, or on pictures in which the model sees nothing, agreement is vacuous.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.answers import boxes_of
from fleetsight.accel.pictures import Pictures, made_up_pictures
from fleetsight.accel.session import Arrays, Session
from fleetsight.accel.sources.source import Answer, Source
from fleetsight.errors import Error
from fleetsight.vision.average_precision import average_precision
from fleetsight.vision.box import iou
from fleetsight.vision.detections import Detections
from fleetsight.vision.letterbox import fit

TENSOR_LIMITS = {"f32": 1e-3, "f16": 0.02, "bf16": 0.1, "int8": 0.25}
"""Largest relative error (norm of the difference by norm of the answer) where nothing is known of the answer. f32 targets
differ by 1e-6; bfloat16 keeps 8 bits: YOLOX-Nano, some hundred layers deep, comes to 0.027."""

LIMITS: Mapping[Answer, Mapping[str, float]] = {
    "dense": {"boxes": 1.0, "scores": 0.02},
    "queries": {"boxes": 1.0, "scores": 0.02},
    "classes": {"answers": 0.02},
    "vector": {"vectors": 0.01},
    "tensors": {"tensors": 0.0},
}
"""Gates and limits by kind of answer: boxes in pixels of the model's input, scores 0-1, answers as the share that changed,
vectors as 1 - cosine; the limit of `tensors` depends on the precision. From the issue and docs/adr/0015."""

TASK_LIMIT = 0.5
"""Largest loss of the task's metric in points of a hundred (mAP, top-1)."""

GATES = ("tensors", "boxes", "scores", "answers", "vectors", "task")

SCORE_MIN = 0.3
"""Boxes below are nobody's answer: what `Detector.detect` drops by default."""

LISTED_SCORE = 0.05
"""Boxes from here on count for average precision."""

SHARE_OF_BOXES = 0.95
"""The limits on boxes and scores hold for this share of the boxes, and as many must be found again: suppression chooses among
neighbouring cells, and where two scores are equal to a thousandth it chooses differently, with no harm to anybody."""

SAME_BOX_IOU = 0.5
"""A box is found again when one of the same label overlaps it by this much."""

STEADY = 1e-3
"""An answer that varies less than this from picture to picture (spread by norm) says nothing about the pictures."""


class GateError(Error):
    """A compiled model does not answer what it must."""

    code = "gate_failed"


@dataclass(frozen=True)
class Gates:
    """What a compiled model is held to, and on what.

    Attributes:
        limits: by gate; gates that are not named have the limit of their kind.
        pictures: real inputs; models that take no pictures use `inputs` or their example.
        inputs: real inputs for models that take no pictures, batch 1 each.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    pictures: Pictures = field(default_factory=made_up_pictures)
    inputs: tuple[Arrays, ...] = ()

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            if name not in GATES or not (np.isfinite(limit) and limit >= 0):
                raise GateError(f"there is no gate {name}={limit}", hint=f"gates with a limit >= 0: {', '.join(GATES)}")

    def inputs_of(self, source: Source) -> list[Arrays]:
        """What the model is run on.

        Args:
            source: the model.

        Returns:
            inputs of batch 1.
        """
        if source.prepare is not None:
            return [source.prepare(image) for image in self.pictures.images]
        return list(self.inputs) or [source.example]

    def origin_of(self, source: Source) -> str:
        """Where the inputs come from, for the report."""
        if source.prepare is not None:
            return self.pictures.origin
        return f"{len(self.inputs)} inputs given" if self.inputs else "the example inputs alone"


@dataclass(frozen=True)
class GateResult:
    """What one gate measured.

    Attributes:
        gate: its name.
        used: how much of the limit was used up: up to 1 it held; infinite where nothing could be measured.
        limit: the limit; None where it is told and decides nothing.
        figures: what was measured.
        reason: why it failed; empty when it did not.
    """

    gate: str
    used: float
    limit: float | None
    figures: Mapping[str, float]
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the limit held."""
        return self.used <= 1.0


@dataclass(frozen=True)
class Parity:
    """What all gates measured.

    Attributes:
        results: one for each gate.
        tensors: "max_abs" and "relative" over all outputs, gated or not.
        inputs: how many inputs were compared.
        origin: where they come from.
        reference: what was compared with.
        vacuous: why agreement says little here; empty when it says something.
    """

    results: tuple[GateResult, ...]
    tensors: Mapping[str, float]
    inputs: int
    origin: str
    reference: str
    vacuous: str = ""

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(result.passed for result in self.results)

    @property
    def reason(self) -> str:
        """Why it failed; empty when it did not."""
        return "; ".join(f"{result.gate}: {result.reason}" for result in self.results if not result.passed)

    def as_json(self) -> dict[str, Any]:
        """The figures as plain JSON: one object by gate, and what they stand on."""
        gates = {
            result.gate: {"passed": result.passed, "limit": result.limit, **_rounded(result.figures)}
            | ({"reason": result.reason} if result.reason else {})
            for result in self.results
        }
        return {
            "passed": self.passed,
            "gates": gates,
            "tensors": _rounded(self.tensors),
            "inputs": self.inputs,
            "data": self.origin,
            "reference": self.reference,
            "vacuous": self.vacuous,
        }


@dataclass(frozen=True)
class Reference:
    """The answers of the float32 model.

    Attributes:
        source: the model.
        answers: outputs for each input of the gates, batch 1.
        name: what computed them.
    """

    source: Source
    answers: tuple[Arrays, ...] = field(repr=False)
    name: str


def run_all(session: Session, inputs: Sequence[Arrays]) -> list[Arrays]:
    """Run inputs of batch 1 on a session of any batch.

    Args:
        session: an open session.
        inputs: of batch 1.

    Returns:
        outputs of batch 1 for each input; a batch that is not full is filled up with its last input.
    """
    size = session.inputs[0].shape[0] if session.inputs[0].shape else 1
    step = _OPEN_BATCH if size is None else int(size)
    groups = [inputs[start : start + step] for start in range(0, len(inputs), step)]
    padded = [list(group) + [group[-1]] * ((step if size else len(group)) - len(group)) for group in groups]
    batches = [tuple(np.concatenate(ports) for ports in zip(*group, strict=True)) for group in padded]
    answers: list[Arrays] = []
    for group, outputs in zip(groups, session.map(batches), strict=True):
        answers += [tuple(port[row : row + 1] for port in outputs) for row in range(len(group))]
    return answers


_OPEN_BATCH = 3
"""Batch with which a session of open batch is proved: neither one nor a power of two."""


def compare(reference: Reference, session: Session, source: Source, gates: Gates) -> Parity:
    """Hold a compiled model to its gates.

    Args:
        reference: the answers of the float32 model on the same gates.
        session: the compiled model.
        source: what was compiled; prepares the pictures for it.
        gates: limits and inputs.

    Returns:
        what was measured; a number that is not finite fails every gate.

    Raises:
        TargetError: the target failed.
        ShapeError: the session takes other inputs than the source makes.
    """
    answers = run_all(session, gates.inputs_of(source))
    limits = gate_limits(source, gates, session.precision)
    broken = sum(1 for outputs in answers if not all(np.isfinite(port).all() for port in outputs))
    tensors = _tensor_figures(reference.answers, answers)
    measured = {name: _measure(name, reference, answers, gates, limit) for name, limit in limits.items()}
    if broken:
        reason = f"NaN or infinity in the answers to {broken} of {len(answers)} inputs"
        measured = {
            name: GateResult(name, used=math.inf, limit=limits[name], figures={}, reason=reason) for name in measured
        }
    return Parity(
        results=tuple(measured.values()),
        tensors=tensors,
        inputs=len(answers),
        origin=gates.origin_of(source),
        reference=reference.name,
        vacuous=_vacuous(reference),
    )


def gate_limits(source: Source, gates: Gates, precision: str) -> dict[str, float | None]:
    """The gates that count for a model, and their limits.

    Where the truth is known, the task's metric decides, and how far single answers move is told; a model may move a box and
    be as right as before. Where it is not known, agreement is all there is.

    Args:
        source: the model.
        gates: what the user asked for.
        precision: of the compiled model.

    Returns:
        limit by gate; None for one that is told and decides nothing.
    """
    limits: dict[str, float | None] = dict(LIMITS[source.answer])
    if "tensors" in limits:
        limits["tensors"] = TENSOR_LIMITS.get(precision, TENSOR_LIMITS["bf16"])
    if has_truth(source, gates):
        limits = dict.fromkeys(limits) | {"task": TASK_LIMIT}
    return limits | dict(gates.limits)


def has_truth(source: Source, gates: Gates) -> bool:
    """Whether the pictures come with what is on them, in the model's own terms."""
    known = gates.pictures.labels if source.answer == "classes" else gates.pictures.boxes
    return bool(known) and source.answer in {"dense", "queries", "classes"} and source.prepare is not None


def task_metric(source: Source, answers: Sequence[Arrays], gates: Gates) -> float:
    """What a model scores on the pictures' truth.

    Args:
        source: the model.
        answers: outputs for each picture, batch 1.
        gates: hold the truth.

    Returns:
        mAP at IoU 0.5 to 0.95 over the classes that occur, or top-1, in points of a hundred.
    """
    if source.answer == "classes":
        known = gates.pictures.labels
        right = [int(np.argmax(answers[index][0])) == label for index, label in known.items()]
        return 100.0 * float(np.mean(right))
    rows = gates.pictures.boxes
    found = [boxes_in_picture(source, answers[index], gates.pictures.images[index].shape) for index in rows]
    truth = list(rows.values())
    labels = sorted({int(label) for entry in truth for label in entry.labels})
    scores = [
        average_precision(found, truth, label=label, iou_min=float(overlap))
        for label in labels
        for overlap in np.arange(0.5, 1.0, 0.05)
    ]
    return 100.0 * float(np.mean(scores)) if scores else 0.0


def _measure(gate: str, reference: Reference, answers: list[Arrays], gates: Gates, limit: float | None) -> GateResult:
    source = reference.source
    if gate == "tensors":
        figures = _tensor_figures(reference.answers, answers)
        return _judged(gate, limit, figures, value=figures["relative"], unit="relative error")
    if gate in {"boxes", "scores"}:
        return _judge_boxes(gate, limit, _box_figures(source, reference.answers, answers))
    if gate == "answers":
        changed = [np.argmax(a[0]) != np.argmax(b[0]) for a, b in zip(reference.answers, answers, strict=True)]
        return _judged(gate, limit, {"changed": float(np.mean(changed))}, value=float(np.mean(changed)), unit="changed")
    if gate == "vectors":
        apart = [1.0 - _cosine(a[0], b[0]) for a, b in zip(reference.answers, answers, strict=True)]
        return _judged(gate, limit, {"apart_max": max(apart)}, value=max(apart), unit="away (1 - cosine)")
    if not has_truth(source, gates):
        reason = f"the pictures hold no truth for {source.name}"
        return GateResult(gate, used=math.inf, limit=limit, figures={}, reason=reason)
    before, after = (task_metric(source, found, gates) for found in (reference.answers, answers))
    figures = {"f32": before, "compiled": after, "drop": before - after}
    return _judged(gate, limit, figures, value=before - after, unit="points lost")


def _judged(gate: str, limit: float | None, figures: Mapping[str, float], *, value: float, unit: str) -> GateResult:
    if limit is None:
        return GateResult(gate, used=0.0, limit=None, figures=figures)
    # Written so that NaN fails.
    held = value <= limit
    used = math.inf if not np.isfinite(value) else max(value, 0.0) / limit if limit > 0 else 0.0 if held else math.inf
    reason = "" if held else f"{value:.4g} {unit}, at most {limit:g} is allowed"
    return GateResult(gate, used=used, limit=limit, figures=figures, reason=reason)


def _tensor_figures(first: Sequence[Arrays], second: Sequence[Arrays]) -> dict[str, float]:
    """Largest difference, and the largest relative one over outputs and inputs."""
    largest = relative = 0.0
    for mine, theirs in zip(first, second, strict=True):
        for port, other in zip(mine, theirs, strict=True):
            apart = port.astype(np.float64) - other.astype(np.float64)
            norm = max(float(np.linalg.norm(port.astype(np.float64))), 1e-12)
            largest = max(largest, float(np.abs(apart).max(initial=0.0)))
            relative = max(relative, float(np.linalg.norm(apart)) / norm)
    return {"max_abs": largest, "relative": relative}


def _box_figures(source: Source, first: Sequence[Arrays], second: Sequence[Arrays]) -> dict[str, float]:
    shifts, changes, lost, total = list[float](), list[float](), 0, 0
    for mine, theirs in zip(first, second, strict=True):
        wanted = boxes_of(source, mine, score_min=SCORE_MIN)
        # A box at the threshold may fall just below it: that is a change of its score and no loss.
        found = boxes_of(source, theirs, score_min=SCORE_MIN / 2)
        again = boxes_of(source, theirs, score_min=SCORE_MIN)
        total += max(len(wanted), len(again))
        pairs = _pairs(wanted, found)
        lost += (
            len(wanted)
            - len(pairs)
            + max(0, len(again) - len(_pairs(again, boxes_of(source, mine, score_min=SCORE_MIN / 2))))
        )
        for row, other in pairs:
            shifts.append(float(np.abs(wanted.boxes_xyxy_px[row] - found.boxes_xyxy_px[other]).max()))
            changes.append(abs(float(wanted.scores[row]) - float(found.scores[other])))
    figures = {"boxes": float(total), "lost_share": lost / total if total else 0.0}
    for name, values in (("shift_px", shifts), ("score", changes)):
        table = np.asarray(values or [0.0])
        figures |= {f"{name}_p50": float(np.median(table)), f"{name}_max": float(table.max())}
        figures[f"{name}_p{SHARE_OF_BOXES * 100:.0f}"] = float(np.quantile(table, SHARE_OF_BOXES))
    return figures


def _judge_boxes(gate: str, limit: float | None, figures: Mapping[str, float]) -> GateResult:
    named = "shift_px" if gate == "boxes" else "score"
    chosen = {name: value for name, value in figures.items() if name.startswith((named, "boxes", "lost"))}
    if limit is not None and figures["lost_share"] > 1.0 - SHARE_OF_BOXES:
        reason = f"{figures['lost_share']:.1%} of {figures['boxes']:.0f} boxes are lost or new"
        used = figures["lost_share"] / (1.0 - SHARE_OF_BOXES)
        return GateResult(gate, used=used, limit=limit, figures=chosen, reason=reason)
    unit = "px of shift" if gate == "boxes" else "of score"
    return _judged(gate, limit, chosen, value=figures[f"{named}_p{SHARE_OF_BOXES * 100:.0f}"], unit=unit)


def _pairs(wanted: Detections, found: Detections) -> list[tuple[int, int]]:
    """Each wanted box with the nearest one of its label that nobody took yet; best score first."""
    pairs, free = list[tuple[int, int]](), np.ones(len(found), dtype=bool)
    if not len(wanted) or not len(found):
        return pairs
    overlap = iou(wanted.boxes_xyxy_px, found.boxes_xyxy_px)
    for row in np.argsort(-wanted.scores, kind="stable"):
        allowed = np.where(free & (found.labels == wanted.labels[row]), overlap[row], 0.0)
        best = int(allowed.argmax())
        if allowed[best] >= SAME_BOX_IOU:
            free[best] = False
            pairs.append((int(row), best))
    return pairs


def boxes_in_picture(source: Source, outputs: Arrays, shape: tuple[int, ...]) -> Detections:
    """Boxes of a detector in pixels of the picture, as truth has them.

    Args:
        source: the detector.
        outputs: of batch 1.
        shape: of the picture, (h, w, 3).

    Returns:
        detections from `LISTED_SCORE` on.
    """
    found = boxes_of(source, outputs, score_min=LISTED_SCORE)
    height, width = shape[:2]
    if source.card is not None:
        box = fit((width, height), source.card.input_size_wh, place=source.card.pad_place)
        boxes = box.boxes_to_image(found.boxes_xyxy_px)
    else:
        side_h, side_w = source.example[0].shape[2:]
        boxes = found.boxes_xyxy_px * np.array([width / side_w, height / side_h] * 2, np.float32)
    return Detections(boxes_xyxy_px=boxes, scores=found.scores, labels=found.labels)


def _vacuous(reference: Reference) -> str:
    """Why agreement says little; empty when it says something."""
    source, answers = reference.source, reference.answers
    if not source.is_trained:
        return "the weights are random: agreement on them says little about trained ones"
    if source.answer in {"dense", "queries"} and not any(
        len(boxes_of(source, a, score_min=SCORE_MIN)) for a in answers
    ):
        return "the model finds nothing in any picture: give pictures of what it was trained for with --data"
    if len(answers) < 2:
        return "one input alone was compared: give real ones with --data"
    table = np.stack([answer[0].ravel().astype(np.float64) for answer in answers])
    spread = float(np.linalg.norm(table - table.mean(axis=0)) / max(float(np.linalg.norm(table)), 1e-12))
    if spread < STEADY:
        return f"the answer hardly depends on the picture (spread {spread:.1g}): random or dead weights look like this"
    return ""


def _cosine(first: NDArray[Any], second: NDArray[Any]) -> float:
    mine, theirs = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    length = float(np.linalg.norm(mine) * np.linalg.norm(theirs))
    return float(mine @ theirs) / length if length > 0.0 else float(not mine.any() and not theirs.any())


def _rounded(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Six significant digits; what is not finite becomes null, which JSON can hold."""
    return {name: float(f"{value:.6g}") if np.isfinite(value) else None for name, value in figures.items()}
