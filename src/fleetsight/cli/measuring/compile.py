"""``fleetsight compile``: a model, a target, proof, and the artifact that the service loads."""

import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetsight import settings as settings_file
from fleetsight.cli.choices import known
from fleetsight.cli.picture_size import size_wh

if TYPE_CHECKING:
    from fleetsight.accel.artifacts.artifact import Artifact
    from fleetsight.accel.artifacts.cache import ArtifactCache
    from fleetsight.accel.compiling import Compiled
    from fleetsight.accel.parts.flow import CompiledRecipe
    from fleetsight.accel.proving.pictures import Pictures
    from fleetsight.accel.sources.reading import Asked

compile_app = typer.Typer()

BATCH_MAX = 1024
"""Largest batch; at 640 x 640 five gigabytes."""

PICTURES = 64
"""Pictures that are used of --data: each is kept prepared in memory, 5 MB at 640 x 640."""


@compile_app.command("compile")
def compile_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Name or folder of a model, FILE.onnx, a Hugging Face folder or id, package.module:factory.",
        ),
    ],
    target: Annotated[str, typer.Option(help="The chip: `fleetsight doctor` lists them.")] = "openvino",
    precision: Annotated[str, typer.Option(help="f32, bf16, f16, int8, or auto: the fastest that passes.")] = "auto",
    recipe: Annotated[str, typer.Option(help="For models of several parts: blip-vqa or sam.")] = "",
    recipe_size: Annotated[list[str] | None, typer.Option(metavar="NAME=N", help="A size of the recipe's.")] = None,
    part_precision: Annotated[
        list[str] | None, typer.Option(metavar="PART=PRECISION", help="Precision of one part of a recipe.")
    ] = None,
    batch: Annotated[str, typer.Option(help="Images at a time, or dynamic; 1, for recipes dynamic.")] = "",
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures to prove and to calibrate on.")] = None,
    pictures: Annotated[int, typer.Option(min=1, max=300, help="How many of them are used.")] = PICTURES,
    gate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=LIMIT", help="boxes (px), scores, answers, vectors, tensors, task (points)."),
    ] = None,
    flag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A flag of the target's own.")] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the picture, if the model leaves it open.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights, if the files do not say.")] = "",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Copy the artifact here.")] = None,
    allow_restricted_licence: Annotated[
        bool, typer.Option("--allow-restricted-licence", help="Accept AGPL, GPL and non-commercial lineage.")
    ] = False,
    forbid_compiling: Annotated[
        bool, typer.Option("--forbid-compiling", help="Fail when it is not compiled yet.")
    ] = False,
    unproved: Annotated[
        bool, typer.Option("--unproved", help="Keep what cannot be proved here because its chip is elsewhere.")
    ] = False,
    prove: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Compile nothing: prove this artifact of MODEL, here at its chip."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compile a model for a chip, prove that it still answers the same, and sign it; a second time it is found at once."""
    from fleetsight.accel.proving.pictures import made_up_pictures, read_pictures
    from fleetsight.accel.sources.reading import Asked
    from fleetsight.cli.measuring.artifacts import artifact_cache, open_artifact

    loaded = settings_file.load()
    asked = Asked(
        model=model,
        batch=_batch(batch or ("dynamic" if recipe else "1")),
        size_wh=size_wh(size) if size else None,
        licence=licence,
        allow_restricted_licence=allow_restricted_licence,
    )
    limits = {name: _limit(value) for name, value in _pairs(gate or [], "--gate").items()}
    flags = _pairs(flag or [], "--flag")
    known(precision, ("auto", "f32", "bf16", "f16", "int8"), option="--precision")
    cache = artifact_cache(loaded, forbid_compiling=forbid_compiling)
    seen = read_pictures(data, limit=pictures) if data is not None else made_up_pictures()
    order = _Order(asked, target, precision, flags, limits, seen, loaded.models_dir, unproved)
    cut = _Cut(recipe, recipe_size or [], part_precision or [])
    given = None if prove is None else open_artifact(prove, loaded)
    found = _answer(order, cut, given, cache=cache)
    if out is not None:
        found = replace(found, artifact=found.artifact.copy_to(out))
    if as_json:
        print(json.dumps(found.as_json()))
        return
    _print(found)


@dataclass(frozen=True)
class _Order:
    """What the command line asked for."""

    asked: "Asked"
    target: str
    precision: str
    flags: dict[str, str]
    limits: dict[str, float]
    pictures: "Pictures"
    models_dir: Path
    unproved: bool


@dataclass(frozen=True)
class _Cut:
    """What it asked for of a model of several parts."""

    recipe: str
    sizes: list[str]
    precisions: list[str]


def _answer(
    order: _Order, cut: _Cut, artifact: "Artifact | None", *, cache: "ArtifactCache"
) -> "Compiled | CompiledRecipe":
    if artifact is not None:
        return _prove(order, cut, artifact, cache=cache)
    return _compile_parts(order, cut, cache=cache) if cut.recipe else _compile_whole(order, cache)


def _compile_whole(order: _Order, cache: "ArtifactCache") -> "Compiled":
    from fleetsight.accel.compiling import check_licence, compile_int8, compile_model
    from fleetsight.accel.proving.parity import Gates
    from fleetsight.accel.sources.reading import read_source
    from fleetsight.accel.targets.options import Options
    from fleetsight.accel.tuning import tune

    gates = Gates(order.limits, order.pictures, may_be_unproved=order.unproved)
    source = read_source(order.asked, models_dir=order.models_dir)
    if not order.asked.allow_restricted_licence:
        check_licence(source)
    options = Options(order.precision, order.asked.batch, order.flags, model_kind=source.model_kind)
    way = {"auto": tune, "int8": compile_int8}.get(order.precision, compile_model)
    return way(source, order.target, options=options, gates=gates, cache=cache)


def _prove(order: _Order, cut: _Cut, artifact: "Artifact", *, cache: "ArtifactCache") -> "Compiled":
    from fleetsight.accel.compiling import Compiled
    from fleetsight.accel.proving.parity import Gates
    from fleetsight.accel.proving.proof import prove
    from fleetsight.accel.sources.fused import fused
    from fleetsight.accel.sources.reading import read_source

    if cut.recipe or "parts" in artifact.manifest.parity:
        raise typer.BadParameter(
            "a model of several parts is proved by the command that compiled it, with the same data_dir",
            param_hint="--prove",
        )
    start = time.monotonic()
    source = read_source(order.asked, models_dir=order.models_dir)
    if artifact.manifest.preprocess == "fused":
        source = fused(source)
    proved = prove(artifact, source, gates=Gates(order.limits, order.pictures), cache=cache)
    return Compiled(artifact=proved, hit=True, seconds=time.monotonic() - start)


def _compile_parts(order: _Order, cut: _Cut, *, cache: "ArtifactCache") -> "CompiledRecipe":
    from fleetsight.accel.parts.flow import QUESTIONS, RecipeRequest, compile_recipe
    from fleetsight.accel.parts.part import Examples

    if order.limits:
        raise typer.BadParameter("the gates of a recipe are its own", param_hint="--gate")
    examples = Examples(order.pictures.images, QUESTIONS) if order.pictures.is_real else None
    request = RecipeRequest(
        recipe=cut.recipe,
        source=order.asked.model,
        target=order.target,
        precision=order.precision,
        part_precisions=_pairs(cut.precisions, "--part-precision"),
        flags=order.flags,
        batch=order.asked.batch,
        sizes={name: _sizes(text) for name, text in _pairs(cut.sizes, "--recipe-size").items()},
        examples=examples,
        licence=order.asked.licence,
        allow_restricted_licence=order.asked.allow_restricted_licence,
        may_be_unproved=order.unproved,
    )
    return compile_recipe(request, cache)


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not text.isdigit() or not 1 <= int(text) <= BATCH_MAX:
        raise typer.BadParameter(f"{text!r} is neither dynamic nor 1 to {BATCH_MAX}", param_hint="--batch")
    return int(text)


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs


def _sizes(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(number.isdigit() for number in numbers):
        raise typer.BadParameter(f"{text!r} is not N or N,N", param_hint="--recipe-size")
    return tuple(map(int, numbers))


def _limit(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no number", param_hint="--gate") from error


def _print(found: "Compiled | CompiledRecipe") -> None:
    manifest, parity = found.artifact.manifest, found.artifact.manifest.parity
    if "parts" in parity:
        print(f"{manifest.name} for {manifest.compiler}, {manifest.precision}, parts: {', '.join(parity['parts'])}")
        told = parity.get("answers", {}).items()
        answers = ", ".join(f"{name} {value}" for name, value in told if not isinstance(value, list))
        print(f"  answers: {answers or 'not compared'}")
    else:
        _print_whole(found)
    if manifest.unproved:
        print(f"warning: unproved, nothing was compared with float32: {manifest.unproved}", file=sys.stderr)
    print(f"artifact: {found.artifact.folder} ({'found' if found.hit else 'made'} in {found.seconds:.2f} s)")


def _print_whole(found: "Compiled | CompiledRecipe") -> None:
    manifest, parity = found.artifact.manifest, found.artifact.manifest.parity
    for row in manifest.candidates:
        speed = f"{row['images_per_s']:9.1f}/s" if row["images_per_s"] is not None else " " * 11
        print(
            f"  {row['candidate']:14} {speed} {row['parity']} {row['reason']}{'  <- kept' if row['kept'] else ''}".rstrip()
        )
    print(f"{manifest.name} for {manifest.compiler}, {manifest.precision}, {manifest.preprocess} preprocessing")
    for name, gate in parity["gates"].items():
        figures = ", ".join(f"{key} {value:g}" for key, value in gate.items() if isinstance(value, float))
        print(f"  gate {name:8} {'pass' if gate['passed'] else 'FAIL'}  {figures}")
    if manifest.unproved:
        return
    print(f"  on {parity['data']}, against {parity['reference']}")
    if parity["vacuous"]:
        print(f"warning: this proves little: {parity['vacuous']}", file=sys.stderr)
