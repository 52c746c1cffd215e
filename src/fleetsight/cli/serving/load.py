"""`fleetsight load`: load a server until its knee is found, and write the profile that follows."""

import json
import math
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetsight.serve.load.grid import Cell
    from fleetsight.serve.load.line import Payload, Target
    from fleetsight.serve.load.processes import Generators
    from fleetsight.serve.load.shots import Shots
    from fleetsight.serve.load.trial import Load, LoadPlan
    from fleetsight.serve.profile import Profile

FRAMES = 24
"""Rendered pictures that are sent in turn: more than a cache of recent ones would hold, few enough to render at once."""

FRAME_WH = (640, 480)

load_app = typer.Typer()


@load_app.command()
def load(
    url: Annotated[str, typer.Option(help="Address of the server, such as http://127.0.0.1:8350.")],
    model: Annotated[str, typer.Option(help="Model that is asked.")],
    slo_ms: Annotated[float, typer.Option(min=0.1, help="Deadline of a frame, from its scheduled send.")],
    variant: Annotated[str, typer.Option(help="Name of the variant in the profile.")] = "cpu",
    instance: Annotated[str, typer.Option(help="Instance type that the price file knows.")] = "c7i.xlarge",
    replicas: Annotated[int, typer.Option(min=1, help="Replicas of the server.")] = 1,
    hardware: Annotated[str, typer.Option(help="Hardware of the server in words; the default is this machine.")] = "",
    commit: Annotated[str, typer.Option(help="Commit of the code that is measured.")] = "unknown",
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Price file; the default is the one that ships.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="JPEG files to send; the default is rendered frames.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="What is counted of each run.")] = 10.0,
    warm_up: Annotated[float, typer.Option(min=0.0, help="Seconds before it that are not counted.")] = 2.0,
    generators: Annotated[int, typer.Option(min=1, max=64, help="Processes that send.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the arrivals.")] = 0,
    grid: Annotated[
        str, typer.Option(metavar="SERVERxCLIENT", help="Also a closed loop over threads, such as 1,2x1,2,4,8.")
    ] = "",
    server_command: Annotated[
        str, typer.Option(help="Starts the server for each row of the grid; {threads} stands for the number.")
    ] = "",
    profile: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the profile is written.")] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="Where SVG pictures are written.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find the knee of a server: patient callers, then Poisson arrivals at rising rates, then the curve from 0.2 to 5 times the knee."""
    from urllib.parse import quote

    from fleetsight.accel.measure.prices import Prices
    from fleetsight.serve.load.bodies import folder_bodies
    from fleetsight.serve.load.hardware import hardware_in_words
    from fleetsight.serve.load.line import Target
    from fleetsight.serve.load.processes import Generators
    from fleetsight.serve.load.trial import LoadPlan
    from fleetsight.serve.profile import BatchPoint, Profile

    usd_per_hour = Prices.load(prices).on_demand(instance)
    plan = LoadPlan(slo_ms=slo_ms, replicas=replicas, duration_s=seconds, warm_up_s=warm_up, seed=seed)
    target = Target.at(url, f"/v1/models/{quote(model, safe='')}/infer", headers=(f"X-Deadline-Ms: {slo_ms:g}",))
    draft = Profile(  # what is wrong with it should be said before minutes of load
        model=model,
        variant=variant,
        hardware=hardware or hardware_in_words(),
        instance=instance,
        usd_per_hour=usd_per_hour,
        replicas=replicas,
        slo_ms=slo_ms,
        service=(BatchPoint(1, slo_ms, slo_ms),),
        knee_hz=0.0,
        measured=datetime.now(UTC).date().isoformat(),
        commit=commit,
    )
    bodies = folder_bodies(images) if images is not None else rendered_bodies(FRAMES)
    with Generators(bodies, processes=generators) as sending:
        found, cells = _measure(_Aimed(sending, target), plan, grid=grid, server_command=server_command)
    written = replace(draft, service=found.service, knee_hz=found.knee_hz)
    if profile is not None:
        profile.write_text(written.to_json(), encoding="utf-8")
    if plots is not None:
        _draw(plots, found, cells, slo_ms=slo_ms)
    _print(written, found, cells, as_json=as_json)


@dataclass(frozen=True)
class _Aimed:
    """Generators that point at one target."""

    generators: "Generators"
    target: "Target"

    def open_loop(self, rate_hz: float, duration_s: float, *, seed: int) -> "Shots":
        return self.generators.open_loop(self.target, rate_hz, duration_s=duration_s, seed=seed)

    def closed_loop(self, callers: int, duration_s: float) -> "Shots":
        return self.generators.closed_loop(self.target, callers, duration_s=duration_s)


def _talk(line: str) -> None:
    print(line, file=sys.stderr)


def _measure(gun: _Aimed, plan: "LoadPlan", *, grid: str, server_command: str) -> "tuple[Load, tuple[Cell, ...]]":
    """The grid first, if a command starts the server: the knee is then that of the best number of threads."""
    from fleetsight.serve.load.grid import parse_sides, run_grid, server_running
    from fleetsight.serve.load.trial import run_trial

    sides = parse_sides(grid) if grid else None
    if (sides is None or sides[0] == (0,)) if server_command else (sides is not None and sides[0] != (0,)):
        raise typer.BadParameter(
            "threads of the server need both --server-command and a --grid such as 1,2x1,2,4", param_hint="--grid"
        )

    def started(threads: int) -> AbstractContextManager[object]:
        if not server_command:
            return nullcontext()
        return server_running(server_command, threads, target=gun.target)

    cells = run_grid(gun, plan, sides=sides, started=started, told=_talk) if sides else ()
    best = max(cells, key=lambda cell: cell.point.good_hz).server if cells else 0
    with started(best):
        return run_trial(gun, plan, told=_talk), cells


def rendered_bodies(count: int) -> "list[Payload]":
    """Render the first frames of a session at a cooler.

    Args:
        count: how many.

    Returns:
        a JPEG each.
    """
    from itertools import islice

    from fleetsight.serve.load.bodies import jpeg_bodies
    from fleetsight.sim.session import plan_session, render

    frames = render(plan_session("basic", 1, size_wh=FRAME_WH))
    return jpeg_bodies(frame.image for frame in islice(frames, count))


def _draw(folder: Path, found: "Load", cells: "tuple[Cell, ...]", *, slo_ms: float) -> None:
    from fleetsight.serve.load.chart import grid_plot, heat_map, latency_plot

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latency.svg").write_text(latency_plot(found.curve, slo_ms=slo_ms), encoding="utf-8")
    if cells:
        (folder / "grid.svg").write_text(heat_map(cells), encoding="utf-8")
        (folder / "grid_latency.svg").write_text(grid_plot(cells), encoding="utf-8")


def _print(profile: "Profile", found: "Load", cells: "tuple[Cell, ...]", *, as_json: bool) -> None:
    if as_json:
        rows: dict[str, Any] = {
            "profile": json.loads(profile.to_json()),
            "knee_hz": found.knee_hz,
            "curve": [point.as_row() for point in found.curve],
            "grid": [cell.as_row() for cell in cells],
            "closed": [{"callers": step.callers, **step.point.as_row()} for step in found.closed],
            "searched": [point.as_row() for point in found.searched],
        }
        print(json.dumps(rows))
        return
    print(f"knee: {found.knee_hz:.1f} frames/s within {profile.slo_ms:g} ms at 99 %")
    print("offered Hz   in time   p50 ms   p99 ms   refused   failed   generator cores")
    for point in found.curve:
        p50, p99 = (math.nan if value is None else value for value in (point.p50_ms, point.p99_ms))
        print(
            f"{point.offered_hz:10.1f} {point.good_hz:9.1f} {p50:8.2f} {p99:8.2f} {point.rejected:9d} {point.failed:8d} "
            f"{point.generator_cpu:17.2f}"
        )
    for cell in cells:
        print(f"{cell.label:>8}  {cell.point.good_hz:8.1f} Hz in time, p99 {cell.point.p99_ms or math.nan:.2f} ms")
    if found.knee_hz == 0.0:
        print("no rate was carried: the deadline is shorter than what a frame takes", file=sys.stderr)
