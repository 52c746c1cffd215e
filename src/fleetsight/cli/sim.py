"""``fleetsight sim``: render sessions whose truth is known."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

sim_app = typer.Typer(help="A rendered world whose truth is known.", no_args_is_help=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@sim_app.command()
def cooler(
    scenario: Annotated[str, typer.Option(help="What the shopper does; `fleetsight sim scenarios` lists them.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where clip.mp4, truth.json, planogram.json and catalog/ go.")
    ],
    seed: Annotated[int, typer.Option(help="Chooses everything that the scenario leaves open.")] = 1,
    suite: Annotated[str, typer.Option(help="standard, or shifted (outside of the training ranges).")] = "standard",
    size: Annotated[str, typer.Option(metavar="WxH", help="Picture size in pixels.")] = "640x360",
    as_json: JsonFlag = False,
) -> None:
    """Render one shopping session at a cooler, with its truth."""
    from fleetsight.apps.cooler.score import write_session
    from fleetsight.sim.session import plan_session

    plan = plan_session(scenario, seed, suite=suite, size_wh=size_wh(size))
    print(f"rendering {scenario}, seed {seed} ...", file=sys.stderr)
    write_session(plan, out)
    truth = json.loads((out / "truth.json").read_text(encoding="utf-8"))
    if as_json:
        files = {name: str(out / name) for name in ("clip.mp4", "truth.json", "planogram.json", "catalog")}
        print(json.dumps({"suite": suite, "files": files} | truth))
        return
    for event in truth["events"]:
        print(f"{event['at_s']:7.2f} s  {event['kind']:12}  {event['count']} x {event['sku']}")
    print(f"basket: {', '.join(f'{count} x {sku}' for sku, count in truth['basket'].items()) or 'empty'}")
    print(f"written: {out}", file=sys.stderr)


@sim_app.command()
def scenarios(as_json: JsonFlag = False) -> None:
    """List the scenarios, in the order in which suites take turns."""
    from fleetsight.sim.scenarios import SCENARIOS

    if as_json:
        print(json.dumps({"scenarios": list(SCENARIOS)}))
        return
    for name in SCENARIOS:
        print(name)


def size_wh(text: str) -> tuple[int, int]:
    """Read ``640x360``.

    Args:
        text: width, an x, height.
    Returns:
        width and height in pixels, both even (H.264 stores colour for two by two pixels).
    Raises:
        BadParameter: anything else.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT, such as 640x360", param_hint="--size")
    size = int(width), int(height)
    if any(side % 2 or not SIDE_MIN_PX <= side <= SIDE_MAX_PX for side in size):
        raise typer.BadParameter(
            f"{text}: both sides must be even, {SIDE_MIN_PX} to {SIDE_MAX_PX} pixels", param_hint="--size"
        )
    return size


SIDE_MIN_PX = 64
SIDE_MAX_PX = 3840
