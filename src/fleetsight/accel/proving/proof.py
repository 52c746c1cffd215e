"""Proof of one compiled model: its files are loaded where their chip is, and their answers are held to the gates.

What was compiled where its chip is not (Neuron) has a manifest that says "unproved" and why; `prove` makes up for it.
"""

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from fleetsight.accel.artifacts.artifact import COMPILED_FOLDER, Artifact
from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.artifacts.manifest import ArtifactError
from fleetsight.accel.choose import target_module
from fleetsight.accel.proving.parity import GateError, Gates, Parity, Reference, compare, run_all
from fleetsight.accel.session import TargetError
from fleetsight.accel.sources.source import Source
from fleetsight.accel.targets.options import Options


def hold_to_gates(folder: Path, source: Source, *, target: str, gates: Gates) -> Parity:
    """Load what was compiled and compare it with float32.

    Args:
        folder: what the target wrote.
        source: the model.
        target: name of the target.
        gates: what it is held to.

    Returns:
        what the gates measured; all passed.

    Raises:
        TargetError: the target cannot work here.
        GateError: a gate failed.
    """
    with closing(target_module(target).load(folder)) as session:
        if target == "null":
            return _nothing_measured(source, gates)
        precision = session.precision
        parity = compare(reference_of(source, gates), session, source=source, gates=gates)
    if not parity.passed:
        raise GateError(
            f"{source.name!r} for {target} in {precision} fails its gates: {parity.reason}",
            hint="another precision, more calibration pictures, or a wider limit: --gate NAME=LIMIT",
        )
    return parity


def why_unproved(target: str, *, allowed: bool) -> str | None:
    """Whether what is compiled here has to stay unproved, because its chip is somewhere else.

    Args:
        target: can compile here.
        allowed: the user agrees to that.

    Returns:
        None when it can be proved here, else the reason why not.

    Raises:
        TargetError: it cannot be proved here, and that is not allowed.
    """
    reason: str | None = target_module(target).probe()
    if reason is not None and not allowed:
        raise TargetError(
            f"what is compiled for {target!r} cannot be proved here: {reason}",
            hint="compile where the chip is, or with --unproved and prove it there: fleetsight compile MODEL --prove DIR",
        )
    return reason


def prove(artifact: Artifact, source: Source, *, gates: Gates, cache: ArtifactCache) -> Artifact:
    """Hold an artifact to the gates where its chip is, and let its manifest say what they measured.

    Args:
        artifact: of this model; usually one that was compiled where its chip is not.
        source: the model.
        gates: what it is held to.
        cache: its key signs.

    Returns:
        the artifact in the same folder.

    Raises:
        ArtifactError: it was made from another model.
        TargetError: the target cannot work here.
        GateError: it does not answer what it must; the artifact stays as it was.
    """
    manifest = artifact.manifest
    if manifest.source.get("weights_sha256") != source.weights_sha256 or manifest.preprocess != source.preprocess:
        raise ArtifactError(
            f"{artifact.folder} was not compiled from {source.name!r} as it is here",
            hint="prove it with the model it was made from, or compile this one",
        )
    why_unproved(manifest.target, allowed=False)
    parity = hold_to_gates(artifact.folder / COMPILED_FOLDER, source, target=manifest.target, gates=gates)
    return cache.reseal(artifact, replace(manifest, parity=parity.as_json()))


def reference_of(source: Source, gates: Gates) -> Reference:
    """The answers of the float32 model, as written where there is a torch module, else of the graph.

    Args:
        source: the model.
        gates: hold the inputs.

    Returns:
        the answers.

    Raises:
        TargetError: ONNX Runtime cannot run the graph.
    """
    plain = source.unfused or source
    inputs = gates.inputs_of(plain)
    if plain.module is not None:
        from fleetsight.accel.sources.eager import eager_answers

        return Reference(source=plain, answers=tuple(eager_answers(plain, inputs)), name="torch eager f32")
    module = target_module("onnxruntime")
    with tempfile.TemporaryDirectory(prefix="fleetsight-reference-") as folder:
        module.compile(plain, Options(batch=None if plain.graph().has_open_batch else 1), folder=Path(folder))
        with closing(module.load(Path(folder))) as session:
            return Reference(source=plain, answers=tuple(run_all(session, inputs)), name="onnxruntime f32")


def _nothing_measured(source: Source, gates: Gates) -> Parity:
    """The chip that computes nothing proves nothing, and says so."""
    return Parity(
        results=(),
        tensors={},
        inputs=0,
        origin=gates.origin_of(source),
        reference="none",
        vacuous="the null target computes nothing",
    )
