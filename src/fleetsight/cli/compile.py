"""``fleetsight compile``: a model, a target, proof, and the artifact that the service loads."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetsight import settings as settings_file
from fleetsight.cli.choices import known
from fleetsight.cli.picture_size import size_wh

if TYPE_CHECKING:
    from fleetsight.accel.compiling import Compiled

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
    batch: Annotated[str, typer.Option(help="Images at a time, or dynamic.")] = "1",
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compile a model for a chip, prove that it still answers the same, and sign it; a second time it is found at once."""
    from fleetsight.accel.compiling import check_licence, compile_int8, compile_model
    from fleetsight.accel.parity import Gates
    from fleetsight.accel.pictures import made_up_pictures, read_pictures
    from fleetsight.accel.sources.reading import Asked, read_source
    from fleetsight.accel.targets.options import Options
    from fleetsight.accel.tuning import tune
    from fleetsight.cli.artifacts import artifact_cache

    loaded = settings_file.load()
    asked = Asked(
        model=model,
        batch=_batch(batch),
        size_wh=size_wh(size) if size else None,
        licence=licence,
        allow_restricted_licence=allow_restricted_licence,
    )
    limits = {name: _limit(value) for name, value in _pairs(gate or [], "--gate").items()}
    flags = _pairs(flag or [], "--flag")
    known(precision, ("auto", "f32", "bf16", "f16", "int8"), option="--precision")
    cache = artifact_cache(loaded, forbid_compiling=forbid_compiling)
    source = read_source(asked, models_dir=loaded.models_dir)
    if not allow_restricted_licence:
        check_licence(source)
    gates = Gates(limits, read_pictures(data, limit=pictures) if data is not None else made_up_pictures())
    options = Options(precision=precision, batch=asked.batch, flags=flags, model_kind=source.model_kind)
    way = {"auto": tune, "int8": compile_int8}.get(precision, compile_model)
    found = way(source, target, options, gates=gates, cache=cache)
    if out is not None:
        found = replace(found, artifact=found.artifact.copy_to(out))
    if as_json:
        print(json.dumps(found.as_json()))
        return
    _print(found)


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
