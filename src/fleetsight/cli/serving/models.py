"""`fleetsight serve models` answers frames over HTTP; `fleetsight switch` moves traffic between variants while it runs."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetsight.cli.measuring.artifacts import trusted_keys
from fleetsight.cli.serve import log_to_stderr, serve_group

if TYPE_CHECKING:
    from fleetsight.serve.tier.plan import Variant
    from fleetsight.settings import Settings

switch_app = typer.Typer()

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
MODEL_HELP = (
    "A model by name or folder, with its variants if there are several: NAME=openvino@0.17x1..4,onnxruntime@0.10. "
    "@ is dollars an hour of one replica, x how many; with x1..4 they come and go with the rate of requests."
)


@serve_group.command("models")
def serve_models(
    model: Annotated[list[str] | None, typer.Option(metavar="NAME-OR-FOLDER[=VARIANT,...]", help=MODEL_HELP)] = None,
    models: Annotated[Path | None, typer.Option(metavar="FILE", help="A TOML file of variants instead.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8350,
    isolate: Annotated[bool, typer.Option("--isolate", help="Each replica in a process of its own.")] = False,
    replica: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Be one replica for an API tier elsewhere: unix:/path or tcp:host:port."),
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Run the inference service: frames come in as JPEGs, the cheapest variant that is in time answers."""
    from fleetsight.serve.http.server import Server, serve
    from fleetsight.serve.replica.address import Address, listen
    from fleetsight.serve.replica.child import SWITCH_S
    from fleetsight.serve.tier.service import Service, Shape
    from fleetsight.settings import load

    log_to_stderr()
    variants = _variants(model or [], models)
    settings = load()
    if replica:
        _be_replica(variants, replica, settings)
        return
    sys.setswitchinterval(SWITCH_S)
    listening = listen(Address(host=host, port=port))
    service = Service(
        variants, Shape(isolate=isolate, models_dir=settings.models_dir, trusted=tuple(trusted_keys(settings)))
    )
    url = f"http://{host}:{listening.getsockname()[1]}"
    names = sorted({one.model for one in variants})
    told = {"url": url, "models": names, "variants": [f"{one.model}/{one.variant}" for one in variants]}
    print(json.dumps(told) if as_json else f"{url}  models: {', '.join(names)}", flush=True)
    serve(Server(service, listening, control_token=settings.control_token))


@switch_app.command()
def switch(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    variant: Annotated[
        list[str] | None, typer.Argument(metavar="[VARIANT[:PERCENT]]...", help="Who answers; nobody: by cost again.")
    ] = None,
    url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:8350",
    as_json: JsonFlag = False,
) -> None:
    """Move the traffic of a model to a variant, or split it between several, from the next request on."""
    from fleetsight.serve.client import Client
    from fleetsight.settings import load

    shares = _shares(variant or [])
    with Client(url) as client:
        path = f"/v1/models/{model}/split"
        told = client.call("PUT", path, told={"shares": shares}, token=load().control_token)
    if as_json:
        print(json.dumps(told))
    else:
        print(f"{model}: {_in_words(told['split'])}, in force after {told['took_ms']} ms")


def _shares(words: list[str]) -> dict[str, int] | None:
    """Read ``cpu:90 gpu:10``; one variant without a number takes everything, none at all means by cost."""
    if not words:
        return None
    shares: dict[str, int] = {}
    for word in words:
        name, _, percent = word.partition(":")
        if (percent and not percent.isdecimal()) or (not percent and len(words) > 1) or name in shares:
            raise typer.BadParameter(f"{word!r} is no VARIANT:PERCENT", param_hint="VARIANT")
        shares[name] = int(percent or 100)
    return shares


def _in_words(split: dict[str, int] | None) -> str:
    return "by cost" if split is None else ", ".join(f"{name} {share} %" for name, share in split.items())


def _variants(words: list[str], file: Path | None) -> "list[Variant]":
    from fleetsight.serve.tier.plan import check, from_file, from_words

    variants = [one for word in words for one in from_words(word)]
    if file is not None:
        variants += from_file(file)
    if not variants:
        raise typer.BadParameter("name at least one model, such as --model cooler-detector", param_hint="--model")
    return check(variants)


def _be_replica(variants: "list[Variant]", address: str, settings: "Settings") -> None:
    from fleetsight.serve.engine.source import Source
    from fleetsight.serve.replica.address import read_address
    from fleetsight.serve.replica.child import Order, run

    if len(variants) != 1:
        raise typer.BadParameter(f"a replica runs one variant, {len(variants)} were named", param_hint="--model")
    one: Any = variants[0]
    source = Source(one.source, one.target, one.threads, settings.models_dir, tuple(trusted_keys(settings)))
    run(Order(source, read_address(address), one.version, one.batch_max, one.streams))
