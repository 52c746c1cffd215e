"""Every bad input that the service has to stand has a test, which says so by its mark: ``pytest -m bad_input`` runs them all."""

import ast
from collections import defaultdict
from pathlib import Path

GROUPS = {
    "tokens and unlocks": range(1, 11),
    "device events": range(11, 21),
    "uploads": range(21, 33),
    "payments": range(51, 58),
    "API": range(58, 63),
    "infrastructure": range(63, 65),
}
"""Numbers as the list of bad inputs counts them; hostile media (33 to 43) and the pipeline (44 to 50) have suites of their own."""


def marked(folder: Path) -> dict[int, list[str]]:
    """Tests by the number of the bad input that they are about."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test"):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.bad_input":
                    for number in mark.args:
                        found[ast.literal_eval(number)].append(f"{path.name}::{node.name}")
    return found


def test_every_bad_input_of_the_service_is_tested(checkout: Path) -> None:
    wanted = {number for numbers in GROUPS.values() for number in numbers}
    assert set(marked(checkout / "tests")) == wanted
