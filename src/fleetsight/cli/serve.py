"""`fleetsight serve`: the service. One process answers requests, others settle sessions, one keeps them all alive."""

import json
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetsight.cli.choices import known

if TYPE_CHECKING:
    from fleetsight.fleet.installation import Addresses, Choices
    from fleetsight.settings import Settings

ROLES = ("api", "worker")
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

serve_app = typer.Typer()
serve_group = typer.Typer(invoke_without_command=True)


@serve_group.callback()
def serve(
    context: typer.Context,
    only: Annotated[str, typer.Option(help="Run one part in this process: api or worker.")] = "",
    number: Annotated[int, typer.Option(min=0, help="Which worker; each has its own number.")] = 0,
    company: Annotated[str, typer.Option(help="Name of the first tenant, made when there is none.")] = "My coolers",
    listen_fd: Annotated[int, typer.Option(hidden=True, help="An open socket of the supervisor.")] = -1,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True, help="End with the supervisor.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run the service: pages and API for devices, shoppers and operators, and the workers that settle sessions."""
    from fleetsight.settings import load

    if context.invoked_subcommand is not None:
        return
    log_to_stderr()
    settings = load()
    stop = stop_on_signals()
    if supervised:
        from fleetsight.fleet.processes.supervisor import end_with_supervisor

        end_with_supervisor()
    if not only:
        _supervise(settings, company, stop, as_json=as_json)
        return
    known(only, ROLES, option="--only")
    arm_crashpoint(settings.crash_at)
    if not supervised:  # else the supervisor did
        from fleetsight.fleet.installation import prepare

        prepare(addresses_of(settings))
    if only == "api":
        _run_api(settings, listen_fd)
    else:
        _run_worker(settings, number, stop, supervised=supervised)


@serve_app.command()
def invite(
    name: Annotated[str, typer.Argument(help="The person's name.")],
    role: Annotated[str, typer.Option(help="viewer, reviewer, operator or admin.")] = "reviewer",
    as_json: JsonFlag = False,
) -> None:
    """Add a person who works with the pages, and print their access token; it is shown this once."""
    from fleetsight.fleet.installation import Installation, add_operator, prepare
    from fleetsight.fleet.people import Role
    from fleetsight.settings import load

    settings = load()
    known(role, [one.label for one in Role], option="--role")
    prepare(addresses_of(settings))
    installation = Installation.open(addresses_of(settings), choices_of(settings))
    token = add_operator(installation, name, role=Role[role.upper()])
    installation.close()
    print(json.dumps({"token": token, "sign_in": sign_in_url(settings.base_url)}) if as_json else token)


def addresses_of(settings: "Settings") -> "Addresses":
    """Where the installation that the settings describe keeps things."""
    from fleetsight.fleet.installation import Addresses

    options = {
        "endpoint": settings.s3_endpoint,
        "region": settings.s3_region,
        "access_key_id": settings.s3_access_key_id,
        "secret_access_key": settings.s3_secret_access_key,
    }
    on_s3 = settings.blobs_url.startswith("s3://")
    return Addresses(
        data_dir=settings.data_dir.absolute(),
        database_url=settings.database_url,
        jobs_url=settings.jobs_url,
        blobs_url=settings.blobs_url,
        base_url=settings.base_url.rstrip("/"),
        blob_options={name: value for name, value in options.items() if value} if on_s3 else {},
    )


def choices_of(settings: "Settings") -> "Choices":
    """What the installation that the settings describe does."""
    from fleetsight.fleet.installation import Choices

    return Choices(
        payment_provider=settings.payment_provider,
        stripe_secret_key=settings.stripe_secret_key,
        stripe_webhook_secrets=tuple(part for part in settings.stripe_webhook_secrets.split(",") if part),
        open_signup=settings.open_signup,
        notify_url=settings.notify_url,
        notify_secret=settings.notify_secret,
        notify_loopback=settings.notify_loopback,
        threads=settings.threads or max(1, (os.cpu_count() or 1) // max(1, settings.workers)),
    )


def sign_in_url(base_url: str) -> str:
    """The page on which an operator enters a token."""
    return f"{base_url}/operator/sign-in"


def log_to_stderr() -> None:
    """Write records of the program to stderr, one a line."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stderr)
    for noisy in ("httpx", "httpcore", "alembic", "uvicorn.access", "dbos"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def stop_on_signals() -> threading.Event:
    """Give an event that SIGTERM and SIGINT set; a second SIGINT ends the process at once."""
    stop = threading.Event()

    def told(_number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    return stop


def arm_crashpoint(crash_at: str) -> None:
    """Let this process die where a test wants it: NAME or NAME:COUNT."""
    from fleetsight.store.crashpoint import arm

    if crash_at:
        name, _, count = crash_at.partition(":")
        arm(name, int(count) if count.isdecimal() else 1)


def _supervise(settings: "Settings", company: str, stop: threading.Event, *, as_json: bool) -> None:
    from fleetsight.fleet.installation import Installation, first_operator, prepare
    from fleetsight.fleet.processes.supervisor import Supervisor
    from fleetsight.fleet.processes.tree import listen, service_plans
    from fleetsight.settings import environment_with, with_port

    listening = listen(settings.host, settings.port)
    settings = with_port(settings, listening.getsockname()[1])
    prepare(addresses_of(settings))
    installation = Installation.open(addresses_of(settings), choices_of(settings))
    token = first_operator(installation, company)
    installation.close()
    environ = environment_with({"port": settings.port, "base_url": settings.base_url})
    announcement = {"base_url": settings.base_url, "sign_in": sign_in_url(settings.base_url), "token": token}
    if as_json:
        print(json.dumps(announcement), flush=True)
    else:
        print(f"{settings.base_url}  operators sign in at {announcement['sign_in']}", flush=True)
        if token is not None:
            print(f"access token of the first operator, shown this once: {token}", flush=True)
    Supervisor(service_plans(environ, listening, workers=settings.workers)).run(stop)


def _run_api(settings: "Settings", listen_fd: int) -> None:
    from fleetsight.fleet.installation import Installation
    from fleetsight.fleet.processes.tree import inherited, listen
    from fleetsight.web.app import make_app
    from fleetsight.web.server import answer, services_of

    listening = inherited(listen_fd) if listen_fd >= 0 else listen(settings.host, settings.port)
    installation = Installation.open(addresses_of(settings), choices_of(settings))
    answer(make_app(services_of(installation)), listening)
    installation.close()


def _run_worker(settings: "Settings", number: int, stop: threading.Event, *, supervised: bool) -> None:
    from fleetsight.fleet.installation import Installation
    from fleetsight.fleet.processes.worker import run_worker

    installation = Installation.open(addresses_of(settings), choices_of(settings))
    run_worker(installation, number, stop=stop, known_dead=supervised)
    installation.close()
