"""``fleetsight sim``: render sessions whose truth is known."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from fleetsight.cli.choices import known
from fleetsight.cli.picture_size import size_wh

sim_app = typer.Typer(help="A rendered world whose truth is known.", no_args_is_help=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@sim_app.command()
def cooler(
    scenario: Annotated[str, typer.Option(help="What the shopper does; `fleetsight sim scenarios` lists them.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where clip.mp4, truth.json, planogram.json and catalog/ go.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Chooses everything that the scenario leaves open.")] = 1,
    suite: Annotated[str, typer.Option(help="standard, or shifted (outside of the training ranges).")] = "standard",
    size: Annotated[str, typer.Option(metavar="WxH", help="Picture size in pixels.")] = "640x360",
    frame_truth: Annotated[
        bool,
        typer.Option(
            "--frame-truth", help="Also write boxes and visible masks of every frame (frames.jsonl, masks.npz)."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Render one shopping session at a cooler, with its truth."""
    from rich.console import Console
    from rich.progress import track

    from fleetsight.sim.frame_files import kept
    from fleetsight.sim.knobs import SUITES
    from fleetsight.sim.session import RenderedFrame, plan_session, render
    from fleetsight.sim.shoppers.scenarios import SCENARIOS
    from fleetsight.sim.truth import session_truth, write_side_files
    from fleetsight.video.encode import write_clip

    known(scenario, SCENARIOS, option="--scenario")
    known(suite, SUITES, option="--suite")
    plan = plan_session(scenario, seed, suite=suite, size_wh=size_wh(size))
    frames: Iterable[RenderedFrame] = track(
        render(plan), f"{scenario} {seed}", plan.frame_count, console=Console(stderr=True), transient=True
    )
    out.mkdir(parents=True, exist_ok=True)
    frames = kept(frames, out, catalog=plan.catalog) if frame_truth else frames
    write_clip(out / "clip.mp4", (frame.image for frame in frames), rate_hz=plan.rate_hz, crf=plan.crf)
    write_side_files(plan, session_truth(plan), folder=out)
    truth = json.loads((out / "truth.json").read_text(encoding="utf-8"))
    if as_json:
        files = {path.name: str(path) for path in sorted(out.iterdir())}
        print(json.dumps({"files": files} | truth))
        return
    for event in truth["events"]:
        print(f"{event['at_s']:7.2f} s  {event['kind']:12}  {event['count']} x {event['sku']}")
    print(f"basket: {', '.join(f'{count} x {sku}' for sku, count in truth['basket'].items()) or 'empty'}")
    print(f"written: {out}", file=sys.stderr)


@sim_app.command()
def scenarios(as_json: JsonFlag = False) -> None:
    """List the scenarios, in the order in which suites take turns."""
    from fleetsight.sim.shoppers.scenarios import SCENARIOS

    if as_json:
        print(json.dumps({"scenarios": list(SCENARIOS)}))
        return
    for name in SCENARIOS:
        print(name)
