"""How the command line refuses a name that does not exist."""

import difflib
from collections.abc import Iterable

import typer


def known(name: str, names: Iterable[str], *, option: str) -> None:
    """Refuse a name that does not exist.

    Args:
        name: as given.
        names: those that exist.
        option: where it was given.
    Raises:
        BadParameter: it does not exist; says the nearest one that does.
    """
    choices = list(names)
    if name not in choices:
        near = difflib.get_close_matches(name, choices, n=1)
        way_out = f"did you mean {near[0]}?" if near else f"choose from {', '.join(choices)}"
        raise typer.BadParameter(f"there is no {name!r}; {way_out}", param_hint=option)
