"""The README shows what was measured, and nothing else."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def readme_tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("readme_tables")


def test_table_and_value_come_from_the_result(readme_tables: ModuleType, tmp_path: Path) -> None:
    table = {"columns": ["suite", "exact"], "rows": [["standard", 0.98765], ["a|b", 1]]}
    (tmp_path / "score.json").write_text(
        json.dumps(
            {
                "table": table,
                "n": 200,
                "commit": "abc",
                "best": {"exact": 0.98765},
                "other": {"columns": ["a"], "rows": [["b"]]},
            }
        )
    )
    page = "<!-- bench:score.best.exact -->?<!-- /bench --> of\n<!-- bench:score -->\nold\n<!-- /bench -->\n<!-- bench:score.other --><!-- /bench -->"
    assert readme_tables.filled(page, tmp_path) == (
        "<!-- bench:score.best.exact -->0.9877<!-- /bench --> of\n<!-- bench:score -->\n"
        "| suite | exact |\n| --- | --- |\n| standard | 0.9877 |\n| a\\|b | 1 |\n\n*n = 200, commit abc*\n<!-- /bench -->\n"
        "<!-- bench:score.other -->\n| a |\n| --- |\n| b |\n<!-- /bench -->"
    )


def test_what_was_not_measured_is_said(readme_tables: ModuleType, tmp_path: Path) -> None:
    page = "<!-- bench:speed -->\n| 999 |\n<!-- /bench --> and <!-- bench:speed.fps -->999<!-- /bench -->"
    assert "999" not in readme_tables.filled(page, tmp_path)
    assert "not measured yet" in readme_tables.filled(page, tmp_path)


def test_filling_twice_changes_nothing(readme_tables: ModuleType, tmp_path: Path) -> None:
    page = readme_tables.filled("<!-- bench:speed -->x<!-- /bench -->", tmp_path)
    assert readme_tables.filled(page, tmp_path) == page
