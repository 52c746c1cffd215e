"""The door: light to open, clear when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fleetsight.cli import main
from fleetsight.errors import Error

HEAVY = ("av", "cv2", "numpy", "onnxruntime", "openvino", "scipy", "torch", "rich.progress")


class BrokenError(Error):
    code = "broken"


@pytest.fixture
def failing_app() -> typer.Typer:
    """A door behind which things go wrong in three ways."""
    app = typer.Typer(cls=main.Door)

    @app.command()
    def ours(as_json: bool = typer.Option(False, "--json")) -> None:
        raise BrokenError("the lid is off", hint="put it on")

    @app.command()
    def system() -> None:
        raise FileNotFoundError(2, "No such file or directory", "clip.mp4")

    @app.command()
    def bug() -> None:
        raise ZeroDivisionError

    return app


def test_importing_the_door_loads_nothing_heavy() -> None:
    code = f"import sys, fleetsight.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_an_error_is_one_line_and_its_hint_on_stderr(failing_app: typer.Typer) -> None:
    result = CliRunner().invoke(failing_app, ["ours"])
    assert result.exit_code == main.EXIT_ERROR
    assert result.stdout == ""
    assert result.stderr == "error[broken]: the lid is off\nhint: put it on\n"


def test_a_script_gets_the_error_as_json(failing_app: typer.Typer) -> None:
    result = CliRunner().invoke(failing_app, ["ours", "--json"])
    assert result.exit_code == main.EXIT_ERROR
    assert result.stdout == ""
    assert json.loads(result.stderr) == {"error": {"code": "broken", "message": "the lid is off", "hint": "put it on"}}


def test_a_refusal_of_the_operating_system_names_the_file(failing_app: typer.Typer) -> None:
    result = CliRunner().invoke(failing_app, ["system"])
    assert result.exit_code == main.EXIT_ERROR
    assert result.stderr == "error[path]: clip.mp4: No such file or directory\n"


def test_a_bug_of_ours_is_not_hidden(failing_app: typer.Typer) -> None:
    assert isinstance(CliRunner().invoke(failing_app, ["bug"]).exception, ZeroDivisionError)


def test_version_is_the_same_for_people_and_scripts() -> None:
    plain = CliRunner().invoke(main.app, ["version"])
    as_json = CliRunner().invoke(main.app, ["version", "--json"])
    assert plain.stdout == f"fleetsight {json.loads(as_json.stdout)['version']}\n"


def test_settings_prints_value_and_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETSIGHT_THREADS", "3")
    rows = json.loads(CliRunner().invoke(main.app, ["settings", "--json"]).stdout)
    assert rows["threads"] == {"value": 3, "origin": "FLEETSIGHT_THREADS"}
    line = next(
        line for line in CliRunner().invoke(main.app, ["settings"]).stdout.splitlines() if line.startswith("threads")
    )
    assert line.split()[:3] == ["threads", "3", "FLEETSIGHT_THREADS"]


def test_the_settings_option_reads_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETSIGHT_SETTINGS", "")  # restored afterwards: the option sets it
    file = tmp_path / "site.toml"
    file.write_text("threads = 5")
    result = CliRunner().invoke(main.app, ["--settings", str(file), "settings", "--json"])
    assert json.loads(result.stdout)["threads"] == {"value": 5, "origin": str(file)}


def test_python_m_is_the_same_door() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fleetsight", "version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("fleetsight ")


def test_every_command_has_json_and_a_sentence_of_help() -> None:
    missing = []

    def walk(command: object, name: str) -> None:
        for sub_name, sub in getattr(command, "commands", {}).items():
            walk(sub, f"{name} {sub_name}".strip())
        if not hasattr(command, "commands"):
            options = {option for param in command.params for option in param.opts}  # type: ignore[attr-defined]
            if "--json" not in options or not command.help:  # type: ignore[attr-defined]
                missing.append(name)

    walk(typer.main.get_command(main.app), "")
    assert missing == []
