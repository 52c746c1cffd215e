"""Try a model out: run it once on a made-up picture and look at what comes back.

Import uses it to tell a wrong decoder from a right one; `fleetsight model verify` uses it to compare targets.
"""

import time
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.card import Card
from fleetsight.accel.choose import AUTO, open_session
from fleetsight.accel.portable import ModelError, PortableModel
from fleetsight.accel.preprocess import Preprocessor
from fleetsight.accel.session import Precision, TargetError
from fleetsight.vision.heads import COLUMNS_BEFORE_CLASSES, decode

RAW_BOX_MAX = 60.0
"""Raw box numbers of a dense head stay far below this (they are cells, or logs of sizes); decoded pixels do not."""

AGREEMENT = {"f32": 1e-3, "bf16": 0.1}
"""Largest relative difference (norm of the difference by norm of the answer) from the first f32 target that still counts
as the same answer. bfloat16 keeps 8 bits: YOLOX-Nano, some hundred layers deep, comes to 0.027; f32 targets to 1e-6."""

SCORE_MIN = 1e-6
"""Everything is decoded in a trial, so that numbers that are not finite come to light."""


@dataclass(frozen=True)
class TargetCheck:
    """How a model did on a target.

    Attributes:
        target: name of the target.
        precision: arithmetic used.
        reason: why it failed; None when it did well.
        difference: relative difference from the first f32 target (see `AGREEMENT`); None when it did not run.
        run_ms: time of one run after a first one; None when it did not run.
    """

    target: str
    precision: str
    reason: str | None
    difference: float | None = None
    run_ms: float | None = None


def trial_image(card: Card) -> NDArray[np.uint8]:
    """A picture to try a model on: edges, colours and a little noise, always the same.

    Args:
        card: card of the model.

    Returns:
        (h, w, 3) uint8 RGB in the model's size.
    """
    width, height = card.input_size_wh
    noise = np.random.default_rng(0).integers(0, 32, size=(height, width, 3))
    rows, columns = np.mgrid[0:height, 0:width]
    stripes = np.stack([rows * 200 // height, columns * 200 // width, (rows // 16 + columns // 16) % 2 * 200], axis=2)
    return np.asarray(stripes + noise, dtype=np.uint8)


def run_trial(
    model: PortableModel, target: str = "auto", *, precision: Precision = "f32"
) -> tuple[NDArray[np.float32], float]:
    """Run a model on the trial picture.

    Args:
        model: the model.
        target: where to run it.
        precision: arithmetic inside the graph.

    Returns:
        raw: the model's output.
        run_ms: time of a second run.

    Raises:
        TargetError: no target can run the model.
        ModelError: the answer has another shape than the card says or holds numbers that are not finite.
    """
    batch, _ = Preprocessor(model.card).prepare(trial_image(model.card))
    with closing(open_session(model, target, precision=precision)) as session:
        session.run(batch)
        start_ns = time.perf_counter_ns()
        raw = session.run(batch)[0]
        run_ms = (time.perf_counter_ns() - start_ns) / 1e6
    check_answer(raw, model.card)
    return raw, run_ms


def check_answer(raw: NDArray[np.float32], card: Card) -> None:
    """Check what a model answered against its card.

    Args:
        raw: the model's output.
        card: its card.

    Raises:
        ModelError: the answer's shape or numbers do not fit the decoder.
    """
    if not np.isfinite(raw).all():
        raise ModelError(f"model {card.name!r} answers numbers that are not finite", hint="export the model again")
    if card.decoder == "none":
        if raw.ndim != 2 or raw.shape[0] != 1:
            raise ModelError(f"an embedder answers (1, d), the model answers {raw.shape}")
        return
    _check_head(raw, card)
    decode(raw[0], card.decoder, input_wh=card.input_size_wh, score_min=SCORE_MIN, strides=card.strides)


def verify_targets(model: PortableModel) -> tuple[TargetCheck, ...]:
    """Run a model on every target that computes, and compare the answers.

    Args:
        model: the model.

    Returns:
        one check for each target in f32, and one for its fastest precision where that is another.
    """
    checks: list[TargetCheck] = []
    reference: NDArray[np.float32] | None = None
    for target in AUTO:
        for precision in _precisions(model, target):
            try:
                raw, run_ms = run_trial(model, target, precision=precision)
            except (TargetError, ModelError) as error:
                checks.append(TargetCheck(target=target, precision=precision, reason=error.message))
                continue
            reference = raw if reference is None else reference
            apart = float(np.linalg.norm(raw - reference) / max(float(np.linalg.norm(reference)), 1e-6))
            limit = AGREEMENT[precision]
            reason = None if apart <= limit else f"differs by {apart:.2g}, at most {limit:g} is expected"
            checks.append(
                TargetCheck(target=target, precision=precision, reason=reason, difference=apart, run_ms=run_ms)
            )
    return tuple(checks)


def _precisions(model: PortableModel, target: str) -> tuple[Precision, ...]:
    """f32, and the precision that "auto" takes when it is another."""
    try:
        with closing(open_session(model, target)) as session:
            return ("f32", "bf16") if session.precision == "bf16" else ("f32",)
    except TargetError:
        return ("f32",)


def _check_head(raw: NDArray[np.float32], card: Card) -> None:
    before = COLUMNS_BEFORE_CLASSES[card.decoder]
    if raw.ndim != 3 or raw.shape[0] != 1 or raw.shape[2] != before + len(card.labels):
        raise ModelError(
            f"decoder {card.decoder!r} with {len(card.labels)} labels reads (1, n, {before + len(card.labels)}), "
            f"the model answers {raw.shape}"
        )
    if float(np.abs(raw[..., :4]).max()) > RAW_BOX_MAX:
        raise ModelError(
            f"box numbers reach {float(np.abs(raw[..., :4]).max()):.0f}: they look like pixels, the decoder needs raw ones",
            hint="export without decoding (YOLOX: export_onnx.py without --decode_in_inference)",
        )
    scores = raw[..., 4:]
    if card.decoder == "yolox" and (float(scores.min()) < 0.0 or float(scores.max()) > 1.0):
        raise ModelError(
            f"scores lie between {float(scores.min()):.2f} and {float(scores.max()):.2f}: decoder 'yolox' needs 0 to 1",
            hint="export with the sigmoid on objectness and classes, as YOLOX's export_onnx.py does",
        )
