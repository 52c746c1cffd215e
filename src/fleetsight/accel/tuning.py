"""`--precision auto`: try what the target offers, measure each that passes its gates, keep the fastest.

Lower precision is not always faster, and preprocessing inside the network can win or lose; so both are measured, here and
now, on the chip the artifact is for. Candidates take turns within each round, so that a busy machine slows all of them.
"""

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fleetsight.accel.artifacts.artifact import COMPILED_FOLDER
from fleetsight.accel.artifacts.cache import ArtifactCache, ForbiddenError
from fleetsight.accel.artifacts.manifest import Manifest
from fleetsight.accel.choose import target_module
from fleetsight.accel.compiling import (
    GUARDED,
    Compiled,
    check_can_compile,
    compile_model,
    key_of,
    with_calibration,
    with_guard,
)
from fleetsight.accel.proving.parity import GateError, Gates
from fleetsight.accel.session import Arrays, Session, TargetError
from fleetsight.accel.sources.fused import can_fuse, fused
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets.options import Options

ROUNDS = 5
"""Turns of each candidate; the median of five forgives two disturbed ones."""

TURN_S = 0.25
"""Shortest turn: long enough that filling and draining the pipeline is a small share."""

INPUTS_MAX = 8
"""Different inputs that a turn goes through again and again."""


@dataclass(frozen=True)
class Candidate:
    """One way to compile the model.

    Attributes:
        source: the model, with host or fused preprocessing.
        options: how.
        guarded: the accuracy guard chose which operators stay float.
    """

    source: Source
    options: Options
    guarded: bool = False

    @property
    def name(self) -> str:
        """For the report: "int8", "bf16 fused"."""
        words = [self.options.precision, "guarded" if self.guarded else "", self.source.preprocess.replace("host", "")]
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Tried:
    """How a candidate did.

    Attributes:
        candidate: what was tried.
        compiled: its artifact; None where it failed.
        reason: why it failed; empty when it did not.
        images_per_s: median over the rounds; None where it failed.
        spread: lowest and highest round; None where it failed.
    """

    candidate: Candidate
    compiled: Compiled | None
    reason: str = ""
    images_per_s: float | None = None
    spread: tuple[float, float] | None = None

    def as_json(self, *, kept: bool) -> dict[str, Any]:
        """One row of the report.

        Args:
            kept: whether it is the one that was kept.

        Returns:
            plain JSON.
        """
        return {
            "candidate": self.candidate.name,
            "precision": self.candidate.options.precision,
            "preprocess": self.candidate.source.preprocess,
            "images_per_s": None if self.images_per_s is None else round(self.images_per_s, 2),
            "spread": None if self.spread is None else [round(value, 2) for value in self.spread],
            "parity": "fail" if self.compiled is None else "pass",
            "reason": self.reason,
            "kept": kept,
        }


def tune(source: Source, target: str, *, options: Options, gates: Gates, cache: ArtifactCache) -> Compiled:
    """Compile a model in the way that is fastest here among those that pass the gates.

    Args:
        source: the model.
        target: name of the target.
        options: batch and flags; its precision is not read. Without calibration data int8 is left out, and said so.
        gates: what every candidate is held to.
        cache: where artifacts are kept, the candidates' too.

    Returns:
        the artifact; its manifest lists every candidate with its figures.

    Raises:
        TargetError: the target cannot work here.
        GateError: no candidate passes; the message has every reason.
        ForbiddenError: it is not in the cache and compiling is forbidden.
    """
    start = time.monotonic()
    key = key_of(source, target, options=replace(options, precision="auto"), gates=gates)

    def make(folder: Path) -> Manifest:
        check_can_measure(target)
        tried = measure(list(_try_all(source, target, options=options, gates=gates, cache=cache)), gates)
        done = [entry for entry in tried if entry.compiled is not None]
        if not done:
            reasons = "; ".join(f"{entry.candidate.name}: {entry.reason}" for entry in tried)
            raise GateError(f"no precision of {target} passes for {source.name!r}: {reasons}", hint=_HINT)
        best = max(done, key=lambda entry: entry.images_per_s or 0.0)
        assert best.compiled is not None
        won = best.compiled.artifact
        shutil.copytree(won.folder / COMPILED_FOLDER, folder, dirs_exist_ok=True)
        rows = tuple(entry.as_json(kept=entry is best) for entry in tried)
        return replace(won.manifest, key=key, candidates=rows)

    found = cache.obtain(key, make)
    return Compiled(artifact=found.artifact, hit=found.hit, seconds=time.monotonic() - start)


_HINT = "look at the figures, then widen a limit with --gate NAME=LIMIT or give more pictures with --data"


def check_can_measure(target: str) -> None:
    """Refuse to choose a precision where the chip is not.

    Args:
        target: its name.

    Raises:
        TargetError: the target cannot work here.
    """
    check_can_compile(target)
    reason = target_module(target).probe()
    if reason is not None:
        raise TargetError(
            f"the fastest precision for {target!r} cannot be measured here: {reason}",
            hint="name one: --precision bf16 --unproved",
        )


def _try_all(source: Source, target: str, *, options: Options, gates: Gates, cache: ArtifactCache) -> Iterator[Tried]:
    module = target_module(target)
    offered: Sequence[str] = module.precisions()
    variants = [source, fused(source)] if can_fuse(source) and target == "openvino" else [source]
    for precision in offered:
        chosen = replace(options, precision=precision, accuracy=None, model_kind=source.model_kind)
        if precision == "int8" and not with_calibration(chosen, source, gates=gates).calibration:
            yield Tried(Candidate(source, chosen), None, reason="no calibration pictures: give them with --data DIR")
            continue
        for variant in variants:
            candidate = Candidate(variant, chosen)
            tried = _try(candidate, target, gates=gates, cache=cache)
            yield tried
            if precision == "int8" and tried.compiled is None and target in GUARDED:
                guarded = replace(candidate, options=with_guard(candidate.options, variant, gates=gates), guarded=True)
                yield _try(guarded, target, gates=gates, cache=cache)


def _try(candidate: Candidate, target: str, *, gates: Gates, cache: ArtifactCache) -> Tried:
    try:
        compiled = compile_model(candidate.source, target, options=candidate.options, gates=gates, cache=cache)
    except ForbiddenError:
        raise
    except (GateError, TargetError) as error:
        return Tried(candidate, None, reason=error.message)
    return Tried(candidate, compiled)


def measure(tried: Sequence[Tried], gates: Gates) -> list[Tried]:
    """Measure the candidates that passed, in turns.

    Args:
        tried: passed and failed ones.
        gates: hold the inputs.

    Returns:
        the same, those that passed with their figures: pictures a second from the letterboxed or normalised picture on, host
        work included.
    """
    rates: dict[int, list[float]] = {}
    with ExitStack() as stack:
        running: dict[int, tuple[Session, Candidate]] = {}
        for index, entry in enumerate(tried):
            if entry.compiled is not None:
                session = stack.enter_context(closing(entry.compiled.artifact.session()))
                running[index], rates[index] = (session, entry.candidate), []
        for turn in range(ROUNDS + 1):
            for index, (session, candidate) in running.items():
                rate = _turn(session, candidate.source, gates=gates)
                if turn:  # the first round warms up
                    rates[index].append(rate)
    return [_with_figures(entry, rates.get(index)) for index, entry in enumerate(tried)]


def _with_figures(entry: Tried, rates: list[float] | None) -> Tried:
    if not rates:
        return entry
    return replace(entry, images_per_s=statistics.median(rates), spread=(min(rates), max(rates)))


def _turn(session: Session, source: Source, *, gates: Gates) -> float:
    """Pictures a second, preparing them included where they are pictures: a fused network saves the host's work."""
    size = session.inputs[0].shape[0] if session.inputs[0].shape else 1
    batch = int(size or 1)
    images, fixed = gates.pictures.images[:INPUTS_MAX], gates.inputs_of(source)[:1]
    done, start = 0, time.perf_counter()

    def batches() -> Iterator[Arrays]:
        count = 0
        while time.perf_counter() - start < TURN_S or count < 2:
            if source.prepare is not None:
                yield (
                    source.prepare(images[count % len(images)])
                    if batch == 1
                    else _repeated(source.prepare(images[count % len(images)]), batch)
                )
            else:
                yield _repeated(fixed[0], batch)
            count += 1

    for _ in session.map(batches()):
        done += batch
    return done / (time.perf_counter() - start)


def _repeated(inputs: Arrays, batch: int) -> Arrays:
    return tuple(port.repeat(batch, axis=0) for port in inputs)
