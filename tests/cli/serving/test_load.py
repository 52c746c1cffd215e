import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from fleetsight.cli.main import app
from fleetsight.cli.serving.load import rendered_bodies
from fleetsight.serve.profile import Profile
from tests.serve.load.stand_in import StandIn, served

RUNNER = CliRunner()
SHORT = ("--seconds", "0.2", "--warm-up", "0", "--model", "pets", "--slo-ms", "80")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"\xff\xd8" + bytes(50_000))
    return folder


def test_a_load_test_finds_a_knee_and_writes_profile_and_pictures(tmp_path: Path, images: Path) -> None:
    file, plots = tmp_path / "cpu.json", tmp_path / "plots"
    with served(StandIn(service_ms=20.0, waiting_max=2)) as url:
        command = ["load", "--url", url, *SHORT, "--images", str(images), "--grid", "1,2", "--json"]
        done = RUNNER.invoke(app, [*command, "--profile", str(file), "--plots", str(plots)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    profile = Profile.from_json(file.read_text())
    assert found["profile"] == json.loads(profile.to_json())
    assert found["knee_hz"] == profile.knee_hz
    assert [point.batch for point in profile.service] == [1]
    assert profile.service[0].p50_ms == 20.0
    assert profile.usd_per_hour > 0
    assert len(found["curve"]) == 7
    assert {"offered_hz", "good_hz", "p50_ms", "p99_ms", "rejected", "failed"} <= set(found["curve"][0])
    assert [cell["label"] for cell in found["grid"]] == ["as is-1", "as is-2"]
    assert sorted(path.name for path in plots.iterdir()) == ["grid.svg", "grid_latency.svg", "latency.svg"]
    for path in plots.iterdir():
        ET.fromstring(path.read_text())


def test_rendered_frames_are_jpegs_of_a_cameras_size() -> None:
    bodies = [payload.body for payload in rendered_bodies(2)]
    assert all(body.startswith(b"\xff\xd8\xff") and 50_000 <= len(body) <= 100_000 for body in bodies)
    assert bodies[0] != bodies[1]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--url", "https://x"], "load"),
        (["--instance", "c7i.xlarg"], "price"),
        (["--grid", "1x1x1"], "load"),
        (["--images", "nothing"], "load"),
        (["--commit", "HEAD"], "serve_profile"),
    ],
)
def test_what_does_not_fit_ends_with_its_code(images: Path, more: list[str], code: str) -> None:
    with served(StandIn(service_ms=1.0)) as url:
        command = ["load", "--url", url, *SHORT, "--images", str(images), "--json", *more]
        done = RUNNER.invoke(app, command)
    assert done.exit_code == 2
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == code


@pytest.mark.parametrize("more", [["--grid", "1,2x1"], ["--server-command", f"{sys.executable} {{threads}}"]])
def test_threads_of_the_server_need_a_command_that_sets_them(images: Path, more: list[str]) -> None:
    done = RUNNER.invoke(app, ["load", "--url", "http://127.0.0.1:1", *SHORT, "--images", str(images), *more])
    assert done.exit_code == 2
    assert "--server-command" in done.stderr


def test_nobody_who_answers_is_an_error(images: Path) -> None:
    done = RUNNER.invoke(app, ["load", "--url", "http://127.0.0.1:1", *SHORT, "--images", str(images), "--json"])
    assert done.exit_code == 2
    assert "got no answer" in json.loads(done.stderr)["error"]["message"]
