"""The tool for revisions finds what they lack."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
NEW_TABLE = """
import sys
import sqlalchemy as sa
import make_migration
from fleetsight.store.rows import METADATA
known = make_migration.tables_by_package
def with_one_more():
    owned = known()
    sa.Table("novelty", METADATA, sa.Column("id", sa.Integer, primary_key=True), info={"append_only": True})
    return owned
make_migration.tables_by_package = with_one_more
sys.exit(make_migration.main(["--check"]))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=TOOLS, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_table_without_a_revision_is_found() -> None:
    done = run("-c", NEW_TABLE)
    assert done.returncode == 1
    assert "novelty: the revisions lack CreateTableOp" in done.stderr
    assert "novelty: nothing protects its rows" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["what changed", "--check"]])
def test_it_either_writes_or_checks(arguments: list[str]) -> None:
    done = run("make_migration.py", *arguments)
    assert done.returncode == 2
    assert "give what changed, or --check" in done.stderr
