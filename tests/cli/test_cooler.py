"""``fleetsight cooler``: what is refused and how, and the output that scripts rely on."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fleetsight.cli.main import EXIT_ERROR, app

SMALL = ["--size", "256x144"]
SCORE_KEYS = {
    "suite",
    "seed",
    "sessions",
    "basket_exact",
    "take_f1",
    "put_back_f1",
    "auto_charged",
    "auto_exact",
    "overcharged_share",
    "undercharged_share",
    "by_scenario",
    "risk_coverage",
}
SETTLE_KEYS = {
    "clip",
    "frames",
    "decoded_fraction",
    "degraded",
    "events",
    "basket",
    "decision",
    "confidence",
    "stages_s",
    "frames_per_s",
}
EVENT_KEYS = {"kind", "sku", "count", "at_s", "window_s", "confidence", "rule", "alternatives"}


def cooler(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cooler", *arguments])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered") / "session"
    arguments = ["sim", "cooler", "--scenario", "basic", "--seed", "5", "--out", str(out), *SMALL]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.parametrize("command", ["settle", "score", "calibrate"])
def test_every_command_explains_itself(command: str) -> None:
    result = cooler(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "way_out"),
    [
        (["score", "--suite", "standart"], "did you mean standard?"),
        (["score", "--scenario", "basics"], "did you mean basic?"),
        (["score", "--size", "640"], "WIDTHxHEIGHT, such as 640x360"),
        (["score", "--sessions", "0"], "hint: see --sessions"),
        (["score", "--seed", "-1"], "--seed"),
        (["settle", "clip.mp4", "--role", "restocker"], "did you mean restock?"),
        (["settle", "clip.mp4", "--skus", "cola"], "choose --skus from: product, hand"),
        (["settle", "clip.mp4"], "give --catalog DIR, or --skus LABELS"),
        (["settle", "clip.mp4", "--skus", "product"], "clip.mp4"),
        (["settle", "clip.mp4", "--model", "yolox-nano", "--skus", "bottle"], "hint: "),
    ],
)
def test_what_does_not_exist_is_refused_with_a_way_out(arguments: list[str], way_out: str) -> None:
    result = cooler(*arguments)
    assert result.exit_code == EXIT_ERROR, result.output
    assert result.stdout == ""
    assert way_out in " ".join(result.stderr.split())


def test_score_prints_the_keys_that_scripts_rely_on() -> None:
    result = cooler("score", "--sessions", "1", "--scenario", "basic", "--seed", "3", "--json", *SMALL)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert set(figures) >= SCORE_KEYS
    assert (figures["suite"], figures["seed"], figures["sessions"]) == ("standard", 3, 1)
    assert list(figures["by_scenario"]) == ["basic"]
    assert [coverage for coverage, _ in figures["risk_coverage"]] == [1.0]
    assert "seed=30000" in result.stderr


def test_settle_prints_the_keys_that_scripts_rely_on(session: Path, tmp_path: Path) -> None:
    truth = json.loads((session / "truth.json").read_text(encoding="utf-8"))
    options = ["--planogram", str(session / "planogram.json"), "--catalog", str(session / "catalog")]
    result = cooler("settle", str(session / "clip.mp4"), *options, "--evidence", str(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert set(value) >= SETTLE_KEYS
    assert value["frames"] == truth["frames"]
    assert value["decoded_fraction"] == 1.0
    assert value["decision"] in ("charge", "review", "release")
    assert set(value["stages_s"]) == {"decode", "detect", "read", "decide"}
    assert all(set(event) >= EVENT_KEYS for event in value["events"])
    assert Path(value["evidence"]["clip"]).stat().st_size > 0


def test_settle_tells_people_the_basket_and_the_decision(session: Path) -> None:
    result = cooler("settle", str(session / "clip.mp4"), "--skus", "product")
    assert result.exit_code == 0, result.output
    assert "basket: " in result.stdout
    assert "decision: " in result.stdout
