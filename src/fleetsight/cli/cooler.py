"""`fleetsight cooler`: settle a clip, score a suite, fit the calibration, show a few sessions."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetsight.cli.choices import known
from fleetsight.cli.picture_size import size_wh

if TYPE_CHECKING:
    from fleetsight.apps.cooler.evaluate.metrics import Outcome
    from fleetsight.apps.cooler.flow import Engine, Settlement

cooler_app = typer.Typer(help="Autonomous coolers: from a transaction clip to a basket.", no_args_is_help=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Chooses the sessions; use one that no training used.")]


@cooler_app.command()
def settle(
    clip: Annotated[Path, typer.Argument(help="Video of one session: MP4, MKV, MPEG-TS or fragmented MP4.")],
    planogram: Annotated[Path | None, typer.Option(help="What should stand where (JSON).")] = None,
    model: Annotated[
        str, typer.Option(help="Detector: name of an imported model, a model folder, or an artifact.")
    ] = "",
    catalog: Annotated[Path | None, typer.Option(help="Catalog folder with gallery pictures.")] = None,
    skus: Annotated[str, typer.Option(help="Detector labels that are SKUs, when there is no catalog.")] = "",
    role: Annotated[str, typer.Option(help="Who opened the door: shopper or restock.")] = "shopper",
    evidence: Annotated[Path | None, typer.Option(help="Write an annotated clip and frame strips here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn a clip into events, a basket and a decision."""
    from fleetsight.apps.cooler import flow
    from fleetsight.apps.cooler.show import report
    from fleetsight.apps.cooler.show.evidence import write_evidence
    from fleetsight.catalog.planogram import Planogram

    opened_by = _role(role)
    engine = _engine(model, catalog, tuple(name.strip() for name in skus.split(",") if name.strip()))
    plan = Planogram.load(planogram) if planogram is not None else None
    limits = _limits()
    settlement = flow.settle(clip, engine, planogram=plan, role=opened_by, limits=limits)
    written = write_evidence(settlement, evidence, limits=limits) if evidence is not None else {}
    if as_json:
        value = report.as_json(settlement)
        if evidence is not None:
            value["evidence"] = {name: str(evidence / file) for name, file in written.items()}
        print(json.dumps(value))
        return
    _print_settlement(settlement)
    if evidence is not None:
        print(f"evidence: {evidence}", file=sys.stderr)


@cooler_app.command()
def score(
    suite: Annotated[str, typer.Option(help="standard, or shifted (outside of the training ranges).")] = "standard",
    seed: SeedOption = 1,
    sessions: Annotated[int, typer.Option(help="Spread evenly over the scenarios.")] = 204,
    scenario: Annotated[str, typer.Option(help="Only these scenarios, comma-separated.")] = "",
    size: Annotated[str, typer.Option(help="Picture size, WIDTHxHEIGHT.")] = "640x360",
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one per core.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Render sessions with known truth, settle them, and score the answers."""
    from fleetsight.apps.cooler.evaluate.score import score_suite

    figures, _ = score_suite(_suite(suite, seed, sessions, scenario, size), workers=workers, progress=_progress)
    if as_json:
        print(json.dumps(figures))
        return
    _print_figures(figures)


@cooler_app.command()
def calibrate(
    out: Annotated[Path, typer.Option(help="Where the fitted numbers are written (JSON).")],
    part: Annotated[str, typer.Option(help="rows (steps of a row, first) or confidence (of a basket, last).")],
    seed: SeedOption = 900,
    sessions: Annotated[int, typer.Option(help="Sessions to fit on.")] = 204,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one per core.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Fit the steps of rows, or the confidence, on rendered sessions of seeds that are never scored."""
    from fleetsight.apps.cooler.evaluate.calibrate import calibrate_on
    from fleetsight.apps.cooler.evaluate.row_samples import fit_rows_on

    known(part, ("rows", "confidence"), option="--part")
    suite = _suite("standard", seed, sessions, "", "640x360")
    if part == "rows":
        fitted = fit_rows_on(suite, workers=workers, progress=_progress_rows)
    else:
        fitted = calibrate_on(suite, workers=workers, progress=_progress)
    out.write_text(json.dumps(fitted, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(fitted) if as_json else f"written: {out}")


@cooler_app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where clips, evidence and index.html go.")] = Path("demo"),
    as_json: JsonFlag = False,
) -> None:
    """Render a handful of shopping sessions, settle them, and show each receipt beside the truth."""
    from fleetsight.apps.cooler.show.demo import run

    run(out=out, as_json=as_json)


def _suite(name: str, seed: int, sessions: int, scenario: str, size: str) -> Any:
    from fleetsight.apps.cooler.evaluate.score import Suite
    from fleetsight.sim.knobs import SUITES
    from fleetsight.sim.shoppers.scenarios import SCENARIOS

    known(name, SUITES, option="--suite")
    chosen = tuple(part.strip() for part in scenario.split(",") if part.strip())
    for part in chosen:
        known(part, SCENARIOS, option="--scenario")
    return Suite(name, seed, sessions, chosen, size_wh(size))


def _engine(model: str, catalog: Path | None, skus: tuple[str, ...]) -> "Engine":
    from fleetsight.accel.artifacts.opening import open_detector
    from fleetsight.apps.cooler.flow import Engine
    from fleetsight.apps.cooler.models import load_detector, load_embedder
    from fleetsight.catalog.sku import Catalog, CatalogError
    from fleetsight.cli.measuring.artifacts import trusted_keys
    from fleetsight.settings import load

    settings = load()
    threads = settings.threads or None
    if model:
        detector = open_detector(
            model,
            models_dir=settings.models_dir,
            trusted=trusted_keys(settings),
            target=settings.target,
            threads=threads,
        )
    else:
        detector = load_detector(settings.target, threads)
    if skus:
        return Engine.for_labels(detector, skus)
    if catalog is None:
        raise CatalogError("products cannot be named without a catalog", hint="give --catalog DIR, or --skus LABELS")
    return Engine.for_catalog(detector, load_embedder(settings.target, threads), catalog=Catalog.load(catalog))


def _limits() -> Any:
    from fleetsight.settings import load
    from fleetsight.video.decode import Limits

    chosen = load()
    return Limits(
        ram_bytes=chosen.decode_ram_bytes,
        cpu_s=chosen.decode_cpu_s,
        wall_s=chosen.decode_wall_s,
        pixels=chosen.decode_pixels,
        frames=chosen.decode_frames,
    )


def _role(name: str) -> Any:
    from fleetsight.apps.cooler.events import Role

    known(name, Role, option="--role")
    return Role(name)


def _progress(done: int, outcome: "Outcome") -> None:
    mark = "exact" if outcome.exact else "WRONG"
    print(f"{done:5d} {outcome.scenario:16s} seed={outcome.seed} {mark} {outcome.decision}", file=sys.stderr)


def _progress_rows(done: int, samples: int) -> None:
    print(f"{done:5d} sessions, {samples} pairs of views", file=sys.stderr)


def _print_settlement(settlement: "Settlement") -> None:
    from rich.console import Console
    from rich.table import Table

    from fleetsight.apps.cooler.show.evidence import describe

    console = Console()
    table = Table("event", "confidence", "rule", title=f"{settlement.clip}  {settlement.summary.frames} frames")
    for event in settlement.events:
        table.add_row(describe(event), f"{event.confidence:.3f}", event.rule)
    console.print(table)
    basket = ", ".join(f"{count} x {sku}" for sku, count in settlement.basket.items()) or "empty"
    console.print(f"basket: {basket}", markup=False)
    console.print(f"decision: {settlement.decision} ({settlement.reason})", markup=False)
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in settlement.stages_s.items())
    console.print(f"seconds: {stages}; {settlement.frames_per_s:.0f} frames/s", markup=False)


def _print_figures(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("scenario", "n", "basket exact", "auto", "take F1", "put-back F1")
    for name, row in figures["by_scenario"].items():
        cells = [f"{row[key]:.3f}" for key in ("basket_exact", "auto", "take_f1", "put_back_f1")]
        table.add_row(name, str(row["n"]), *cells)
    console.print(table)
    for key in ("basket_exact", "take_f1", "put_back_f1", "auto_charged", "auto_exact"):
        interval = figures.get(f"{key}_wilson95")
        console.print(f"{key}: {figures[key]:.4f}" + (f" (95 % {interval[0]} to {interval[1]})" if interval else ""))
    console.print(f"overcharged {figures['overcharged_share']:.4%}, undercharged {figures['undercharged_share']:.4%}")
