"""Fill the measured figures of README.md from bench/results; with ``--check`` fail when the page is out of date.

Between ``<!-- bench:NAME -->`` and ``<!-- /bench -->`` goes the table of ``bench/results/NAME.json`` with the line that says on what
it was measured; between ``<!-- bench:NAME.KEY -->`` and ``<!-- /bench -->`` goes one value, inside a sentence. A result file holds
``table`` (``columns`` and ``rows``), ``n``, ``commit``, ``hardware``, ``command`` and whatever else its script measured.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "bench" / "results"
MARKER = re.compile(
    r"(?P<open><!-- bench:(?P<name>[\w-]+)(?:\.(?P<key>[\w.]+))? -->).*?(?P<close><!-- /bench -->)", re.DOTALL
)
NOT_MEASURED = "not measured yet"


def filled(text: str, results: Path) -> str:
    """Replace what stands between the markers."""

    def replacement(match: re.Match[str]) -> str:
        file = results / f"{match['name']}.json"
        result = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        body = value_of(result, match["key"]) if match["key"] else f"\n{table_of(result)}\n"
        return f"{match['open']}{body}{match['close']}"

    return MARKER.sub(replacement, text)


def value_of(result: Any, key: str) -> str:
    """Find one value by its dotted key; a float is shown with at most four digits."""
    if result is None:
        return NOT_MEASURED
    for part in key.split("."):
        result = result[part]
    return shown(result)


def table_of(result: Any) -> str:
    """Set a result as a Markdown table, with a line that says what stands behind it."""
    if result is None:
        return NOT_MEASURED
    columns, rows = result["table"]["columns"], result["table"]["rows"]
    lines = [columns, ["---"] * len(columns), *rows]
    table = "\n".join("| " + " | ".join(shown(cell) for cell in line) + " |" for line in lines)
    facts = [("n = {}", "n"), ("{}", "hardware"), ("commit {}", "commit"), ("`{}`", "command")]
    caption = ", ".join(form.format(result[key]) for form, key in facts if result.get(key))
    return f"{table}\n\n*{caption}*" if caption else table


def shown(value: Any) -> str:
    """Write a cell; a vertical bar would end it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Fill the page, or compare it."""
    old = README.read_text(encoding="utf-8")
    new = filled(old, RESULTS)
    if "--check" in arguments:
        if new != old:
            print(f"{README.name} does not show what bench/results holds: run make docs", file=sys.stderr)
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
