"""Whether a compiled model still answers what the float32 model answers, on real inputs.

Each gate compares one kind of answer and has one limit; a gate that fails makes the compile fail, with the figures. What a
gate cannot say is said too: on random weights, or on pictures in which the model sees nothing, agreement is vacuous.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fleetsight.accel.proving.agreement import (
    SCORE_MIN,
    SHARE_OF_BOXES,
    box_figures,
    cosine,
    task_metric,
    tensor_figures,
)
from fleetsight.accel.proving.answers import boxes_of
from fleetsight.accel.proving.pictures import Pictures, made_up_pictures
from fleetsight.accel.session import Arrays, Session
from fleetsight.accel.sources.source import Answer, Source
from fleetsight.errors import Error

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
        may_be_unproved: where a target can compile but not run, keep what nobody could compare; it is proved later.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    pictures: Pictures = field(default_factory=made_up_pictures)
    inputs: tuple[Arrays, ...] = ()
    may_be_unproved: bool = False

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


def compare(reference: Reference, session: Session, *, source: Source, gates: Gates) -> Parity:
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
    limits = gate_limits(source, gates, precision=session.precision)
    broken = sum(1 for outputs in answers if not all(np.isfinite(port).all() for port in outputs))
    tensors = tensor_figures(reference.answers, answers)
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


def gate_limits(source: Source, gates: Gates, *, precision: str) -> dict[str, float | None]:
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


def _measure(gate: str, reference: Reference, answers: list[Arrays], gates: Gates, limit: float | None) -> GateResult:
    source = reference.source
    if gate == "tensors":
        figures = tensor_figures(reference.answers, answers)
        return _judged(gate, limit, figures, value=figures["relative"], unit="relative error")
    if gate in {"boxes", "scores"}:
        return _judge_boxes(gate, limit, box_figures(source, reference.answers, second=answers))
    if gate == "answers":
        changed = [np.argmax(a[0]) != np.argmax(b[0]) for a, b in zip(reference.answers, answers, strict=True)]
        return _judged(gate, limit, {"changed": float(np.mean(changed))}, value=float(np.mean(changed)), unit="changed")
    if gate == "vectors":
        apart = [1.0 - cosine(a[0], b[0]) for a, b in zip(reference.answers, answers, strict=True)]
        return _judged(gate, limit, {"apart_max": max(apart)}, value=max(apart), unit="away (1 - cosine)")
    if not has_truth(source, gates):
        reason = f"the pictures hold no truth for {source.name}"
        return GateResult(gate, used=math.inf, limit=limit, figures={}, reason=reason)
    before, after = (task_metric(source, found, pictures=gates.pictures) for found in (reference.answers, answers))
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


def _judge_boxes(gate: str, limit: float | None, figures: Mapping[str, float]) -> GateResult:
    named = "shift_px" if gate == "boxes" else "score"
    chosen = {name: value for name, value in figures.items() if name.startswith((named, "boxes", "lost"))}
    if limit is not None and figures["lost_share"] > 1.0 - SHARE_OF_BOXES:
        reason = f"{figures['lost_share']:.1%} of {figures['boxes']:.0f} boxes are lost or new"
        used = figures["lost_share"] / (1.0 - SHARE_OF_BOXES)
        return GateResult(gate, used=used, limit=limit, figures=chosen, reason=reason)
    unit = "px of shift" if gate == "boxes" else "of score"
    return _judged(gate, limit, chosen, value=figures[f"{named}_p{SHARE_OF_BOXES * 100:.0f}"], unit=unit)


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


def _rounded(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Six significant digits; what is not finite becomes null, which JSON can hold."""
    return {name: float(f"{value:.6g}") if np.isfinite(value) else None for name, value in figures.items()}
