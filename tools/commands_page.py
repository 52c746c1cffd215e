"""Write docs/commands.md from the command line itself; with ``--check`` fail when the page is out of date."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

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
PLACES = {"data_dir": "`$XDG_DATA_HOME/fleetsight`", "models_dir": "`models` in `data_dir`"}


def page() -> str:
    """Put the whole page together."""
    commands = "\n".join(sections(typer.main.get_command(app), "fleetsight"))
    return f"{HEAD}\n{commands}\n{SETTINGS_HEAD}{''.join(settings_rows())}"


def sections(command: Any, name: str) -> Iterator[str]:
    """Yield one section for each command below this one, groups first."""
    children = getattr(command, "commands", None)
    options = [option_row(parameter) for parameter in command.params if parameter.name != "help"]
    usage = " ".join([name, *(argument_name(p) for p in command.params if p.param_type_name == "argument")])
    yield f"## `{usage}{' COMMAND' if children else ''}`\n\n{plain(command.help or '')}\n"
    if options:
        yield "| argument or option | default | meaning |\n|---|---|---|\n" + "\n".join(options) + "\n"
    for child_name in sorted(children or ()):
        yield from sections(command.commands[child_name], f"{name} {child_name}")


def argument_name(parameter: Any) -> str:
    """Name a positional argument as the help does: in capitals, in brackets when it may be left out."""
    name = str(parameter.metavar or parameter.name.upper())
    name = f"{name}..." if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name.strip('[]')}]"


def option_row(parameter: Any) -> str:
    """Describe one option as a row of the table."""
    is_argument = parameter.param_type_name == "argument"
    takes_value = not is_argument and not getattr(parameter, "is_flag", False)
    names = argument_name(parameter) if is_argument else ", ".join(parameter.opts)
    value = f" {parameter.metavar or parameter.type.name.upper()}" if takes_value else ""
    if is_argument or parameter.required:
        default = "required" if parameter.required else ""
    else:
        default = (
            ""
            if parameter.default in (None, False, (), []) or callable(parameter.default)
            else f"`{parameter.default}`"
        )
    return f"| `{names}{value}` | {default} | {plain(parameter.help or '').replace('|', chr(92) + '|')} |"


def settings_rows() -> Iterator[str]:
    """Describe each setting as a row of the table."""
    for name, text in settings.EXPLAINED.items():
        default = PLACES.get(name) or f"`{getattr(settings.Settings, name)}`"
        yield f"| `{name}` | {settings.KINDS[name].__name__.lower()} | {default} | {text} |\n"


def plain(text: str) -> str:
    """Join the lines of each paragraph; a docstring's own parts about arguments are left out."""
    body = text.partition("\f")[0].partition("\nArgs:")[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in body.strip().split("\n\n"))


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    new = page()
    if "--check" not in arguments:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == new:
        return 0
    print(f"{PAGE.name} is out of date: run make docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
