"""Write docs/commands.md from the command line itself; with ``--check`` fail when the page is out of date."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from page_file import deliver
from typer.testing import CliRunner

from fleetsight import settings
from fleetsight.cli.main import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
HEAD = """# Commands

Written by `make docs` from the help of the commands; do not edit. stdout is data, stderr is talk; every command has `--json`.
An error is one line and a hint on stderr (with `--json`: one JSON object there) and exit code 2.
"""
SETTINGS_HEAD = """## Settings

Each is read from the environment (`FLEETSIGHT_` and the name in capitals), else from the file that `--settings` names or
`fleetsight.toml` in the working folder, else from `$XDG_CONFIG_HOME/fleetsight/fleetsight.toml`. `fleetsight settings` prints each
value and where it came from.

| setting | kind | default | meaning |
|---|---|---|---|
"""
PLACES = {
    "data_dir": "`$XDG_DATA_HOME/fleetsight`",
    "models_dir": "`models` in `data_dir`",
    "database_url": "`fleetsight.db` in `data_dir`",
    "jobs_url": "`jobs.db` in `data_dir`",
    "blobs_url": "`blobs` in `data_dir`",
    "base_url": "`http://HOST:PORT`",
}


def page() -> str:
    """Put the whole page together."""
    commands = "\n".join(sections(typer.main.get_command(app)))
    return f"{HEAD}\n{commands}\n{SETTINGS_HEAD}{''.join(settings_rows())}"


def sections(command: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield one section for each command below this one: its help as a person sees it, groups first."""
    shown = CliRunner().invoke(
        app, [*words, "--help"], prog_name=app.info.name, env={"COLUMNS": "100", "NO_COLOR": "1"}
    )
    if shown.exit_code != 0:
        raise SystemExit(f"{' '.join(words)} --help failed: {shown.output}")
    text = "\n".join(line.rstrip() for line in shown.stdout.strip().splitlines())
    yield f"## `{' '.join((str(app.info.name), *words))}`\n\n```text\n{text}\n```\n"
    for name in sorted(getattr(command, "commands", ())):
        yield from sections(command.commands[name], (*words, name))


def settings_rows() -> Iterator[str]:
    """Describe each setting as a row of the table."""
    for name, text in settings.EXPLAINED.items():
        value = getattr(settings.Settings, name, "")
        default = PLACES.get(name) or (
            f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else ""
        )
        yield f"| `{name}` | {settings.KINDS[name].__name__.lower()} | {default} | {text} |\n"


if __name__ == "__main__":
    sys.exit(deliver(PAGE, page(), check="--check" in sys.argv[1:]))
