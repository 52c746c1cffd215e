"""`fleetsight bench`: how fast a model runs here in every way that was asked for, whether its answers hold, what they cost."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetsight import settings
from fleetsight.cli.choices import known

if TYPE_CHECKING:
    from fleetsight.accel.measure.flow import Way
    from fleetsight.accel.measure.report import Priced, Report

bench_app = typer.Typer(help="Measure models beside eager code.", no_args_is_help=True, rich_markup_mode=None)

PRICED_LIKE = "c7i."
"""Machines of the price file that a processor is priced as when none is named: two virtual processors to a core."""

LIST_MAX = 16
"""Most values of one option: four lists of sixteen would already run for days."""


@bench_app.callback()
def bench() -> None:
    """Measure models beside eager code."""


@bench_app.command()
def model(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name, a folder, a file .onnx, or package.module:factory.")
    ],
    targets: Annotated[str, typer.Option(metavar="A,B", help="Targets; all that work here when not given.")] = "",
    precisions: Annotated[
        str, typer.Option(metavar="A,B", help="Precisions; all that a target offers when not given.")
    ] = "",
    batches: Annotated[str, typer.Option(metavar="N,N", help="Pictures in a batch.")] = "1",
    streams: Annotated[
        str, typer.Option(metavar="N,N", help="Requests side by side; auto is the target's own choice.")
    ] = "1,auto",
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Pictures to calibrate and prove on; made-up ones when not given."),
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the picture, if the file leaves it open.")] = "",
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often each way takes its turn.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.0, max=600.0, help="Length of a turn.")] = 1.0,
    eager: Annotated[bool, typer.Option("--eager/--no-eager", help="Compare with eager torch.")] = True,
    scenarios: Annotated[
        bool, typer.Option("--scenarios", help="Also MLPerf's scenarios and a fleet of cameras.")
    ] = False,
    bound_ms: Annotated[
        float, typer.Option(min=0.1, help="Of the scenario Server: 99 of 100 answers within it.")
    ] = 100.0,
    camera_rate: Annotated[float, typer.Option(min=0.01, metavar="FPS", help="Of a camera of the fleet.")] = 5.0,
    deadline_ms: Annotated[float, typer.Option(min=0.1, help="Of a frame of the fleet.")] = 200.0,
    machine: Annotated[
        str, typer.Option(metavar="MACHINE", help="What an hour is priced as; see fleetsight cost.")
    ] = "",
    utilisation: Annotated[float, typer.Option(help="Share of the paid time in which it is busy.")] = 1.0,
    prices: Annotated[Path | None, typer.Option(metavar="FILE", help="A price file; else the one that ships.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write report.json and plots here.")] = None,
    allow_restricted_licence: Annotated[
        bool, typer.Option("--allow-restricted-licence", help="Accept AGPL, GPL and non-commercial lineage.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Latency, throughput, memory, agreement and price of a model, each way in a process of its own, beside eager torch."""
    from fleetsight.accel.measure.flow import Plan, bench_model
    from fleetsight.accel.measure.report import EAGER_DEFAULT, EAGER_TUNED
    from fleetsight.accel.measure.scenarios import Beat
    from fleetsight.accel.proving.parity import Gates
    from fleetsight.accel.proving.pictures import made_up_pictures, read_pictures
    from fleetsight.accel.sources.reading import Asked
    from fleetsight.cli.measuring.artifacts import artifact_cache
    from fleetsight.cli.picture_size import size_wh

    ways = ways_of(split(targets), split(precisions), counts(batches, "--batches"), stream_counts(streams))
    priced = price_of(machine, utilisation, prices)
    asked = Asked(
        model=model, size_wh=size_wh(size) if size else None, allow_restricted_licence=allow_restricted_licence
    )
    loaded = settings.load()
    plan = Plan(
        asked=asked,
        models_dir=loaded.models_dir,
        ways=ways,
        rounds=rounds,
        seconds=seconds,
        eager=(EAGER_DEFAULT, EAGER_TUNED) if eager else (),
        scenarios=scenarios,
        bound_ms=bound_ms,
        beat=Beat(rate_hz=camera_rate, deadline_ms=deadline_ms),
    )
    gates = Gates(pictures=read_pictures(data) if data else made_up_pictures())
    report = bench_model(plan, gates, cache=artifact_cache(loaded), priced=priced, tell=_tell)
    _show(report, out, as_json=as_json)


def ways_of(
    targets: tuple[str, ...], precisions: tuple[str, ...], batches: tuple[int, ...], streams: tuple[int | None, ...]
) -> "tuple[Way, ...]":
    """Every way to run the model that was asked for.

    Args:
        targets: names; empty: all that work here and are faster than nothing.
        precisions: names; empty: all that each target offers.
        batches: sizes.
        streams: counts; None: the target's own choice.

    Returns:
        all combinations; a precision that a target lacks is kept only when it was asked for by name.
    """
    from fleetsight.accel.choose import AUTO, TARGETS, target_module
    from fleetsight.accel.measure.flow import Way
    from fleetsight.accel.session import PRECISIONS

    for name in targets:
        known(name, TARGETS, option="--targets")
    for name in precisions:
        known(name, [one for one in PRECISIONS if one != "auto"], option="--precisions")
    chosen = targets or tuple(name for name in AUTO if target_module(name).probe() is None)
    return tuple(
        Way(target=target, precision=precision, batch=batch, streams=count)
        for target in chosen
        for precision in precisions
        or (target_module(target).precisions() if not target_module(target).probe() else ("f32",))
        for batch in batches
        for count in streams
    )


def price_of(machine: str, utilisation: float, prices: Path | None) -> "Priced | None":
    """What an hour of this machine is priced as.

    Args:
        machine: its name in the price file; empty: the smallest one of `PRICED_LIKE` with as many cores.
        utilisation: share of the paid time in which it is busy.
        prices: a price file; None: the one that ships.

    Returns:
        the price; None when none is named and none is alike.
    """
    from fleetsight.accel.measure.hardware import this_machine
    from fleetsight.accel.measure.prices import Prices, usd_per_million
    from fleetsight.accel.measure.report import Priced

    table = Prices.load(prices)
    if not machine:
        cores = this_machine().cores
        alike = [row for row in table.rows.values() if row.instance.startswith(PRICED_LIKE) and row.vcpus // 2 >= cores]
        if not alike:
            return None
        machine = min(alike, key=lambda row: row.vcpus).instance
    usd = table.on_demand(machine)
    usd_per_million(usd, 1.0, utilisation=utilisation)  # refuses a share that makes no sense before hours are spent
    return Priced(machine, usd, utilisation, table.dated.isoformat())


def split(text: str) -> tuple[str, ...]:
    """Read names divided by commas; each once, in order."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def counts(text: str, option: str) -> tuple[int, ...]:
    """Read whole numbers from 1 on, divided by commas.

    Args:
        text: as given.
        option: where.

    Returns:
        each once, in order.

    Raises:
        BadParameter: something else.
    """
    parts = split(text)
    if not parts or len(parts) > LIST_MAX or not all(part.isdecimal() and 1 <= int(part) <= 4096 for part in parts):
        raise typer.BadParameter(f"{text!r} is no list of numbers from 1 to 4096, such as 1,4,8", param_hint=option)
    return tuple(map(int, parts))


def stream_counts(text: str) -> tuple[int | None, ...]:
    """Read numbers of streams, of which `auto` may be one."""
    own = [part for part in split(text) if part != "auto"]
    numbers: tuple[int | None, ...] = counts(",".join(own), "--streams") if own or not split(text) else ()
    return (*numbers, None) if "auto" in split(text) else numbers


def _show(report: "Report", out: Path | None, *, as_json: bool) -> None:
    files = report.save(out) if out else []
    if as_json:
        print(json.dumps(report.as_json()))
    else:
        _print_for_people(report)
    for path in files:
        _tell(f"written: {path}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_for_people(report: "Report") -> None:
    from rich.console import Console

    from fleetsight.accel.measure.report import scenario_lines, table_of

    Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200).print(table_of(report))
    for line in scenario_lines(report):
        print(line)
    for one in report.failed:
        print(f"{one.target} {one.precision}, batch {one.batch}: {one.reason}")
    for note in report.notes:
        print(f"note: {note}")
    if report.priced:
        price = report.priced
        print(
            f"note: priced as {price.instance}, ${price.usd_per_hour:.4f}/h on {price.dated}, "
            f"{100 * price.utilisation:g} % busy"
        )
