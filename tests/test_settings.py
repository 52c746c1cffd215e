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
        "open_signup = 1",
        'open_signup = "yes"',
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


def test_storage_lies_in_the_data_folder_unless_said_otherwise(home: dict[str, str], tmp_path: Path) -> None:
    here = load(home | {"FLEETSIGHT_DATA_DIR": "/srv/f"}, folder=tmp_path)
    assert (here.database_url, here.jobs_url) == ("sqlite:////srv/f/fleetsight.db", "sqlite:////srv/f/jobs.db")
    assert here.blobs_url == "file:///srv/f/blobs"
    server = load(home | {"FLEETSIGHT_DATABASE_URL": "postgresql://one@here/rows"}, folder=tmp_path)
    assert server.jobs_url == "postgresql://one@here/rows"


def test_the_service_is_reached_where_it_listens_unless_said_otherwise(home: dict[str, str], tmp_path: Path) -> None:
    assert load(home | {"FLEETSIGHT_HOST": "::1", "FLEETSIGHT_PORT": "9"}, folder=tmp_path).base_url == "http://[::1]:9"
    named = load(home | {"FLEETSIGHT_BASE_URL": "https://shop.example"}, folder=tmp_path)
    assert named.base_url == "https://shop.example"


def test_a_free_port_shows_in_the_address_unless_one_was_chosen(home: dict[str, str], tmp_path: Path) -> None:
    free = settings.with_port(load(home | {"FLEETSIGHT_PORT": "0"}, folder=tmp_path), 4711)
    assert (free.port, free.base_url) == (4711, "http://127.0.0.1:4711")
    named = settings.with_port(load(home | {"FLEETSIGHT_BASE_URL": "https://shop.example"}, folder=tmp_path), 4711)
    assert (named.port, named.base_url) == (4711, "https://shop.example")


def test_a_secret_may_be_a_file_and_only_one_of_the_two(home: dict[str, str], tmp_path: Path) -> None:
    file = write(tmp_path / "key", "sk_test_1\n")
    by_file = home | {"FLEETSIGHT_STRIPE_SECRET_KEY_FILE": str(file)}
    assert load(by_file, folder=tmp_path).stripe_secret_key == "sk_test_1"
    with pytest.raises(SettingsError, match="also given directly"):
        load(by_file | {"FLEETSIGHT_STRIPE_SECRET_KEY": "sk_test_2"}, folder=tmp_path)
    with pytest.raises(SettingsError, match="cannot be read"):
        load(home | {"FLEETSIGHT_STRIPE_SECRET_KEY_FILE": str(tmp_path / "absent")}, folder=tmp_path)
    with pytest.raises(SettingsError, match="no setting port_file"):
        load(home | {"FLEETSIGHT_PORT_FILE": str(file)}, folder=tmp_path)


def test_secrets_are_never_printed(home: dict[str, str], tmp_path: Path) -> None:
    secrets = {f"FLEETSIGHT_{name.upper()}": "canary" for name in settings.SECRETS}
    database = {"FLEETSIGHT_DATABASE_URL": "postgresql://one:canary@here/rows"}
    loaded = load(home | secrets | database, folder=tmp_path)
    assert "canary" not in repr(loaded)
    assert "canary" not in repr([settings.printable(loaded, name) for name in settings.EXPLAINED])
    assert settings.printable(loaded, "database_url") == "postgresql://one:(set)@here/rows"


def test_a_child_process_runs_with_the_chosen_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLEETSIGHT_THREADS", "3")
    environ = settings.environment_with({"open_signup": True, "port": 0, "data_dir": tmp_path})
    loaded = load(environ, folder=tmp_path)
    assert (loaded.open_signup, loaded.port, loaded.data_dir, loaded.threads) == (True, 0, tmp_path, 3)
    with pytest.raises(SettingsError, match="no setting ports"):
        settings.environment_with({"ports": 1})
