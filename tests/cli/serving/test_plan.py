import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fleetsight.cli.main import app
from fleetsight.serve.profile import BatchPoint
from tests.serve.load.test_virtual import STEADY

RUNNER = CliRunner()


@pytest.fixture
def profiles(tmp_path: Path) -> list[str]:
    """Options that name a CPU and a GPU."""
    cpu = replace(STEADY, knee_hz=80.0)
    gpu = replace(cpu, variant="gpu", instance="g5.xlarge", service=(BatchPoint(1, 2.0, 2.0),), knee_hz=400.0)
    (tmp_path / "cpu.json").write_text(cpu.to_json())
    (tmp_path / "gpu.json").write_text(gpu.to_json())
    return ["--profile", str(tmp_path / "cpu.json"), "--profile", str(tmp_path / "gpu.json")]


def test_a_plan_for_cameras_names_mix_cost_and_the_error_of_its_prediction(profiles: list[str]) -> None:
    done = RUNNER.invoke(app, ["plan", *profiles, "--cameras", "100", "--fps", "1", "--slo-ms", "100", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(part["instance"], part["count"]) for part in found["mix"]] == [("c7i.xlarge", 2)]
    assert found["usd_per_million"] == pytest.approx(2 * 0.1785 / 3600 / 100 * 1e6)
    assert 0 <= found["prediction_error"] < 0.2
    assert found["predicted_hz"] > 100
    assert found["saving"] == pytest.approx(1 - 2 * 0.1785 / 1.006)
    assert found["policies"] == []


def test_a_plan_is_rendered_for_a_cluster(profiles: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    command = ["plan", *profiles, "--cameras", "100", "--slo-ms", "100", "--render", str(folder), "--image", "mine:3"]
    done = RUNNER.invoke(app, command)
    assert done.exit_code == 0, done.output
    names = ["grafana-dashboard.json", "kubernetes.yaml", "prometheus-rules.yaml", "ray-cluster.yaml"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert 'image: "mine:3"' in (folder / "kubernetes.yaml").read_text()


def test_people_get_the_plan_and_the_policies_in_lines(profiles: list[str], tmp_path: Path) -> None:
    trace = tmp_path / "day.csv"
    trace.write_text("seconds,rate_hz\n0,50\n60,60\n120,200\n180,60\n")
    done = RUNNER.invoke(app, ["plan", *profiles, "--demand", str(trace), "--slo-ms", "100", "--simulate"])
    assert done.exit_code == 0, done.output
    assert "peak 200.0 frames/s" in done.stdout
    assert "for a million frames" in done.stdout
    for policy in ("static", "request count", "cost-aware"):
        assert policy in done.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--cameras"),
        (["--cameras", "5", "--demand", "x.csv"], "--cameras"),
        (["--cameras", "5", "--purchase", "sport"], "did you mean spot?"),
        (["--cameras", "5", "--slo-ms", "1"], "carries nothing within 1 ms"),
        (["--cameras", "5", "--duty", "2"], "duty"),
        (["--demand", "nothing.csv"], "nothing.csv"),
    ],
)
def test_what_cannot_be_planned_says_why(profiles: list[str], more: list[str], message: str) -> None:
    done = RUNNER.invoke(app, ["plan", *profiles, "--slo-ms", "100", *more])
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_load_test_of_the_mix_judges_its_prediction(profiles: list[str], tmp_path: Path) -> None:
    told = tmp_path / "load.json"
    told.write_text(json.dumps({"knee_hz": 200.0}))
    command = ["plan", *profiles, "--cameras", "100", "--slo-ms", "100", "--json", "--measured", str(told)]
    found = json.loads(RUNNER.invoke(app, command).stdout)
    assert found["measured_hz"] == 200.0
    assert found["prediction_error"] == pytest.approx(abs(found["predicted_hz"] - 200.0) / 200.0)
    for text in ("[]", "{}", '{"knee_hz": 0}', "nothing"):
        told.write_text(text)
        assert RUNNER.invoke(app, command).exit_code == 2


def test_a_damaged_profile_is_named_by_its_field(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(STEADY.to_json().replace("knee_hz", "knee"))
    done = RUNNER.invoke(app, ["plan", "--profile", str(path), "--cameras", "5", "--slo-ms", "100"])
    assert done.exit_code == 2
    assert "did you mean 'knee_hz'?" in done.stderr
