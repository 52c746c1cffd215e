"""`fleetsight device`: enrol a cooler, run its agent on simulated hardware, show its code."""

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetsight.cli.choices import known
from fleetsight.cli.picture_size import size_wh
from fleetsight.cli.serve import arm_crashpoint, stop_on_signals
from fleetsight.settings import load

if TYPE_CHECKING:
    import httpx

    from fleetsight.apps.cooler.device.identity import Identity
    from fleetsight.apps.cooler.device.simulated_day import DayPlan
    from fleetsight.clock import Clock

device_app = typer.Typer(help="The agent on a cooler: enrol it, run it on simulated hardware.", no_args_is_help=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
DataOption = Annotated[Path, typer.Option(metavar="DIR", help="Where the device keeps its key, journal and spool.")]
ServerOption = Annotated[str, typer.Option(metavar="URL", help="Where the service is.")]
ClaimOption = Annotated[str, typer.Option(metavar="CODE", help="Claim code that an operator got for this device.")]


@device_app.command()
def enrol(
    server: ServerOption,
    claim: ClaimOption,
    data: DataOption,
    name: Annotated[str, typer.Option(help="What the machine calls itself.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Make a key on this machine and become the device of a claim code."""
    from fleetsight.apps.cooler.device.durable import held
    from fleetsight.clock import SystemClock

    with held(data):
        identity = _enrol(data, server, claim, SystemClock(), name=name)
    if as_json:
        print(json.dumps({"device_id": identity.device_id, "kid": identity.kid, "site_id": identity.site_id}))
        return
    print(f"device {identity.device_id} at site {identity.site_id}, key {identity.kid}")


@device_app.command()
def run(
    data: DataOption,
    sim: Annotated[bool, typer.Option("--sim", help="Simulated lock and camera, simulated shoppers.")] = False,
    server: ServerOption = "",
    claim: ClaimOption = "",
    operator_token: Annotated[
        str, typer.Option(metavar="TOKEN", help="Publishes each simulated shelf and its prices; without, nobody does.")
    ] = "",
    scenario: Annotated[str, typer.Option(help="What shoppers do, in turns, comma-separated.")] = "basic",
    seed: Annotated[int, typer.Option(min=0, help="Chooses everything that scenarios leave open.")] = 1,
    sessions: Annotated[int, typer.Option(min=0, help="Shoppers until closing time; 0 for no end.")] = 0,
    films: Annotated[int, typer.Option(min=1, help="Different sessions to render; later ones repeat them.")] = 6,
    films_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where rendered sessions are kept; DATA/films if not given.")
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Picture size of the camera in pixels.")] = "640x360",
    pace: Annotated[float, typer.Option(min=0.1, max=50.0, help="Simulated seconds per second.")] = 1.0,
    skew_s: Annotated[float, typer.Option(help="How far the device's clock is ahead, seconds.")] = 0.0,
    link: Annotated[
        str, typer.Option(metavar="SPEC", help="A bad line: loss=0.1,cut=0.05,dup=0.05,latency_ms=50,offline=30-60.")
    ] = "",
    face_model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YuNet model that finds faces where the service wants them blurred."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run the agent until closing time, or until it is told to stop (SIGTERM, Ctrl-C)."""
    from fleetsight.apps.cooler.device.durable import held
    from fleetsight.apps.cooler.device.hardware import SteadyClock
    from fleetsight.apps.cooler.device.identity import find_identity
    from fleetsight.apps.cooler.device.link.faults import LineFaults
    from fleetsight.apps.cooler.device.simulated import SkewedClock
    from fleetsight.apps.cooler.device.simulated_day import DayPlan
    from fleetsight.clock import SystemClock
    from fleetsight.sim.shoppers.scenarios import SCENARIOS

    if not sim:
        raise typer.BadParameter(
            "no driver for real locks and cameras ships yet; see docs/adr/0011-device-agent.md", param_hint="--sim"
        )
    scenarios = tuple(part.strip() for part in scenario.split(",") if part.strip())
    for part in scenarios:
        known(part, SCENARIOS, option="--scenario")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    arm_crashpoint(load().crash_at)
    faults = LineFaults.parse(link)
    plan = DayPlan(films_dir or data / "films", scenarios, seed, sessions, films, size_wh(size))
    say = _printer(as_json=as_json)
    with held(data):
        clock = SkewedClock(SteadyClock(SystemClock()), ahead_s=skew_s)
        identity = find_identity(data) or _enrol(data, server, claim, clock)
        say({"happening": "enrolled", "device_id": identity.device_id, "site_id": identity.site_id})
        plan.render(say)  # minutes, while a claim code lasts for ten
        finished = _run_simulated(
            _Simulation(data, identity, clock, plan, pace, face_model),
            line=_line(faults, seed),
            token=operator_token,
            say=say,
        )
    if not finished:
        raise typer.Exit(1)


@device_app.command()
def show_qr(data: DataOption, as_json: JsonFlag = False) -> None:
    """Print a fresh code of a device that is enrolled; its agent has to be running for the door to open."""
    from fleetsight.apps.cooler.device.identity import NotEnrolledError, find_identity, load_or_make_key
    from fleetsight.apps.cooler.device.link.tokens import Signer
    from fleetsight.apps.cooler.device.link.uplink import Uplink
    from fleetsight.clock import SystemClock

    identity = find_identity(data)
    if identity is None:
        raise NotEnrolledError(f"{data} holds no enrolled device", hint="run `fleetsight device enrol` first")
    uplink = Uplink(identity.server_url, SystemClock())
    uplink.ask_time()
    code = Signer(identity, load_or_make_key(data)).qr_token(uplink.server_time.now_ns())
    uplink.close()
    if as_json:
        print(json.dumps({"token": code.token, "url": code.url, "expires_ns": code.expires_ns}))
        return
    print(_drawn(code.url))
    print(code.url)


def _enrol(data: Path, server: str, claim: str, clock: "Clock", *, name: str = "") -> "Identity":
    from fleetsight.apps.cooler.device.identity import (
        NotEnrolledError,
        keep_identity,
        load_or_make_key,
        public_key_b64,
    )
    from fleetsight.apps.cooler.device.link.uplink import Uplink

    if not server or not claim:
        raise NotEnrolledError(f"{data} holds no enrolled device", hint="give --server URL and --claim CODE")
    uplink = Uplink(server, clock)
    try:
        identity = uplink.enrol(claim, public_key_b64(load_or_make_key(data)), name=name or None)
    finally:
        uplink.close()
    keep_identity(data, identity)
    return identity


@dataclass(frozen=True)
class _Simulation:
    data: Path
    identity: "Identity"
    clock: "Clock"
    plan: "DayPlan"
    pace: float
    face_model: Path | None


def _run_simulated(
    simulation: _Simulation, *, line: "httpx.BaseTransport", token: str, say: Callable[[Mapping[str, Any]], None]
) -> bool:
    from fleetsight.apps.cooler.device.agent import Agent
    from fleetsight.apps.cooler.device.identity import load_or_make_key
    from fleetsight.apps.cooler.device.link.tokens import Signer
    from fleetsight.apps.cooler.device.link.uplink import Uplink
    from fleetsight.apps.cooler.device.recording.faces import YuNetFaces
    from fleetsight.apps.cooler.device.simulated import NoFaces, SimulatedCamera, SimulatedLock, World
    from fleetsight.apps.cooler.device.simulated_day import SimulatedDay
    from fleetsight.apps.cooler.device.simulated_retailer import Retailer
    from fleetsight.apps.cooler.device.station import Hardware, Station

    identity = simulation.identity
    signer = Signer(identity, load_or_make_key(simulation.data))
    uplink = Uplink(identity.server_url, simulation.clock, signer=signer, transport=line)
    world = World(simulation.data, pace=simulation.pace)
    retailer = Retailer(identity.server_url, token) if token else None
    day = SimulatedDay(simulation.plan, world, identity=identity, retailer=retailer, say=say)
    camera = SimulatedCamera(world)
    faces = YuNetFaces(simulation.face_model) if simulation.face_model is not None else NoFaces()
    hardware = Hardware(SimulatedLock(world), (camera,), faces)
    station = Station.open(simulation.data, hardware, server_time=uplink.server_time, tell=day.hear)
    agent = Agent(station, uplink, signer=signer)
    finished = day.run(agent, uplink.server_time, stop=stop_on_signals())
    agent.stop()
    camera.close()
    if retailer is not None:
        retailer.close()
    return finished


def _line(faults: Any, seed: int) -> "httpx.BaseTransport":
    import httpx

    from fleetsight.apps.cooler.device.link.faults import FaultyLine

    return FaultyLine(httpx.HTTPTransport(), faults, seed=seed)


def _printer(*, as_json: bool) -> Callable[[Mapping[str, Any]], None]:
    lock = threading.Lock()

    def say(happening: Mapping[str, Any]) -> None:
        with lock:
            if as_json:
                print(json.dumps(happening), flush=True)
                return
            if happening["happening"] == "qr":
                print(_drawn(str(happening["url"])))
            words = (f"{name}={value}" for name, value in happening.items() if name not in ("happening", "token"))
            print(happening["happening"], *words, flush=True)

    return say


def _drawn(url: str) -> str:
    """The code as text; a terminal of 80 columns shows it."""
    import io

    import segno

    text = io.StringIO()
    segno.make(url, error="l").terminal(out=text, compact=True)
    return text.getvalue()
