"""``fleetsight model``: bring models in, list them, look at them, check them."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from fleetsight import settings
from fleetsight.cli.picture_size import size_wh

if TYPE_CHECKING:
    from fleetsight.accel.artifacts.artifact import StoredArtifact
    from fleetsight.accel.portable import PortableModel
    from fleetsight.vision.heads import Decoder

model_app = typer.Typer(help="Models: bring them in, list, show and check them.", no_args_is_help=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ModelName = Annotated[str, typer.Argument(metavar="NAME-OR-FOLDER", help="Name of a model, or its folder.")]


@model_app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="Detector with a raw dense head.")],
    decoder: Annotated[str, typer.Option(help="How to read the head: yolox or fleetsight_dense.")],
    labels: Annotated[str, typer.Option(help="coco, a text file with one name a line, or names split by commas.")],
    name: Annotated[str, typer.Option(help="Name in the store: lower case, digits, dot, dash, underscore.")],
    licence: Annotated[str, typer.Option(help="Licence of the weights, such as Apache-2.0.")] = "",
    size: Annotated[str, typer.Option(metavar="WxH", help="Input size in pixels, if the file leaves it open.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a model of the same name.")] = False,
    allow_restricted_licence: Annotated[
        bool, typer.Option("--allow-restricted-licence", help="Accept AGPL, GPL and non-commercial lineage.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check an ONNX detector, try it out and keep it under a name."""
    from fleetsight.accel.importing.importer import ImportOptions, import_onnx
    from fleetsight.accel.importing.labels import read_labels
    from fleetsight.accel.licence import UNSTATED

    options = ImportOptions(
        name=name,
        decoder=known_decoder(decoder),
        labels=read_labels(labels),
        licence=licence,
        size_wh=size_wh(size) if size else None,
    )
    model = import_onnx(
        file,
        options,
        store_dir=settings.load().models_dir,
        allow_restricted_licence=allow_restricted_licence,
        replace_existing=replace,
    )
    if model.card.licence == UNSTATED:
        print("warning: the licence of these weights is not stated; name it with --licence", file=sys.stderr)
    _print_model(model, as_json=as_json)


@model_app.command("list")
def list_models(as_json: JsonFlag = False) -> None:
    """List the models that ship, those that were imported, and what was compiled here."""
    from fleetsight.accel.modelstore import list_models as stored_models
    from fleetsight.cli.measuring.artifacts import artifacts_here

    loaded = settings.load()
    rows = [
        {
            "name": stored.name,
            "origin": stored.origin,
            "task": stored.model.card.task if stored.model else "",
            "input_size_wh": list(stored.model.card.input_size_wh) if stored.model else [],
            "licence": stored.model.card.licence if stored.model else "",
            "problem": stored.problem,
            "folder": str(stored.folder),
        }
        for stored in stored_models(loaded.models_dir)
    ]
    compiled = [_row_of(stored) for stored in artifacts_here(loaded)]
    if as_json:
        print(json.dumps({"models": rows, "artifacts": compiled}))
        return
    if not rows:
        print("no models yet; bring one in with: fleetsight model import FILE.onnx ...", file=sys.stderr)
    for row in rows:
        size = "x".join(map(str, cast("list[int]", row["input_size_wh"])))
        line = f"{row['name']:24} {row['origin']:9} {row['task']:7} {size:9} {row['licence']}"
        print(line.rstrip() + (f"  damaged: {row['problem']}" if row["problem"] else ""))
    for row in compiled:
        told = f"{row['name']:24} {'compiled':9} {row['target']} {row['precision']} {row['batch'] or 'dynamic'}"
        state = f"damaged: {row['problem']}" if row["problem"] else "unproved" if row["unproved"] else "proved"
        print(f"{told}  {state}  {row['folder']}")


@model_app.command()
def show(name: ModelName, as_json: JsonFlag = False) -> None:
    """Show the card of a model, or the manifest of an artifact: what it eats and answers, where it comes from."""
    from fleetsight.accel.artifacts.artifact import is_artifact
    from fleetsight.accel.modelstore import find_model
    from fleetsight.cli.measuring.artifacts import open_artifact

    loaded = settings.load()
    if is_artifact(name):
        artifact = open_artifact(name, loaded)
        manifest = artifact.manifest.as_json() | {"folder": str(artifact.folder)}
        print(json.dumps(manifest, indent=None if as_json else 1))
        return
    _print_model(find_model(name, loaded.models_dir), as_json=as_json)


@model_app.command()
def verify(folder: ModelName, as_json: JsonFlag = False) -> None:
    """Check a model's files, then run it on every target and compare the answers."""
    from fleetsight.accel.importing.trial import verify_targets
    from fleetsight.accel.modelstore import find_model

    model = find_model(folder, settings.load().models_dir)
    checks = verify_targets(model)
    is_sound = any(check.reason is None for check in checks)
    if as_json:
        rows = [asdict(check) for check in checks]
        print(json.dumps({"name": model.name, "sha256": model.card.sha256, "sound": is_sound, "targets": rows}))
    else:
        print(f"{model.name}: files, digest, card, shapes and licence are in order")
        for check in checks:
            told = f"{check.run_ms:.1f} ms, differs by {check.difference:.2g}" if check.run_ms is not None else ""
            state = "ok" if check.reason is None else f"failed: {check.reason}"
            print(f"{check.target:12} {check.precision:5} {state:4} {told}".rstrip())
    if not is_sound:
        raise typer.Exit(1)


def _row_of(stored: "StoredArtifact") -> dict[str, Any]:
    manifest = stored.manifest
    return {
        "name": manifest.name if manifest else "",
        "target": manifest.target if manifest else "",
        "precision": manifest.precision if manifest else "",
        "batch": manifest.batch if manifest else None,
        "licence": str(manifest.source.get("licence", "")) if manifest else "",
        "made_at": manifest.made_at if manifest else "",
        "unproved": manifest.unproved if manifest else "",
        "problem": stored.problem,
        "folder": str(stored.folder),
    }


def known_decoder(text: str) -> "Decoder":
    """Read the name of a decoder.

    Args:
        text: the name.

    Returns:
        the same name.

    Raises:
        BadParameter: there is no such decoder.
    """
    from fleetsight.vision.heads import COLUMNS_BEFORE_CLASSES

    if text not in COLUMNS_BEFORE_CLASSES:
        known = ", ".join(COLUMNS_BEFORE_CLASSES)
        raise typer.BadParameter(f"{text!r} is none of {known}", param_hint="--decoder")
    return cast("Decoder", text)


def _print_model(model: "PortableModel", *, as_json: bool) -> None:
    card: dict[str, Any] = {**asdict(model.card), "folder": str(model.folder), "bytes": len(model.onnx)}
    if as_json:
        print(json.dumps(card))
        return
    for name, value in card.items():
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        if isinstance(value, dict):
            text = "; ".join(f"{key}: {inner}" for key, inner in value.items())
        print(f"{name:15} {text}".rstrip())
