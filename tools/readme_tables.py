"""Fill the measured figures of README.md from bench/results; with ``--check`` fail when the page is out of date.

Between ``<!-- bench:NAME -->`` and ``<!-- /bench -->`` goes the table of ``bench/results/NAME.json`` with the line that says on what
it was measured; between ``<!-- bench:NAME.KEY -->`` and ``<!-- /bench -->`` goes what stands under that key: another table, or one
value inside a sentence. A result file holds ``table`` (``columns`` and ``rows``), ``n``, ``commit``, ``hardware``, ``command`` and
whatever else its script measured (``bench/record.py``).
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from page_file import deliver

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
        if not file.is_file():
            body = NOT_MEASURED if match["key"] else f"\n{NOT_MEASURED}\n"
            return f"{match['open']}{body}{match['close']}"
        result = json.loads(file.read_text(encoding="utf-8"))
        value = result_at(result, match["key"] or "table")
        body = f"\n{table_of(value)}\n" if isinstance(value, dict) else shown(value)
        if not match["key"]:
            body += f"\n{caption_of(result)}\n"
        return f"{match['open']}{body}{match['close']}"

    return MARKER.sub(replacement, text)


def result_at(result: Any, key: str) -> Any:
    """Find what stands under a dotted key."""
    for part in key.split("."):
        result = result[part]
    return result


def table_of(table: dict[str, Any]) -> str:
    """Set ``columns`` and ``rows`` as a Markdown table."""
    lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    return "\n".join("| " + " | ".join(shown(cell) for cell in line) + " |" for line in lines)


def caption_of(result: dict[str, Any]) -> str:
    """Say what a result stands on."""
    facts = [("n = {}", "n"), ("{}", "hardware"), ("commit {}", "commit"), ("{}", "date"), ("`{}`", "command")]
    return f"*{', '.join(form.format(result[key]) for form, key in facts if result.get(key))}*"


def shown(value: Any) -> str:
    """Write a cell; a vertical bar would end it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(deliver(README, filled(README.read_text(encoding="utf-8"), RESULTS), check="--check" in sys.argv[1:]))
