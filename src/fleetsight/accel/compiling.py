"""From a model to an artifact that is proved: look it up, else compile, compare with float32, sign and keep.

    source + options ──key──> cache ──hit──> artifact
                                └──miss──> target.compile -> session -> gates against float32 -> manifest -> artifact

A hit needs neither the network nor the compiler. A compile whose gates fail leaves nothing behind but the reason. Where a
compiler works without its chip (Neuron), the artifact may be kept unproved if the user says so; it is proved as soon as it
is compiled again, or named with --prove, where the chip is.
"""

import hashlib
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache as once
from pathlib import Path
from typing import Any

import numpy as np

from fleetsight.accel.artifacts.artifact import Artifact
from fleetsight.accel.artifacts.cache import ArtifactCache, artifact_key
from fleetsight.accel.artifacts.manifest import Manifest
from fleetsight.accel.card import card_fields
from fleetsight.accel.choose import target_module, why_not_compile
from fleetsight.accel.licence import refuse_restricted
from fleetsight.accel.proving.parity import GateError, Gates, Parity, compare
from fleetsight.accel.proving.proof import hold_to_gates, prove, reference_of, why_unproved
from fleetsight.accel.session import Arrays, Session, TargetError
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets.options import Options

KEY_FORMAT = 1
"""Raised when the same inputs would give another artifact."""


@dataclass(frozen=True)
class Compiled:
    """What a compile answered.

    Attributes:
        artifact: the checked artifact.
        hit: it was in the cache; nothing was compiled.
        seconds: how long it took.
    """

    artifact: Artifact
    hit: bool
    seconds: float

    @property
    def parity(self) -> Mapping[str, Any]:
        """What the gates measured when it was made (`Parity.as_json`)."""
        return self.artifact.manifest.parity

    def as_json(self) -> dict[str, Any]:
        """The answer for scripts: "artifact", "cache", "seconds", "manifest"."""
        return {
            "artifact": str(self.artifact.folder),
            "cache": "hit" if self.hit else "miss",
            "seconds": round(self.seconds, 3),
            "manifest": self.artifact.manifest.as_json(),
        }


def compile_model(source: Source, target: str, *, options: Options, gates: Gates, cache: ArtifactCache) -> Compiled:
    """Compile a model for a target and prove it, or find the one that was.

    Args:
        source: the model.
        target: name of the target.
        options: precision, batch and flags; calibration data where int8 is asked for.
        gates: what it is held to.
        cache: where artifacts are kept.

    Returns:
        the artifact.

    Raises:
        TargetError: the target cannot work here, or cannot compile the model.
        GateError: the compiled model does not answer what it must; the message has the figures.
        ForbiddenError: it is not in the cache and compiling is forbidden.
    """
    start = time.monotonic()
    key = key_of(source, target, options=options, gates=gates)

    def make(folder: Path) -> Manifest:
        parity = compile_into(folder, source, target=target, options=options, gates=gates)
        return describe(source, target, options=options, key=key, parity=parity)

    found = cache.obtain(key, make)
    artifact = found.artifact
    if artifact.manifest.unproved and found.hit and why_unproved(target, allowed=gates.may_be_unproved) is None:
        artifact = prove(artifact, source, gates=gates, cache=cache)
    return Compiled(artifact=artifact, hit=found.hit, seconds=time.monotonic() - start)


def compile_into(
    folder: Path,
    source: Source,
    *,
    target: str,
    options: Options,
    gates: Gates,
) -> Parity | Mapping[str, Any]:
    """Compile into a folder and hold the result to the gates.

    Args:
        folder: an empty folder.
        source: the model.
        target: name of the target.
        options: how.
        gates: what it is held to.

    Returns:
        what the gates measured; all passed. Or, where the gates allow it, why nothing could be measured.

    Raises:
        TargetError: the target cannot work here, or cannot compile the model.
        GateError: a gate failed.
    """
    check_can_compile(target)
    unproved = why_unproved(target, allowed=gates.may_be_unproved)
    target_module(target).compile(source, with_calibration(options, source, gates=gates), folder=folder)
    if unproved is not None:
        return {"passed": False, "unproved": unproved, "gates": {}}
    return hold_to_gates(folder, source, target=target, gates=gates)


def check_can_compile(target: str) -> None:
    """Refuse a target that cannot compile here.

    Args:
        target: its name.

    Raises:
        TargetError: it cannot; the message says why.
    """
    reason = why_not_compile(target)
    if reason is not None:
        raise TargetError(
            f"target {target!r} cannot compile here: {reason}", hint="fleetsight doctor shows what works here"
        )


def compile_int8(source: Source, target: str, *, options: Options, gates: Gates, cache: ArtifactCache) -> Compiled:
    """Compile to int8; where its gates fail, once more with an accuracy guard that leaves the worst operators in float.

    Args:
        source: the model.
        target: name of the target.
        options: with precision int8.
        gates: what it is held to; their pictures calibrate where the options hold no data.
        cache: where artifacts are kept.

    Returns:
        the artifact.

    Raises:
        TargetError: the target cannot work here, or lacks int8 or calibration data.
        GateError: the guarded one fails too.
        ForbiddenError: it is not in the cache and compiling is forbidden.
    """
    guarded = with_guard(options, source, gates=gates)
    if cache.get(key_of(source, target, options=guarded, gates=gates)) is None:
        try:
            return compile_model(source, target, options=options, gates=gates, cache=cache)
        except GateError:
            if target not in GUARDED:
                raise
    return compile_model(source, target, options=guarded, gates=gates, cache=cache)


GUARDED = ("openvino",)
"""Targets whose int8 can be guarded."""


def with_calibration(options: Options, source: Source, *, gates: Gates) -> Options:
    """The same options with the gates' inputs as calibration data where int8 has none.

    Args:
        options: how to compile.
        source: the model.
        gates: hold the pictures; made-up ones do not calibrate.

    Returns:
        options that a target can quantise with, or that it will refuse.
    """
    if options.precision != "int8" or options.calibration:
        return options
    is_real = gates.pictures.is_real if source.prepare is not None else bool(gates.inputs)
    return replace(options, calibration=tuple(gates.inputs_of(source))) if is_real else options


def with_guard(options: Options, source: Source, *, gates: Gates) -> Options:
    """The same options with an accuracy guard that lets pass what the gates let pass.

    Args:
        options: for int8.
        source: the model.
        gates: limits and inputs.

    Returns:
        options whose `accuracy` has dropped by `max_drop` when the first gate's limit is used up.
    """
    reference = once(lambda: reference_of(source, gates))

    def accuracy(session: Session) -> float:
        used = max(
            (result.used for result in compare(reference(), session, source=source, gates=gates).results), default=0.0
        )
        return 1.0 - options.max_drop * min(used, _USED_MAX)

    return replace(options, accuracy=accuracy)


_USED_MAX = 100.0
"""Beyond this many times a limit one failure is like another; keeps NaN out of the guard's arithmetic."""


def key_of(source: Source, target: str, *, options: Options, gates: Gates) -> str:
    """Digest of everything that decides an artifact; needs no network.

    Args:
        source: the model.
        target: name of the target.
        options: how to compile.
        gates: what it is held to, and on which pictures.

    Returns:
        name of the artifact in the cache.

    Raises:
        TargetError: there is no such target, or its compiler is missing.
    """
    try:
        compiler = target_module(target).compiler()
    except ImportError as error:
        raise TargetError(
            f"target {target!r} cannot compile here: {error}", hint="fleetsight doctor shows what works here"
        ) from error
    return artifact_key(
        {
            "format": KEY_FORMAT,
            "name": source.name,
            "weights": source.weights_sha256,
            "preprocess": source.preprocess,
            "licence": source.licence,
            "card": None if source.card is None else card_fields(source.card),
            "target": target,
            "compiler": compiler,
            "chip": chip_of(target),
            "precision": options.precision,
            "batch": options.batch,
            "flags": dict(options.flags),
            "calibration": _digest(options.calibration),
            "guarded": options.accuracy is not None,
            "gates": dict(gates.limits),
            "data": gates.pictures.sha256 if source.prepare is not None else _digest(gates.inputs),
        }
    )


def _digest(inputs: Sequence[Arrays]) -> str:
    """Tell one set of inputs from another; "" for none."""
    content = hashlib.sha256()
    for port in (port for entry in inputs for port in entry):
        content.update(f"{port.dtype} {port.shape} ".encode() + np.ascontiguousarray(port).tobytes())
    return content.hexdigest() if inputs else ""


def describe(
    source: Source, target: str, *, options: Options, key: str, parity: Parity | Mapping[str, Any]
) -> Manifest:
    """The manifest of an artifact, without its files.

    Args:
        source: the model.
        target: name of the target.
        options: how it was compiled.
        key: its name in the cache.
        parity: what the gates measured.

    Returns:
        the manifest.
    """
    graph = source.graph()
    return Manifest(
        name=source.name,
        target=target,
        compiler=target_module(target).compiler(),
        chip=chip_of(target),
        precision=options.precision,
        batch=options.batch,
        flags=dict(options.flags),
        source={
            "name": source.name,
            "weights_sha256": source.weights_sha256,
            "graph_sha256": graph.sha256,
            "licence": source.licence,
            "lineage": dict(source.lineage),
            "is_trained": source.is_trained,
            "answer": source.answer,
        },
        parity=parity.as_json() if isinstance(parity, Parity) else dict(parity),
        preprocess=source.preprocess,
        card=None if source.card is None else card_fields(source.card),
        candidates=(),
        key=key,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def check_licence(source: Source) -> None:
    """Refuse a restricted lineage.

    Args:
        source: the model.

    Raises:
        LicenceError: some licence is restricted.
    """
    refuse_restricted({"licence": source.licence, "lineage": source.lineage}, model=source.name)


def chip_of(target: str) -> str:
    """The chip that decides what a target's compiler makes.

    Args:
        target: its name.

    Returns:
        the processor here; for a target whose chip may be elsewhere, the name that it gives.
    """
    name: str = getattr(target_module(target), "chip", chip)()
    return name


def chip(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name of the processor, as the kernel has it.

    Args:
        cpuinfo: the kernel's description.

    Returns:
        such as "x86_64 Intel(R) Xeon(R) Platinum 8488C".
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{platform.machine()} {model}"
