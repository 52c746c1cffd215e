"""``fleetsight compile``: a model, a target, proof, and the artifact that the service loads."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetsight import settings as settings_file
from fleetsight.cli.choices import known
from fleetsight.cli.measuring.recipe import read_examples, read_sizes, run_recipe
from fleetsight.cli.picture_size import size_wh

if TYPE_CHECKING:
    from fleetsight.accel.artifacts.cache import ArtifactCache
    from fleetsight.accel.compiling import Compiled
    from fleetsight.accel.parity import Gates
    from fleetsight.accel.sources.source import Source
    from fleetsight.accel.targets.options import Options

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
    batch: Annotated[str, typer.Option(help="Images at a time, or dynamic; 1, and dynamic for a recipe.")] = "",
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures to prove and to calibrate on.")] = None,
    pictures: Annotated[int, typer.Option(min=1, max=300, help="How many of them are used.")] = PICTURES,
    gate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=LIMIT", help="boxes (px), scores, answers, vectors, tensors, task (points)."),
    ] = None,
    flag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A flag of the target's own.")] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the picture, if the model leaves it open.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights, if the files do not say.")] = "",
    recipe: Annotated[str, typer.Option(help="blip-vqa or sam: a model of several parts, part by part.")] = "",
    recipe_size: Annotated[list[str] | None, typer.Option(metavar="NAME=N", help="A size of the recipe's.")] = None,
    part_precision: Annotated[
        list[str] | None, typer.Option(metavar="PART=PRECISION", help="Precision of one part.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Copy the artifact here.")] = None,
    allow_restricted_licence: Annotated[
        bool, typer.Option("--allow-restricted-licence", help="Accept AGPL, GPL and non-commercial lineage.")
    ] = False,
    forbid_compiling: Annotated[
        bool, typer.Option("--forbid-compiling", help="Fail when it is not compiled yet.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compile a model for a chip, prove that it still answers the same, and sign it; a second time it is found at once."""
    from fleetsight.accel.parity import Gates
    from fleetsight.accel.pictures import made_up_pictures, read_pictures
    from fleetsight.accel.sources.reading import Asked, read_source
    from fleetsight.accel.targets.options import Options
    from fleetsight.cli.artifacts import artifact_cache

    loaded = settings_file.load()
    flags = _pairs(flag or [], "--flag")
    known(precision, ("auto", "f32", "bf16", "f16", "int8"), option="--precision")
    cache = artifact_cache(loaded, forbid_compiling=forbid_compiling)
    if recipe:
        from fleetsight.accel.parts.flow import RecipeRequest

        singles, sizes = _pairs(part_precision or [], "--part-precision"), _pairs(recipe_size or [], "--recipe-size")
        request = RecipeRequest(recipe, model, target=target, precision=precision, part_precisions=singles, flags=flags)
        request = replace(request, batch=_batch(batch or "dynamic"), sizes=read_sizes(sizes), licence=licence)
        request = replace(request, examples=read_examples(data), allow_restricted_licence=allow_restricted_licence)
        return run_recipe(request, cache, out=out, as_json=as_json)
    size_px = size_wh(size) if size else None
    asked = Asked(model, _batch(batch or "1"), size_px, licence, allow_restricted_licence)
    source = read_source(asked, models_dir=loaded.models_dir)
    options = Options(precision=precision, batch=asked.batch, flags=flags, model_kind=source.model_kind)
    gates = Gates(_limits(gate or []), read_pictures(data, limit=pictures) if data is not None else made_up_pictures())
    found = _compile(source, target, options, gates=gates, cache=cache, is_restricted=allow_restricted_licence)
    if out is not None:
        found = replace(found, artifact=found.artifact.copy_to(out))
    if as_json:
        print(json.dumps(found.as_json()))
        return None
    return _print(found)


def _compile(
    source: "Source", target: str, options: "Options", *, gates: "Gates", cache: "ArtifactCache", is_restricted: bool
) -> "Compiled":
    from fleetsight.accel.compiling import check_licence, compile_int8, compile_model
    from fleetsight.accel.tuning import tune

    if not is_restricted:
        check_licence(source)
    way = {"auto": tune, "int8": compile_int8}.get(options.precision, compile_model)
    return way(source, target, options, gates=gates, cache=cache)


def _limits(texts: list[str]) -> dict[str, float]:
    return {name: _limit(value) for name, value in _pairs(texts, "--gate").items()}


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


def _limit(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no number", param_hint="--gate") from error


def _print(found: "Compiled") -> None:
    manifest, parity = found.artifact.manifest, found.parity
    for row in manifest.candidates:
        speed = f"{row['images_per_s']:9.1f}/s" if row["images_per_s"] is not None else " " * 11
        print(
            f"  {row['candidate']:14} {speed} {row['parity']} {row['reason']}{'  <- kept' if row['kept'] else ''}".rstrip()
        )
    print(f"{manifest.name} for {manifest.compiler}, {manifest.precision}, {manifest.preprocess} preprocessing")
    for name, gate in parity["gates"].items():
        figures = ", ".join(f"{key} {value:g}" for key, value in gate.items() if isinstance(value, float))
        print(f"  gate {name:8} {'pass' if gate['passed'] else 'FAIL'}  {figures}")
    print(f"  on {parity['data']}, against {parity['reference']}")
    if parity["vacuous"]:
        print(f"warning: this proves little: {parity['vacuous']}", file=sys.stderr)
    print(f"artifact: {found.artifact.folder} ({'found' if found.hit else 'made'} in {found.seconds:.2f} s)")
