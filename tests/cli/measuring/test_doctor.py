import json

import pytest
from typer.testing import CliRunner

from fleetsight.accel.targets import selftest
from fleetsight.cli.main import app

RUNNER = CliRunner()


def test_scripts_get_the_three_fields_of_each_target() -> None:
    done = RUNNER.invoke(app, ["doctor", "onnxruntime", "null", "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [set(row) for row in rows] == [{"target", "status", "reason"}] * 2
    assert [(row["target"], row["status"]) for row in rows] == [("onnxruntime", "pass"), ("null", "pass")]


def test_a_target_that_fails_ends_with_one_and_an_absent_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [
        selftest.Finding(target="openvino", status="absent", reason="not installed"),
        selftest.Finding(target="torch", status="fail", reason="differs from numpy by 3"),
    ]
    monkeypatch.setattr(selftest, "examine_targets", lambda names: [f for f in findings if f.target in names])
    done = RUNNER.invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "openvino     absent not installed",
        "torch        FAIL   differs from numpy by 3",
    ]
    assert RUNNER.invoke(app, ["doctor", "openvino"]).exit_code == 0


def test_a_misspelt_target_is_refused_with_a_suggestion() -> None:
    done = RUNNER.invoke(app, ["doctor", "openvno"])
    assert done.exit_code == 2
    assert "did you mean openvino?" in done.stderr
