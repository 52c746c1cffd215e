"""What the pages say is true: links lead somewhere, blocks run, generated parts are fresh, examples in docstrings hold."""

import doctest
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"(?<!`)\]\((?!https?:|#|mailto:)([^)#\s]+)")
RUNNABLE = re.compile(r"<!-- run offline -->\n```sh\n(.*?)```", re.DOTALL)
EXAMPLES = [m for m in sorted((ROOT / "src").rglob("*.py")) if ">>> " in m.read_text(encoding="utf-8")]


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_named_in_pages_exist(page: Path) -> None:
    known = set(re.findall(r"^## `(fleetsight[\w -]*)`$", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE))
    named = re.findall(
        r"^(?:\$ )?(?:\.venv/bin/)?(fleetsight(?: [a-z]+)*)", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [name for name in named if name not in known and name.rsplit(" ", 1)[0] not in known] == []


def test_blocks_marked_offline_run_as_they_stand(tmp_path: Path) -> None:
    blocks = RUNNABLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert blocks
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    for block in blocks:
        for line in block.splitlines():
            done = subprocess.run(
                shlex.split(line),
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=environment,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize("script", ["commands_page.py", "knobs_page.py", "readme_tables.py"])
def test_generated_parts_of_the_pages_are_fresh(script: str) -> None:
    done = subprocess.run(
        [sys.executable, f"tools/{script}", "--check"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", EXAMPLES, ids=page_name)
def test_examples_in_docstrings_hold(module: Path) -> None:
    name = ".".join(module.relative_to(ROOT / "src").with_suffix("").parts)
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted
    assert failed == 0


def test_every_scenario_stands_in_the_page_of_scenarios() -> None:
    from fleetsight.sim.shoppers.scenarios import SCENARIOS

    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(rows) == SCENARIOS
