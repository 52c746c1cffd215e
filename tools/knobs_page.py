"""Write docs/knobs.md from the table of knobs in sim/knobs.py; with ``--check`` fail when the page is out of date."""

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from page_file import deliver

from fleetsight.sim import knobs

PAGE = Path(__file__).resolve().parents[1] / "docs" / "knobs.md"
HEAD = """# Knobs of the rendered cooler

Written by `make docs` from `src/fleetsight/sim/knobs.py`; do not edit. A session draws each knob once, uniformly, from its own
generator. Models are trained within the ranges of `standard`; `shifted` lies beyond them where it differs.
What shoppers do is in [scenarios](scenarios.md).
"""
UNITS = {
    "mm": "mm",
    "deg": "degrees",
    "rad": "radians",
    "s": "s",
    "px": "px",
    "hz": "frames/s",
    "share": "share",
    "m_s": "m/s",
}


def page() -> str:
    """Put the whole page together."""
    source = inspect.getsource(knobs)
    comments = {name: text for node in ast.parse(source).body for name, text in comments_of(node, source.splitlines())}
    sections = [
        section(
            group.name, (getattr(knobs.STANDARD, group.name), getattr(knobs.SHIFTED, group.name)), comments=comments
        )
        for group in fields(knobs.Knobs)
        if is_dataclass(getattr(knobs.STANDARD, group.name))
    ]
    return "\n".join([HEAD, *sections])


def comments_of(node: ast.stmt, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the remark behind each field of a class."""
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                _, _, remark = lines[(part.end_lineno or part.lineno) - 1].partition("  # ")
                yield f"{node.name}.{part.target.id}", remark


def section(name: str, suites: tuple[Any, Any], *, comments: dict[str, str]) -> str:
    """Set one group of knobs as a table."""
    standard, shifted = suites
    rows = []
    for knob in fields(standard):
        values = [written(getattr(suite, knob.name)) for suite in (standard, shifted)]
        unit = next((word for end, word in UNITS.items() if knob.name.endswith(f"_{end}")), "")
        beyond = values[1] if values[1] != values[0] else "same"
        remark = comments.get(f"{type(standard).__name__}.{knob.name}", "")
        rows.append(f"| `{knob.name}` | {unit} | {values[0]} | {beyond} | {remark} |\n")
    head = f"## {name.capitalize()}\n\n{inspect.getdoc(type(standard))}\n\n"
    return f"{head}| knob | unit | standard | shifted | remark |\n|---|---|---|---|---|\n{''.join(rows)}"


def written(value: Any) -> str:
    """Write a range, a list or a number."""
    if isinstance(value, knobs.Range):
        return f"{value.low:g} to {value.high:g}"
    if isinstance(value, tuple):
        return ", ".join(written(part) for part in value)
    return str(value) if isinstance(value, Fraction) else f"{value:g}"


if __name__ == "__main__":
    sys.exit(deliver(PAGE, page(), check="--check" in sys.argv[1:]))
