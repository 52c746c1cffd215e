"""The door ``fleetsight``: puts the groups of commands together and turns errors into one line and an exit code.

stdout is data, stderr is talk. An `Error` ends with exit code 2 and ``error[code]: message`` plus its hint on stderr, or with
one JSON object there when the command was given ``--json``. Importing this module stays light: what is heavy (arrays, codecs,
models) is imported inside the command that needs it.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fleetsight import settings as settings_file
from fleetsight.cli.chaos import chaos_app
from fleetsight.cli.cooler import cooler_app
from fleetsight.cli.device import device_app
from fleetsight.cli.measuring.bench import bench_app
from fleetsight.cli.measuring.compile import compile_app
from fleetsight.cli.measuring.cost import cost_app
from fleetsight.cli.measuring.doctor import doctor_app
from fleetsight.cli.model import model_app
from fleetsight.cli.replay import replay_app
from fleetsight.cli.serve import serve_app, serve_group
from fleetsight.cli.service_demo import demo_app
from fleetsight.cli.serving.load import load_app
from fleetsight.cli.serving.models import switch_app
from fleetsight.cli.serving.plan import plan_app
from fleetsight.cli.sim import sim_app
from fleetsight.cli.train import train_app
from fleetsight.errors import Error

EXIT_ERROR = 2


def report_error(error: Error, *, as_json: bool) -> None:
    """Print one error for a person, or for a script."""
    if as_json:
        print(
            json.dumps({"error": {"code": error.code, "message": error.message, "hint": error.hint}}), file=sys.stderr
        )
        return
    print(f"error[{error.code}]: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


class PathError(Error):
    """The operating system refused a file or folder that the user named."""

    code = "path"


@contextmanager
def errors_reported(*, as_json: bool) -> Iterator[None]:
    """Turn an `Error`, or a refusal of the operating system, into talk on stderr and exit code 2; other exceptions are our bugs."""
    try:
        yield
    except Error as error:
        report_error(error, as_json=as_json)
        raise typer.Exit(EXIT_ERROR) from error
    except BrokenPipeError:
        raise  # click ends quietly when the reader of our output is gone
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        report_error(PathError(f"{where}{error.strerror or error}"), as_json=as_json)
        raise typer.Exit(EXIT_ERROR) from error


class Door(TyperGroup):
    """The outermost group; every command runs inside its error boundary."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note whether a script is listening before the arguments are taken apart."""
        ctx.meta["fleetsight.json"] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an `Error` becomes talk and exit code 2."""
        with errors_reported(as_json=ctx.meta["fleetsight.json"]):
            return super().invoke(ctx)


app = typer.Typer(
    cls=Door,
    name="fleetsight",
    help="Camera footage into decisions one can charge for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(bench_app, name="bench")
app.add_typer(cooler_app, name="cooler")
app.add_typer(device_app, name="device")
app.add_typer(model_app, name="model")
app.add_typer(sim_app, name="sim")
app.add_typer(train_app, name="train")
app.add_typer(compile_app)
app.add_typer(demo_app)
app.add_typer(doctor_app)
app.add_typer(serve_app)
app.add_typer(serve_group, name="serve")
app.add_typer(switch_app)
app.add_typer(load_app)
app.add_typer(plan_app)
app.add_typer(chaos_app)
app.add_typer(replay_app)
app.add_typer(cost_app)


@app.callback()
def fleetsight(
    settings: Annotated[
        Path | None,
        typer.Option("--settings", metavar="FILE", help="A TOML file of settings (see `fleetsight settings`)."),
    ] = None,
) -> None:
    """Camera footage into decisions one can charge for."""
    if settings is not None:
        settings_file.choose_file(settings)


@app.command()
def settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print each setting, its value and where that came from."""
    loaded = settings_file.load()
    rows = {
        name: {"value": settings_file.printable(loaded, name), "origin": loaded.origins[name]}
        for name in settings_file.EXPLAINED
    }
    if as_json:
        print(json.dumps(rows, indent=2, default=str))
        return
    table = [(name, str(row["value"]), str(row["origin"]), settings_file.EXPLAINED[name]) for name, row in rows.items()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


@app.command()
def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the version of fleetsight."""
    from importlib.metadata import version as version_of

    number = version_of("fleetsight")
    print(json.dumps({"version": number}) if as_json else f"fleetsight {number}")
