"""``fleetsight sim`` writes sessions whose files agree with each other."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fleetsight.cli.main import EXIT_ERROR, app


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The folder of one small session, and what the command said about it."""
    out = tmp_path_factory.mktemp("session") / "new" / "folder"
    arguments = [
        "sim",
        "cooler",
        "--scenario",
        "basic",
        "--seed",
        "3",
        "--size",
        "160x90",
        "--out",
        str(out),
        "--frame-truth",
        "--json",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_a_session_is_a_clip_with_its_truth_planogram_and_catalog(rendered: tuple[Path, dict[str, object]]) -> None:
    out, summary = rendered
    assert json.loads((out / "truth.json").read_text()).items() <= summary.items()
    assert isinstance(summary["files"], dict)
    assert set(summary["files"]) == {"clip.mp4", "truth.json", "planogram.json", "catalog", "frames.jsonl", "masks.npz"}
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


@pytest.mark.parametrize(
    ("option", "name", "way_out"),
    [
        ("--scenario", "bassic", "did you mean basic?"),
        ("--scenario", "zzz", "choose from basic"),
        ("--suite", "standart", "did you mean standard?"),
        ("--seed", "-1", "greater than or equal to 0"),
        ("--size", "640", "WIDTHxHEIGHT"),
    ],
)
def test_what_cannot_be_rendered_is_refused_with_the_way_out(
    tmp_path: Path, option: str, name: str, way_out: str
) -> None:
    arguments = {"--scenario": "basic", "--out": str(tmp_path)} | {option: name}
    result = CliRunner().invoke(app, ["sim", "cooler", *(text for pair in arguments.items() for text in pair)])
    assert result.exit_code == EXIT_ERROR
    assert way_out in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())
