"""``fleetsight sim`` writes sessions whose files agree with each other."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fleetsight.cli.main import EXIT_ERROR, app
from fleetsight.cli.sim import size_wh


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The folder of one small session, and what the command said about it."""
    out = tmp_path_factory.mktemp("session") / "new" / "folder"
    arguments = ["sim", "cooler", "--scenario", "basic", "--seed", "3", "--size", "160x90", "--out", str(out), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_a_session_is_a_clip_with_its_truth_planogram_and_catalog(rendered: tuple[Path, dict[str, object]]) -> None:
    out, summary = rendered
    assert json.loads((out / "truth.json").read_text()).items() <= summary.items()
    assert isinstance(summary["files"], dict)
    assert all(Path(file).exists() for file in summary["files"].values())
    assert json.loads((out / "catalog" / "catalog.json").read_text())["skus"]


def test_the_clip_holds_as_many_frames_as_the_truth_says(rendered: tuple[Path, dict[str, object]]) -> None:
    from fleetsight.video.decode import ClipReader

    out, summary = rendered
    with ClipReader(out / "clip.mp4") as reader:
        sizes = {frame.image.shape for frame in reader}
        assert reader.summary.frames == summary["frames"]
    assert sizes == {(90, 160, 3)}


def test_scenarios_are_listed_for_people_and_scripts() -> None:
    names = CliRunner().invoke(app, ["sim", "scenarios"]).stdout.split()
    assert len(names) >= 17
    assert json.loads(CliRunner().invoke(app, ["sim", "scenarios", "--json"]).stdout) == {"scenarios": names}


def test_an_unknown_scenario_is_refused_with_a_hint(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sim", "cooler", "--scenario", "bassic", "--out", str(tmp_path)])
    assert result.exit_code == EXIT_ERROR
    assert "bassic" in result.stderr
    assert "hint:" in result.stderr


@pytest.mark.parametrize(
    "text", ["", "640", "640x", "x360", "640x361", "0x0", "-640x360", "16384x8192", "640x360x3", "640 x 360"]
)
def test_a_size_that_cannot_be_rendered_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        size_wh(text)


def test_a_size_is_width_and_height() -> None:
    assert size_wh("640X360") == (640, 360)
