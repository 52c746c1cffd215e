"""`fleetsight replay`: settle a session again with something changed, and show the difference."""

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetsight.cli.serve import addresses_of, choices_of

if TYPE_CHECKING:
    from fleetsight.apps.cooler.session.replay import Difference, Side

replay_app = typer.Typer()


@replay_app.command()
def replay(
    session: Annotated[str, typer.Argument(help="Id of the session.")],
    model: Annotated[
        str, typer.Option(help="Another detector: name of an imported model, or the folder of a model or artifact.")
    ] = "",
    planogram: Annotated[Path | None, typer.Option(help="Another planogram (JSON).")] = None,
    charge_min: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Charge on our own from this confidence on.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Settle a session again with another model, planogram or threshold, and show the difference; nothing is charged."""
    from fleetsight.accel.artifacts.artifact import is_artifact
    from fleetsight.accel.modelstore import find_model
    from fleetsight.apps.cooler.session.analysis import Analyst
    from fleetsight.apps.cooler.session.replay import Overrides, Replayer
    from fleetsight.cli.measuring.artifacts import open_artifact, trusted_keys
    from fleetsight.fleet.assortment import FleetAssortments
    from fleetsight.fleet.installation import Installation
    from fleetsight.settings import load

    settings = load()
    if model and is_artifact(model):
        folder = str(open_artifact(model, settings).folder)
    else:
        folder = str(find_model(model, settings.models_dir).folder) if model else ""
    installation = Installation.open(addresses_of(settings), choices_of(settings))
    with TemporaryDirectory(prefix="replay-") as unpacked, Analyst(threads=settings.threads or None) as analyst:
        assortments = FleetAssortments(installation.blobs, Path(unpacked))
        replayer = Replayer(installation.sessions, installation.blobs, analyst, assortments)
        found = replayer.replay(session, Overrides(folder, planogram, charge_min, tuple(trusted_keys(settings))))
    installation.close()
    if as_json:
        print(json.dumps(_as_json(found)))
        return
    for line in _in_words(found):
        print(line)


def _as_json(found: "Difference") -> dict[str, Any]:
    value = asdict(found)
    value["charged"] = str(found.charged) if found.charged is not None else None
    for name, side in (("before", found.before), ("after", found.after)):
        if side is not None:
            value[name]["total"] = str(side.total) if side.total is not None else None
    return value


def _in_words(found: "Difference") -> list[str]:
    lines = [f"before: {_side(found.before)}", f"after:  {_side(found.after)}"]
    lines += [f"  {sku}: {before} -> {after}" for sku, before, after in found.lines]
    charged = f", {found.charged} was decided" if found.charged is not None else ""
    return [*lines, ("the same" if found.same else "different") + charged]


def _side(side: "Side | None") -> str:
    if side is None:
        return "nothing was proposed"
    goods = ", ".join(f"{count} x {sku}" for sku, count in side.basket.items()) or "nothing"
    return (
        f"{side.verdict} {side.total or 'without a price'}: {goods} (confidence {side.confidence:.3f}; {side.reason})"
    )
