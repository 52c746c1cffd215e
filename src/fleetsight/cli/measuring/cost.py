"""`fleetsight cost`: what answers cost on one machine against another, and what makes the published savings true."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetsight.accel.measure.cost import Load, Offer

cost_app = typer.Typer()


@cost_app.command()
def cost(
    baseline: Annotated[str, typer.Option(metavar="MACHINE", help="What is rented now.")] = "p3.2xlarge",
    candidate: Annotated[str, typer.Option(metavar="MACHINE", help="What would be rented.")] = "inf2.xlarge",
    baseline_rate: Annotated[
        float, typer.Option(metavar="FPS", help="Frames a second of the baseline, measured.")
    ] = 24.0,
    candidate_rate: Annotated[float, typer.Option(metavar="FPS", help="Frames a second of the candidate.")] = 120.0,
    utilisation: Annotated[float, typer.Option(help="Share of the paid time in which a machine is busy.")] = 1.0,
    reserved: Annotated[bool, typer.Option("--reserved", help="Candidate reserved for three years.")] = False,
    cameras: Annotated[int, typer.Option(min=0, help="Size of a fleet to price on both; 0: no fleet.")] = 0,
    camera_rate: Annotated[float, typer.Option(metavar="FPS", help="Frames a second of one camera.")] = 5.0,
    duty: Annotated[float, typer.Option(help="Share of the time in which a camera sends.")] = 1.0,
    prices: Annotated[Path | None, typer.Option(metavar="FILE", help="A price file; else the one that ships.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two machines, and recompute the published savings: which assumptions make them true."""
    from fleetsight.accel.measure.claims import BASELINES, compare, examine
    from fleetsight.accel.measure.cost import Load, Offer
    from fleetsight.accel.measure.prices import Prices

    table = Prices.load(prices)
    paid = table.reserved(candidate) if reserved else table.on_demand(candidate)
    offers = (
        Offer(baseline, table.on_demand(baseline), baseline_rate, utilisation),
        Offer(candidate, paid, candidate_rate, utilisation),
    )
    ratio = candidate_rate / baseline_rate
    listed = [name for name in BASELINES if name in table.rows and name != candidate] or [baseline]
    against = compare(table, candidate, ratio=ratio, baselines=listed)
    verdicts = examine(against, ratio=ratio)
    result: dict[str, Any] = {
        "prices": {
            "dated": table.dated.isoformat(),
            "region": table.region,
            "machines": {name: asdict(table.find(name)) for name in (baseline, candidate)},
        },
        "comparison": _comparison(*offers),
        "baselines": [asdict(row) for row in against],
        "claims": [asdict(verdict) for verdict in verdicts],
        "fleet": _fleet(*offers, load=Load(cameras, camera_rate, duty)) if cameras else None,
    }
    if as_json:
        print(json.dumps(result))
        return
    _print_for_people(result, ratio=ratio)


def _comparison(baseline: "Offer", candidate: "Offer") -> dict[str, Any]:
    from fleetsight.accel.measure.cost import needed_ratio, saving

    now, then = baseline.usd_per_hour, candidate.usd_per_hour
    return {
        "baseline": asdict(baseline) | {"usd_per_million": baseline.usd_per_million},
        "candidate": asdict(candidate) | {"usd_per_million": candidate.usd_per_million},
        "saving": saving(baseline, candidate),
        "price_alone": 1.0 - then / now,
        "ratio": candidate.frames_per_s / baseline.frames_per_s,
        "break_even_ratio": needed_ratio(now, then, wanted=0.0),
        "break_even_frames_per_s": baseline.frames_per_s * needed_ratio(now, then, wanted=0.0),
    }


def _fleet(baseline: "Offer", candidate: "Offer", *, load: "Load") -> dict[str, Any]:
    from fleetsight.accel.measure.cost import cameras_to_break_even, fleet_cost

    costs = [fleet_cost(offer, load) for offer in (baseline, candidate)]
    small, large = sorted((baseline, candidate), key=lambda offer: offer.usd_per_hour)
    return {
        "load": asdict(load),
        "machines": [asdict(row) for row in costs],
        "cheapest": min(costs, key=lambda row: row.usd_per_hour).name,
        "smaller": small.name,
        "larger": large.name,
        "cameras_to_break_even": cameras_to_break_even(small, large, rate_hz=load.rate_hz),
    }


def _print_for_people(result: dict[str, Any], *, ratio: float) -> None:
    one = result["comparison"]
    for part in (one["baseline"], one["candidate"]):
        print(
            f"{part['name']:14} ${part['usd_per_hour']:.4f}/h at {part['frames_per_s']:g} frames/s: "
            f"${part['usd_per_million']:.3f} per million frames{_otherwise(result['prices']['machines'][part['name']])}"
        )
    print(
        f"saving {_percent(one['saving'])} ({_percent(one['price_alone'])} from the price alone); break-even at "
        f"{one['break_even_ratio']:.2f}x = {one['break_even_frames_per_s']:.1f} frames/s\n"
    )
    claims = [round(100 * claim["claim"]["saving"]) for claim in result["claims"]]
    wanted = (f"x for {claim} %" for claim in claims)
    cells = [("baseline", "$/h", f"saved at {ratio:.3g}x", "if reserved", *wanted, "price alone")]
    cells += [
        (
            row["baseline"],
            f"{row['usd_per_hour']:.4f}",
            _percent(row["saving"]),
            "" if row["saving_reserved"] is None else _percent(row["saving_reserved"]),
            *(f"{row['needed'][claim]:.2f}" for claim in claims),
            _percent(row["price_alone"]),
        )
        for row in result["baselines"]
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        print("  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]))
    print()
    for verdict in result["claims"]:
        print(f"{_percent(verdict['claim']['saving'])}: {verdict['claim']['words']}\n  {verdict['words']}")
    if result["fleet"]:
        print("\n".join(_fleet_lines(result["fleet"])))
    paid = f"prices of {result['prices']['dated']}, {result['prices']['region']}"
    print(f"{paid}; edit a copy and name it with --prices", file=sys.stderr)


def _otherwise(row: dict[str, Any]) -> str:
    """Other prices of the same machine."""
    reserved, spot = row["reserved_3_years_usd_per_hour"], row["spot_usd_per_hour"]
    parts = [f"${reserved:.4g}/h for three years"] if reserved else []
    parts += [f"${spot[0]:g} to ${spot[1]:g}/h spot"] if spot else []
    return f" (also {', '.join(parts)})" if parts else ""


def _fleet_lines(fleet: dict[str, Any]) -> list[str]:
    load = fleet["load"]
    lines = [
        f"\n{load['cameras']} cameras x {load['rate_hz']:g} frames/s, sending {_percent(load['duty'])} of the time:"
    ]
    lines += [
        f"  {row['machines']} x {row['name']:14} ${row['usd_per_hour']:.4f}/h, ${row['usd_per_million']:.3f} per million "
        f"frames, {_percent(row['utilisation'])} used"
        for row in fleet["machines"]
    ]
    cameras = fleet["cameras_to_break_even"]
    when = f"is cheaper from {cameras} cameras on" if cameras else "is not cheaper for any large fleet"
    lines.append(f"  cheapest here: {fleet['cheapest']}; {fleet['larger']} {when} (against {fleet['smaller']})")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
