"""Compile a model of several parts: each part on its own, proved against float32 eager, and all of them as one artifact.

folder -> original model, untouched -> asked eagerly; each part remembers what it was fed
       -> each part: exported, compiled, compared on what it was fed (skipped when the cache has it)
       -> the pipeline on compiled parts: asked the same as the original (skipped when the cache has it)
"""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetsight.accel.artifacts.artifact import COMPILED_FOLDER, Artifact
from fleetsight.accel.artifacts.cache import ArtifactCache, artifact_key
from fleetsight.accel.artifacts.manifest import Manifest
from fleetsight.accel.choose import target_module
from fleetsight.accel.compiling import check_can_compile, chip_of
from fleetsight.accel.licence import refuse_restricted
from fleetsight.accel.parts.bundle import CompiledPipeline, PipelineFile
from fleetsight.accel.parts.part import Agreement, Examples, PartError, Recipe, Settings
from fleetsight.accel.parts.recipes import find_recipe, make_pipeline, read_sizes
from fleetsight.accel.parts.weights import is_trained, weights_folder, weights_sha256
from fleetsight.accel.proving.pictures import made_up_pictures
from fleetsight.accel.proving.proof import why_unproved
from fleetsight.accel.session import TargetError
from fleetsight.accel.sources.hub_folder import stated_licence
from fleetsight.accel.tuning import check_can_measure

if TYPE_CHECKING:
    from fleetsight.accel.parts.proof import PartProof
    from fleetsight.accel.sources.source import Source

log = logging.getLogger(__name__)

ASKED, COMPARED = 24, 8
"""Pictures of the examples that parts are fed with, and those about which the original is asked too: in float32, one
answer after the other."""

QUESTIONS = (
    "is there a cat in the picture?",
    "is a person in the room?",
    "what is on the floor?",
    "what color is the wall?",
)
"""Asked when the user gives none: two closed and two open ones, of unlike length."""


@dataclass(frozen=True)
class RecipeRequest:
    """What to compile, and how.

    Attributes:
        recipe: "blip-vqa" or "sam".
        source: a folder as transformers writes it, or OWNER/NAME.
        target: one of `choose.TARGETS`.
        precision: of every part; "auto" takes for each part the fastest that passes its gate.
        part_precisions: precision of single parts.
        flags: the target's own.
        batch: rows that a part takes at once; None leaves that open.
        sizes: sizes of the recipe that are not its defaults.
        examples: what parts are calibrated and proved on; None: made-up pictures and stock questions.
        licence: of the weights; empty: what the folder says.
        allow_restricted_licence: accept AGPL, GPL, non-commercial and field-of-use lineage.
        may_be_unproved: where the target can compile but not run, keep what nobody could compare; it is proved later.
    """

    recipe: str
    source: str | Path
    target: str = "openvino"
    precision: str = "f32"
    part_precisions: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    examples: Examples | None = field(default=None, repr=False)
    licence: str = ""
    allow_restricted_licence: bool = False
    may_be_unproved: bool = False


@dataclass(frozen=True)
class CompiledPart:
    """One part as it was compiled.

    Attributes:
        name: of the part.
        precision: arithmetic inside.
        hit: the cache had it.
        seconds: what it took.
        artifact: checked.
    """

    name: str
    precision: str
    hit: bool
    seconds: float
    artifact: Artifact


@dataclass(frozen=True)
class CompiledRecipe:
    """A pipeline as it was compiled.

    Attributes:
        artifact: all parts under one signature; its manifest holds parity per part and end to end.
        hit: the cache had it; nothing was loaded but the digest of the weights.
        seconds: what it took.
        parts: the parts; empty on a hit.
    """

    artifact: Artifact
    hit: bool
    seconds: float
    parts: tuple[CompiledPart, ...]

    def as_json(self) -> dict[str, Any]:
        """The answer for scripts: "artifact", "cache", "seconds", "manifest"."""
        return {
            "artifact": str(self.artifact.folder),
            "cache": "hit" if self.hit else "miss",
            "seconds": round(self.seconds, 3),
            "manifest": self.artifact.manifest.as_json(),
        }


def compile_recipe(request: RecipeRequest, cache: ArtifactCache) -> CompiledRecipe:
    """Compile every part of a model, or find it compiled.

    Args:
        request: what and how.
        cache: keeps parts and pipelines.

    Returns:
        the pipeline's artifact.

    Raises:
        PartError: the model cannot be read, or a part or the whole is not what the original is: with the figures.
        TargetError: the target cannot compile a part.
        LicenceError: the lineage is restricted.
        ForbiddenError: something would be compiled although the cache forbids it.
    """
    began = time.monotonic()
    work = _Work(request, cache)
    found = cache.obtain(work.key("", "pipeline"), work.make_pipeline)
    artifact = found.artifact
    if artifact.manifest.unproved and found.hit and work.unproved is None:
        artifact = cache.replace(artifact, work.make_pipeline)
    return CompiledRecipe(artifact, found.hit, time.monotonic() - began, tuple(work.done))


def compile_parts(request: RecipeRequest, cache: ArtifactCache) -> tuple[tuple[CompiledPart, ...], Settings]:
    """Compile every part and prove it on its own; whether the whole still answers the same is not asked.

    Args:
        request: what and how.
        cache: keeps parts.

    Returns:
        parts: in the order of use.
        settings: what a pipeline over them must know.

    Raises:
        PartError: the model cannot be read, or a part is not what the original is.
        TargetError: the target cannot compile a part.
        LicenceError: the lineage is restricted.
        ForbiddenError: something would be compiled although the cache forbids it.
    """
    work = _Work(request, cache)
    work.compile_parts()
    return tuple(work.done), work.settings


@contextmanager
def drop_in(model: Any, recipe: Recipe, *, artifact: Artifact) -> Iterator[Any]:
    """Drop compiled parts into the original pipeline for a while.

    Args:
        model: the original, as `original.load_original` reads it.
        recipe: the model's.
        artifact: the pipeline's.

    Yields:
        the same object, whose heavy modules run on the target until the block ends; its weights stay where they are.
    """
    compiled = CompiledPipeline(artifact)
    plan = PipelineFile.load(artifact.folder / COMPILED_FOLDER)
    originals: dict[str, Any] = {}
    try:
        replaced = recipe.stand_ins(model, compiled.sessions, settings=plan.settings)
        originals |= {name: getattr(model, name) for name in replaced}
        for name, stand_in in replaced.items():
            setattr(model, name, stand_in)
        yield model
    finally:
        for name, original in originals.items():
            setattr(model, name, original)
        compiled.close()


class _Work:
    """One request under way; what is expensive is made once and only when needed."""

    def __init__(self, request: RecipeRequest, cache: ArtifactCache) -> None:
        self.request = request
        self.cache = cache
        self.done: list[CompiledPart] = []
        self.sizes = read_sizes(request.recipe, request.sizes)
        self.folder = weights_folder(request.source)
        self.licence = request.licence or stated_licence(self.folder)
        self.trained = is_trained(self.folder)
        self.lineage = {
            "source": self.folder.name,
            "recipe": request.recipe,
            "weights": "safetensors" if self.trained else "random: for speed only",
        }
        if not request.allow_restricted_licence:
            refuse_restricted({"licence": self.licence, "lineage": self.lineage}, model=self.folder.name)
        check_can_compile(request.target)
        self.target: Any = target_module(request.target)
        self.unproved = why_unproved(request.target, allowed=request.may_be_unproved)
        given = request.examples or _made_up()
        self.examples = replace(given, images=given.images[:ASKED])

    @cached_property
    def weights(self) -> str:
        """Digest of the weights and of everything beside them."""
        return weights_sha256(self.folder, self.cache.digests.sha256)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe; importing it imports torch."""
        return find_recipe(self.request.recipe)

    @cached_property
    def original(self) -> Any:
        """The original model, never changed."""
        from fleetsight.accel.parts.original import load_original

        return load_original(self.recipe, self.folder)

    @cached_property
    def proofs(self) -> "tuple[PartProof, ...]":
        """Every part with its eager module and what it was fed."""
        from fleetsight.accel.parts.proof import record_parts

        return record_parts(
            self.recipe, self.original, settings=self.settings, sizes=self.sizes, examples=self.examples
        )

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the pipeline must know."""
        return self.recipe.settings(self.folder, self.original, sizes=self.sizes)

    def key(self, part: str, precision: str) -> str:
        """Digest of everything that decides an artifact.

        Args:
            part: name of the part; empty for the pipeline.
            precision: of the part; for the pipeline the request's wishes stand beside it.

        Returns:
            the artifact's name in the cache.
        """
        request = self.request
        return artifact_key(
            {
                "weights": self.weights,
                "recipe": request.recipe,
                "part": part,
                "sizes": {name: list(numbers) for name, numbers in self.sizes.items()},
                "target": request.target,
                "compiler": self.target.compiler(),
                "chip": chip_of(request.target),
                "precision": precision,
                "wishes": "" if part else [request.precision, dict(sorted(request.part_precisions.items()))],
                "flags": dict(sorted(request.flags.items())),
                "batch": request.batch,
                "licence": self.licence,
                "examples": _examples_sha256(self.examples),
            }
        )

    def compile_parts(self) -> None:
        """Compile what is missing of the parts."""
        names = {proof.part.name for proof in self.proofs}
        for name in self.request.part_precisions:
            if name not in names:
                raise PartError(f"there is no part {name!r}", hint=f"parts: {', '.join(sorted(names))}")
        self.done = [self._best(proof) for proof in self.proofs]

    def make_pipeline(self, folder: Path) -> Manifest:
        """Compile what is missing, ask the whole, and put the parts together."""
        self.compile_parts()
        parity: dict[str, Any] = {"parts": {part.name: dict(part.artifact.manifest.parity) for part in self.done}}
        if self.unproved is not None:
            parity["unproved"] = self.unproved
        else:
            parity["answers"] = self._agreement().to_json()
        for part in self.done:
            _link_tree(part.artifact.folder / COMPILED_FOLDER, folder / part.name)
        PipelineFile(self.request.recipe, tuple(part.name for part in self.done), self.settings).save(folder)
        kinds = sorted({part.precision for part in self.done})
        return self._manifest("", "+".join(kinds), parity=parity)

    def _agreement(self) -> Agreement:
        """Ask the compiled parts together what the original is asked."""
        with ExitStack() as stack:
            sessions: dict[str, Any] = {}
            for compiled in self.done:
                session = compiled.artifact.session()
                stack.callback(session.close)
                sessions[compiled.name] = session
            pipeline = make_pipeline(self.request.recipe, sessions, settings=self.settings)
            few = replace(self.examples, images=self.examples.images[:COMPARED])
            agreement = self.recipe.compare(pipeline, self.original, examples=few)
        if not agreement.passed:
            raise PartError(
                f"the compiled {self.request.recipe} does not answer as the original: {'; '.join(agreement.reasons)}",
                hint=f"more precision where parity is worst: --part-precision {self._worst()}=f32",
            )
        return agreement

    def _worst(self) -> str:
        """The compiled part that is farthest from the original."""

        def least(part: CompiledPart) -> float:
            outputs: Mapping[str, Mapping[str, float]] = part.artifact.manifest.parity["outputs"]
            return min(figures["cosine"] for figures in outputs.values())

        return min(self.done, key=least).name

    def _best(self, proof: "PartProof") -> CompiledPart:
        """The part in the wanted precision; with "auto" in the fastest that passes."""
        from fleetsight.accel.parts.proof import seconds_per_run

        wanted = self.request.part_precisions.get(proof.part.name, self.request.precision)
        if wanted != "auto":
            return self._compiled(proof, wanted)
        check_can_measure(self.request.target)
        passed: list[tuple[float, CompiledPart]] = []
        refused: list[str] = []
        for precision in self.target.precisions():
            try:
                compiled = self._compiled(proof, precision)
            except (PartError, TargetError) as error:
                log.info("part=%s precision=%s refused reason=%s", proof.part.name, precision, error.message)
                refused.append(f"{precision}: {error.message}")
                continue
            session = compiled.artifact.session()
            try:
                passed.append((seconds_per_run(session, proof), compiled))
            finally:
                session.close()
        if not passed:
            raise PartError(f"no precision of {self.request.target} does for {proof.part.name!r}: {'; '.join(refused)}")
        return min(passed, key=lambda row: row[0])[1]

    def _compiled(self, proof: "PartProof", precision: str) -> CompiledPart:
        began = time.monotonic()
        name = proof.part.name

        def make(folder: Path) -> Manifest:
            from fleetsight.accel.targets.options import Options

            batch = self.request.batch if proof.part.has_open_batch else 1
            options = Options(
                precision=precision,
                batch=batch,
                flags=self.request.flags,
                calibration=proof.samples(batch) if precision == "int8" else (),
                model_kind="transformer",
            )
            source = self._source(proof)
            self.target.compile(source, options, folder=folder)
            parity = self._parity(proof, folder, precision=precision)
            return self._manifest(name, precision, parity=parity, graph_sha256=source.graph().sha256)

        found = self.cache.obtain(self.key(name, precision), make)
        artifact = found.artifact
        if artifact.manifest.unproved and self.unproved is None:
            parity = self._parity(proof, artifact.folder / COMPILED_FOLDER, precision=precision)
            artifact = self.cache.reseal(artifact, replace(artifact.manifest, parity=parity))
        return CompiledPart(name, precision, found.hit, time.monotonic() - began, artifact)

    def _parity(self, proof: "PartProof", folder: Path, *, precision: str) -> Mapping[str, Any]:
        if self.unproved is not None:
            return {"passed": False, "unproved": self.unproved}
        with closing(self.target.load(folder)) as session:
            return proof.check(session, precision)

    def _source(self, proof: "PartProof") -> "Source":
        from fleetsight.accel.sources.source import Source

        return Source(
            name=f"{self.request.recipe}.{proof.part.name}",
            graph=lambda: proof.graph(licence=self.licence, lineage=self.lineage),
            module=lambda: proof.module,
            example=proof.samples(1)[0],
            weights_sha256=self.key(proof.part.name, ""),
            licence=self.licence,
            lineage=self.lineage,
            model_kind="transformer",
            is_trained=self.trained,
        )

    def _manifest(self, part: str, precision: str, *, parity: Mapping[str, Any], graph_sha256: str = "") -> Manifest:
        request = self.request
        return Manifest(
            name=f"{request.recipe}.{part}" if part else request.recipe,
            target=request.target,
            compiler=str(self.target.compiler()),
            chip=chip_of(request.target),
            precision=precision,
            batch=request.batch,
            flags=request.flags,
            source={
                "name": self.folder.name,
                "weights_sha256": self.weights,
                "graph_sha256": graph_sha256,
                "licence": self.licence,
                "lineage": self.lineage,
                "is_trained": self.trained,
            },
            parity=parity,
            preprocess="host",
            card=None,
            candidates=(),
            key=self.key(part, precision if part else "pipeline"),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _made_up() -> Examples:
    return Examples(images=made_up_pictures(4).images, questions=QUESTIONS, answers=("yes", "no"))


def _examples_sha256(examples: Examples) -> str:
    digest = hashlib.sha256(repr((tuple(examples.questions), tuple(examples.answers))).encode())
    for image in examples.images:
        digest.update(repr(image.shape).encode() + image.tobytes())
    return digest.hexdigest()


def _link_tree(source: Path, target: Path) -> None:
    """The same files under another name; copies where the file system has no links."""

    def link(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    shutil.copytree(source, target, copy_function=link)
