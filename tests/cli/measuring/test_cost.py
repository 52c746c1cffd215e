import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fleetsight.cli.main import app

RUNNER = CliRunner()


def test_without_options_the_published_comparison_is_recomputed() -> None:
    done = RUNNER.invoke(app, ["cost", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["comparison"]["saving"] == pytest.approx(0.9504, abs=5e-5)
    assert told["comparison"]["baseline"]["usd_per_million"] == pytest.approx(35.42, abs=0.005)
    assert next(claim["holds_against"] for claim in told["claims"]) == ["p3.2xlarge"]
    assert told["fleet"] is None


def test_a_fleet_is_priced_in_whole_machines() -> None:
    options = ["--baseline", "c7i.xlarge", "--baseline-rate", "60.6", "--candidate-rate", "600", "--cameras", "10"]
    told = json.loads(RUNNER.invoke(app, ["cost", *options, "--duty", "0.1", "--json"]).stdout)["fleet"]
    assert told["cheapest"] == "c7i.xlarge"
    assert [row["machines"] for row in told["machines"]] == [1, 1]
    assert told["cameras_to_break_even"] > 10


def test_people_get_the_table_and_the_assumptions() -> None:
    told = RUNNER.invoke(app, ["cost", "--reserved", "--cameras", "3"])
    assert told.exit_code == 0, told.output
    assert "saving 97.86 %" in told.stdout
    assert "true against p3.2xlarge (from 4.96x)" in told.stdout
    assert "3 cameras x 5 frames/s" in told.stdout
    assert "$0.08 to $0.21/h spot" in told.stdout
    assert "prices of 2026-08-21, us-east-1" in told.stderr


def test_a_price_file_of_ones_own_counts(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'dated = 2026-11-30\nregion = "lab"\n'
        + "".join(
            f'[instances.{name}]\nchip = "x"\nvcpus = 2\nsource = "bill"\non_demand_usd_per_hour = {usd}\n'
            for name, usd in (("old", 1.0), ("new", 0.5))
        ),
        encoding="utf-8",
    )
    arguments = ["cost", "--prices", str(own), "--baseline", "old", "--candidate", "new", "--baseline-rate", "10"]
    told = json.loads(RUNNER.invoke(app, [*arguments, "--candidate-rate", "20", "--json"]).stdout)
    assert told["comparison"]["saving"] == pytest.approx(0.75)
    assert [row["baseline"] for row in told["baselines"]] == ["old"]


def test_an_unknown_machine_ends_with_its_code_and_the_nearest_name() -> None:
    done = RUNNER.invoke(app, ["cost", "--candidate", "inf2.xlarg", "--json"])
    assert done.exit_code == 2
    error = json.loads(done.stderr)["error"]
    assert (error["code"], "inf2.xlarge" in error["hint"]) == ("price", True)
