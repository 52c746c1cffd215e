"""`fleetsight plan`: which instances to rent for a demand, from measured profiles and a price file."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from fleetsight.cli.choices import known

if TYPE_CHECKING:
    from fleetsight.accel.measure.prices import Prices
    from fleetsight.fleet.planning.day import DayResult
    from fleetsight.fleet.planning.demand import Demand
    from fleetsight.fleet.planning.offers import Offer, Purchase
    from fleetsight.fleet.planning.plan import Plan
    from fleetsight.serve.profile import Profile

SIMULATED_SAMPLE_S = 5.0
"""Step of `--simulate`: decisions fall every five seconds at most (N7 of the serving reference)."""

plan_app = typer.Typer()


@plan_app.command()
def plan(
    profile: Annotated[
        list[Path], typer.Option(metavar="FILE", help="Profile of a variant, by `fleetsight load`; may be repeated.")
    ],
    slo_ms: Annotated[float, typer.Option(min=0.1, help="Deadline of a frame.")],
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Price file; the default is the one that ships.")
    ] = None,
    demand: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV of seconds,rate_hz in equal steps.")] = None,
    cameras: Annotated[int, typer.Option(min=0, help="Instead of --demand: how many cameras.")] = 0,
    fps: Annotated[float, typer.Option(help="Frames a second of a camera while it sends.")] = 1.0,
    duty: Annotated[float, typer.Option(help="Share of the day in which it sends; 1 for always.")] = 1.0,
    headroom: Annotated[float, typer.Option(help="Share of each knee that stays free.")] = 0.3,
    purchase: Annotated[str, typer.Option(help="on_demand, reserved or spot.")] = "on_demand",
    measured: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="`fleetsight load --json` of the mix as it runs: judges the prediction."),
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Also live through the demand with three policies.")
    ] = False,
    render: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write Kubernetes, Ray, Prometheus and Grafana files here.")
    ] = None,
    image: Annotated[
        str, typer.Option(help="Container image that the rendered files name.")
    ] = "registry.example/fleetsight:latest",
    seed: Annotated[int, typer.Option(min=0, help="Chooses the made-up day and the simulated luck.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find the cheapest instances for a demand, and what a million frames then cost."""
    from fleetsight.accel.measure.prices import Prices
    from fleetsight.fleet.planning.offers import PURCHASES, make_offers
    from fleetsight.fleet.planning.plan import make_plan
    from fleetsight.serve.profile import Profile

    known(purchase, PURCHASES, option="--purchase")
    wanted = _demand(demand, cameras, fps=fps, duty=duty, seed=seed)
    profiles = [Profile.from_json(path.read_bytes()) for path in profile]
    price_list = Prices.load(prices)
    offers, refused = make_offers(profiles, price_list, slo_ms=slo_ms, purchase=cast("Purchase", purchase))
    for reason in refused:
        print(reason, file=sys.stderr)
    made = make_plan(offers, wanted, gpu_offers=_gpus_on_demand(profiles, price_list, slo_ms=slo_ms), headroom=headroom)
    if measured is not None:
        made = made.compared(_measured_hz(measured))
    days = _live(offers, wanted, headroom=headroom, seed=seed) if simulate else ()
    if render is not None:
        _render(render, image, made=made, profiles=profiles, prices=price_list, slo_ms=slo_ms)
    if as_json:
        more = {"dated": price_list.dated.isoformat(), "policies": [asdict(day) for day in days]}
        print(json.dumps(made.as_row() | more))
        return
    _print(made, price_list, days)


def _demand(path: Path | None, cameras: int, *, fps: float, duty: float, seed: int) -> "Demand":
    from fleetsight.fleet.planning.demand import DayShape, made_up_day, read_demand, steady

    if (path is None) == (cameras == 0):
        raise typer.BadParameter("name a trace with --demand, or a number with --cameras", param_hint="--demand")
    if path is not None:
        return read_demand(path)
    return steady(cameras, fps) if duty == 1.0 else made_up_day(cameras, fps, shape=DayShape(duty=duty), seed=seed)


def _measured_hz(path: Path) -> float:
    from fleetsight.fleet.planning.offers import PlanError

    try:
        found = json.loads(path.read_text(encoding="utf-8"))["knee_hz"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path} is not what `fleetsight load --json` prints: {error!r}") from error
    if not isinstance(found, int | float) or found <= 0:
        raise PlanError(f"{path}: knee_hz is {found!r}, expected frames a second above 0")
    return float(found)


def _gpus_on_demand(profiles: "list[Profile]", prices: "Prices", *, slo_ms: float) -> "list[Offer]":
    from fleetsight.fleet.planning.offers import make_offers

    return [offer for offer in make_offers(profiles, prices, slo_ms=slo_ms)[0] if offer.is_gpu]


def _live(offers: "tuple[Offer, ...]", wanted: "Demand", *, headroom: float, seed: int) -> "tuple[DayResult, ...]":
    from fleetsight.fleet.planning.day import World, policies, simulate

    world = World(sample_s=min(SIMULATED_SAMPLE_S, wanted.step_s), seed=seed)
    return tuple(
        simulate(policy, offers, demand=wanted, world=world) for policy in policies(offers, wanted, headroom=headroom)
    )


def _render(
    folder: Path, image: str, *, made: "Plan", profiles: "list[Profile]", prices: "Prices", slo_ms: float
) -> None:
    from fleetsight.fleet.planning.render.kubernetes import Cluster, kubernetes_yaml
    from fleetsight.fleet.planning.render.observability import dashboard_json, rules_yaml
    from fleetsight.fleet.planning.render.pools import pools_of
    from fleetsight.fleet.planning.render.ray_cluster import ray_yaml

    pools = pools_of(made.mix, profiles, prices=prices)
    files = {
        "kubernetes.yaml": kubernetes_yaml(pools, Cluster(image=image)),
        "ray-cluster.yaml": ray_yaml(pools, image=image, region=prices.region),
        "prometheus-rules.yaml": rules_yaml(pools, slo_ms=slo_ms),
        "grafana-dashboard.json": dashboard_json(pools[0].profile.model),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"written: {folder / name}", file=sys.stderr)


def _print(made: "Plan", prices: "Prices", days: "tuple[DayResult, ...]") -> None:
    print(f"peak {made.demand.peak_hz:.1f} frames/s, {made.demand.frames:.4g} frames in {made.demand.hours:.1f} h")
    for part in made.mix.parts:
        offer = part.offer
        print(
            f"{part.count:6d} x {offer.instance:14} {offer.variant:12} {offer.purchase:10} ${offer.usd_per_hour:.4f}/h"
            f"  {offer.knee_hz:.1f} frames/s each"
        )
    print(f"${made.mix.usd_per_hour:.4f} an hour, prices of {prices.dated}")
    print(
        f"${made.usd_per_million:.4f} for a million frames ({made.usd_per_million_low:.4f} to "
        f"{made.usd_per_million_high:.4f}); ${made.usd_per_million_hourly:.4f} with a mix for each hour"
    )
    print(
        f"predicted {made.mix.predicted_hz:.1f} frames/s, wrong by {100 * made.prediction_error:.1f} % where measured"
    )
    if made.saving is not None:
        print(f"saves {100 * made.saving:.1f} % of the cheapest GPUs on demand")
    for day in days:
        print(
            f"{day.policy:14} ${day.usd:10.2f}  ${day.usd_per_million:.4f} a million  {100 * day.served_share:.3f} % carried  "
            f"{day.instances_max} instances  {day.decisions} decisions, {day.oscillations} oscillations, {day.losses} lost"
        )
