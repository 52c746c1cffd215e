"""Settings come from the nearest place that names them, and wrong ones are refused with the way out."""

import os
from pathlib import Path

import pytest

from fleetsight import settings
from fleetsight.settings import SettingsError, load


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which no configuration exists yet."""
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_DATA_HOME": str(tmp_path / "data")}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_configuration_every_value_is_the_default(home: dict[str, str], tmp_path: Path) -> None:
    loaded = load(home, folder=tmp_path)
    assert loaded.target == "auto"
    assert loaded.models_dir == tmp_path / "data" / "fleetsight" / "models"
    assert set(loaded.origins.values()) == {"default"}


def test_the_environment_wins_over_the_folder_and_the_folder_over_the_person(
    home: dict[str, str], tmp_path: Path
) -> None:
    person = write(
        tmp_path / "config" / "fleetsight" / "fleetsight.toml", 'threads = 1\ntarget = "null"\ndecode_frames = 10'
    )
    folder = write(tmp_path / "fleetsight.toml", 'threads = 2\ntarget = "openvino"')
    loaded = load(home | {"FLEETSIGHT_THREADS": "3"}, folder=tmp_path)
    assert (loaded.threads, loaded.target, loaded.decode_frames) == (3, "openvino", 10)
    assert loaded.origins["threads"] == "FLEETSIGHT_THREADS"
    assert loaded.origins["target"] == str(folder)
    assert loaded.origins["decode_frames"] == str(person)


def test_a_named_file_stands_in_for_that_of_the_folder(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "fleetsight.toml", "threads = 2")
    named = write(tmp_path / "site.toml", 'target = "onnxruntime"')
    loaded = load(home | {"FLEETSIGHT_SETTINGS": str(named)}, folder=tmp_path)
    assert (loaded.threads, loaded.target) == (0, "onnxruntime")


def test_choose_file_is_seen_by_load(home: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETSIGHT_SETTINGS", "")
    settings.choose_file(write(tmp_path / "site.toml", "threads = 7"))
    assert load(home | {"FLEETSIGHT_SETTINGS": os.environ["FLEETSIGHT_SETTINGS"]}, folder=tmp_path).threads == 7


def test_models_live_in_the_data_folder_unless_said_otherwise(home: dict[str, str], tmp_path: Path) -> None:
    moved = load(home | {"FLEETSIGHT_DATA_DIR": "/srv/fleetsight"}, folder=tmp_path)
    assert moved.models_dir == Path("/srv/fleetsight/models")
    apart = load(home | {"FLEETSIGHT_DATA_DIR": "/srv/a", "FLEETSIGHT_MODELS_DIR": "/srv/b"}, folder=tmp_path)
    assert apart.models_dir == Path("/srv/b")


def test_a_path_in_a_file_is_seen_from_the_folder_of_the_file(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "fleetsight.toml", 'models_dir = "nets"')
    assert load(home, folder=tmp_path).models_dir == tmp_path / "nets"


def test_a_misspelt_name_is_refused_with_the_nearest_one(home: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no setting treads") as caught:
        load(home | {"FLEETSIGHT_TREADS": "2"}, folder=tmp_path)
    assert caught.value.hint == "did you mean threads?"
    write(tmp_path / "fleetsight.toml", "zzz = 2")
    with pytest.raises(SettingsError, match=r"fleetsight\.toml: there is no setting zzz") as caught:
        load(home, folder=tmp_path)
    assert "models_dir" in caught.value.hint


@pytest.mark.parametrize(
    "line",
    [
        "threads = 1.5",
        "threads = -1",
        'threads = "many"',
        "threads = true",
        "target = 3",
        'target = ""',
        "decode_wall_s = inf",
        "decode_wall_s = nan",
        "models_dir = []",
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(home: dict[str, str], tmp_path: Path, line: str) -> None:
    write(tmp_path / "fleetsight.toml", line)
    with pytest.raises(SettingsError, match="is not") as caught:
        load(home, folder=tmp_path)
    assert caught.value.hint


def test_a_file_that_is_missing_or_no_toml_is_refused(home: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no settings file"):
        load(home | {"FLEETSIGHT_SETTINGS": str(tmp_path / "absent.toml")}, folder=tmp_path)
    with pytest.raises(SettingsError, match="no settings file"):
        settings.choose_file(tmp_path / "absent.toml")
    write(tmp_path / "fleetsight.toml", "threads: 2")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(home, folder=tmp_path)


def test_every_setting_has_a_kind_and_a_line_of_explanation() -> None:
    assert set(settings.KINDS) == set(settings.EXPLAINED)
    assert all(text and not text.endswith(".") for text in settings.EXPLAINED.values())


def test_limits_of_decoding_are_those_of_the_decoder_unless_chosen(home: dict[str, str], tmp_path: Path) -> None:
    from fleetsight.video.decode import Limits

    loaded, limits = load(home, folder=tmp_path), Limits()
    names = [name for name in settings.KINDS if name.startswith("decode_")]
    assert names
    assert {name: getattr(loaded, name) for name in names} == {
        name: getattr(limits, name.removeprefix("decode_")) for name in names
    }
