"""What an installation may choose: the only reader of environment variables and configuration files.

Each setting is one field of `Settings`. Its value comes from the first place that names it:

1. the environment variable ``FLEETSIGHT_<NAME>``,
2. the file that ``--settings FILE`` or ``FLEETSIGHT_SETTINGS`` names, else ``fleetsight.toml`` in the working folder,
3. ``$XDG_CONFIG_HOME/fleetsight/fleetsight.toml``,
4. the default.

A secret may also be given as a file: ``FLEETSIGHT_<NAME>_FILE`` names it. Secrets are never printed.

Library code takes arguments; only the command line calls `load` and hands the values on.
"""

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleetsight.errors import Error

PREFIX = "FLEETSIGHT_"
FILE_VARIABLE = "FLEETSIGHT_SETTINGS"
FILE_SUFFIX = "_FILE"
TEST_VARIABLE = "FLEETSIGHT_SHARED"  # read by tests/conftest.py, no setting of the program
FILE_NAME = "fleetsight.toml"


class SettingsError(Error):
    """A setting that does not exist, or a value that it cannot take."""

    code = "settings"


@dataclass(frozen=True)
class Settings:
    """The values an installation runs with."""

    data_dir: Path = field(metadata={"text": "where what the program keeps is stored"})
    models_dir: Path = field(metadata={"text": "where imported models are stored; the default is `models` in data_dir"})
    target: str = field(
        metadata={"text": "chip and runtime that run models: auto, openvino, onnxruntime, null"}, default="auto"
    )
    artifact_keys: str = field(
        metadata={
            "text": "public keys (base64, commas between) whose compiled models are opened, besides this machine's own"
        },
        default="",
    )
    threads: int = field(metadata={"text": "threads of one model session; 0 takes every core"}, default=0)
    decode_ram_bytes: int = field(metadata={"text": "memory the decoding process may take"}, default=1 << 30)
    decode_cpu_s: int = field(metadata={"text": "CPU time for decoding one clip"}, default=60)
    decode_wall_s: float = field(metadata={"text": "time the decoder may keep us waiting, for one clip"}, default=120.0)
    decode_pixels: int = field(metadata={"text": "pixels of one frame (width x height)"}, default=8_300_000)
    decode_frames: int = field(metadata={"text": "frames of one clip; later ones are left out"}, default=36_000)
    database_url: str = field(
        metadata={
            "text": "rows: sqlite:////path/file.db or postgresql://…; the default is `fleetsight.db` in data_dir"
        },
        default="",
        repr=False,
    )
    jobs_url: str = field(
        metadata={"text": "durable steps; the default is the Postgres of database_url, else `jobs.db` in data_dir"},
        default="",
        repr=False,
    )
    blobs_url: str = field(
        metadata={
            "text": "clips and pictures: file:///folder or s3://bucket/prefix; the default is `blobs` in data_dir"
        },
        default="",
    )
    s3_endpoint: str = field(metadata={"text": "address of an S3 that is not Amazon's"}, default="")
    s3_region: str = field(metadata={"text": "region of the S3 bucket"}, default="us-east-1")
    s3_access_key_id: str = field(metadata={"text": "S3 key; empty takes the machine's own identity"}, default="")
    s3_secret_access_key: str = field(metadata={"text": "S3 key's secret", "secret": True}, default="", repr=False)
    host: str = field(metadata={"text": "address that `serve` listens on"}, default="127.0.0.1")
    port: int = field(metadata={"text": "port that `serve` listens on; 0 takes a free one"}, default=8340)
    base_url: str = field(
        metadata={"text": "address under which phones and devices reach the service; the default is host and port"},
        default="",
    )
    workers: int = field(metadata={"text": "processes that settle sessions"}, default=2)
    payment_provider: str = field(metadata={"text": "who moves money: wallet (prepaid) or stripe"}, default="wallet")
    stripe_secret_key: str = field(metadata={"text": "Stripe's secret key", "secret": True}, default="", repr=False)
    stripe_webhook_secrets: str = field(
        metadata={"text": "secrets of Stripe's web hook, comma-separated while one replaces the other", "secret": True},
        default="",
        repr=False,
    )
    open_signup: bool = field(
        metadata={
            "text": "strangers may register as shoppers and fill their wallets without paying; for demonstrations"
        },
        default=False,
    )
    notify_url: str = field(
        metadata={"text": "web hook that is told of receipts and alerts (https; signed as standardwebhooks.com says)"},
        default="",
    )
    notify_secret: str = field(
        metadata={"text": "what the web hook's signature is made with: whsec_ and base64", "secret": True},
        default="",
        repr=False,
    )
    notify_loopback: bool = field(metadata={"text": "the web hook may be on this machine"}, default=False)
    control_token: str = field(
        metadata={
            "text": "what operators of `serve models` show to its control API; empty: only this machine may control",
            "secret": True,
        },
        default="",
        repr=False,
    )
    crash_at: str = field(
        metadata={"text": "for tests: kill the process at this crash point, NAME or NAME:COUNT"}, default=""
    )
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


DEFAULT_ORIGIN = "default"
SECRETS = frozenset(f.name for f in fields(Settings) if f.metadata.get("secret"))
"""Settings that are never printed and may be given as files."""
EXPLAINED: Mapping[str, str] = {f.name: f.metadata["text"] for f in fields(Settings) if "text" in f.metadata}
"""One line about each setting, in the order in which they are printed."""
KINDS: Mapping[str, type] = {
    f.name: f.type for f in fields(Settings) if f.name in EXPLAINED and isinstance(f.type, type)
}
_IN_WORDS: Mapping[type, str] = {
    int: "a whole number >= 0",
    float: "a number >= 0",
    str: "text",
    Path: "a path",
    bool: "true or false",
}


def choose_file(path: Path) -> None:
    """Make `load`, here and in child processes, read this file; what ``--settings`` does.

    Args:
        path: an existing TOML file.
    Raises:
        SettingsError: there is no such file.
    """
    if not path.is_file():
        raise SettingsError(f"no settings file at {path}", hint="give an existing TOML file to --settings")
    os.environ[FILE_VARIABLE] = str(path.absolute())


def load(environ: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """Read every setting.

    Args:
        environ: the environment; the process's own when None.
        folder: the working folder, where ``fleetsight.toml`` may lie; the process's own when None.
    Returns:
        the values, with the place each one came from in ``origins``.
    Raises:
        SettingsError: an unknown name, a value of the wrong kind, or a file that is missing or no TOML.
    """
    environ = os.environ if environ is None else environ
    config_home = Path(environ.get("XDG_CONFIG_HOME") or _home(environ) / ".config")
    data_home = Path(environ.get("XDG_DATA_HOME") or _home(environ) / ".local" / "share")
    chosen: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers = [
        _from_file(config_home / "fleetsight" / FILE_NAME, must_exist=False),
        _from_file((folder or Path.cwd()) / FILE_NAME, must_exist=False),
        _from_environment(environ),
    ]
    if named := environ.get(FILE_VARIABLE):
        layers[1] = _from_file(Path(named), must_exist=True)
    for layer in layers:
        for name, (value, origin) in layer.items():
            chosen[name] = value
            origins[name] = origin
    chosen.setdefault("data_dir", data_home / "fleetsight")
    chosen.setdefault("models_dir", chosen["data_dir"] / "models")
    _place_storage(chosen)
    return Settings(**chosen, origins={name: origins.get(name, DEFAULT_ORIGIN) for name in EXPLAINED})


def environment_with(chosen: Mapping[str, object]) -> dict[str, str]:
    """Make the environment of a child process in which some settings are chosen and all others are as they are here.

    Args:
        chosen: values by name of the setting.
    Returns:
        the environment.
    Raises:
        SettingsError: a name or a value that `load` would refuse.
    """
    environ = dict(os.environ)
    for name, value in chosen.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        _value(name, text, origin="chosen")
        environ[f"{PREFIX}{name.upper()}"] = text
        environ.pop(f"{PREFIX}{name.upper()}{FILE_SUFFIX}", None)
    return environ


def with_port(settings: Settings, port: int) -> Settings:
    """The same settings for a service that listens on another port than was chosen, because 0 was chosen.

    Args:
        settings: as loaded.
        port: the one that was found free.
    Returns:
        settings whose base_url has that port, unless somebody chose a base_url.
    """
    chosen = settings.origins.get("base_url", DEFAULT_ORIGIN) != DEFAULT_ORIGIN
    base_url = settings.base_url if chosen else _own_address(settings.host, port)
    return replace(settings, port=port, base_url=base_url)


def printable(settings: Settings, name: str) -> object:
    """The value of a setting as it may be shown.

    Args:
        settings: as loaded.
        name: one of `EXPLAINED`.
    Returns:
        the value; of a secret only whether it is set, and of a URL all but the password.
    """
    value = getattr(settings, name)
    if name in SECRETS:
        return "(set)" if value else ""
    if isinstance(value, str) and "://" in value and (parts := urlsplit(value)).password:
        return value.replace(f":{parts.password}@", ":(set)@", 1)
    return value


def _place_storage(chosen: dict[str, Any]) -> None:
    """Fill in where rows, jobs and blobs are when nobody said so."""
    folder = Path(chosen["data_dir"]).absolute()
    chosen.setdefault("database_url", f"sqlite:///{folder / 'fleetsight.db'}")
    on_server = chosen["database_url"].startswith("postgresql")
    chosen.setdefault("jobs_url", chosen["database_url"] if on_server else f"sqlite:///{folder / 'jobs.db'}")
    chosen.setdefault("blobs_url", f"file://{folder / 'blobs'}")
    chosen.setdefault("base_url", _own_address(chosen.get("host", Settings.host), chosen.get("port", Settings.port)))


def _own_address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _from_file(path: Path, *, must_exist: bool) -> dict[str, tuple[Any, str]]:
    if not path.is_file():
        if must_exist:
            raise SettingsError(f"no settings file at {path}", hint=f"correct --settings or {FILE_VARIABLE}")
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}", hint="write one `name = value` a line") from error
    values = {name: _value(name, value, origin=str(path)) for name, value in table.items()}
    for name, value in values.items():
        if isinstance(value, Path):  # a path in a file is seen from that file's folder
            values[name] = path.parent / value
    return {name: (value, str(path)) for name, value in values.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    found = {}
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and variable not in (FILE_VARIABLE, TEST_VARIABLE):
            name = variable.removeprefix(PREFIX).lower()
            owner = name.removesuffix(FILE_SUFFIX.lower())
            if owner == name or owner not in SECRETS:
                found[name] = (_value(name, text, origin=variable), variable)
            elif f"{PREFIX}{owner.upper()}" in environ:
                raise SettingsError(f"{variable}: {owner} is also given directly", hint="unset one of the two")
            else:
                found[owner] = (_value(owner, _secret_in(Path(text), variable), origin=variable), variable)
    return found


def _secret_in(path: Path, variable: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: {path} cannot be read", hint="name a file that holds the secret") from error


def _value(name: str, value: object, *, origin: str) -> Any:
    """Check one value and give it the setting's kind; text becomes a number or a path where the setting is one."""
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(KINDS)}"
        raise SettingsError(f"{origin}: there is no setting {name}", hint=hint)
    kind = KINDS[name]
    shown = "(a secret)" if name in SECRETS else repr(value)
    wrong = SettingsError(f"{origin}: {name} = {shown} is not {_IN_WORDS[kind]}", hint=EXPLAINED[name])
    if kind is bool:
        if str(value).lower() not in ("true", "false"):
            raise wrong
        return str(value).lower() == "true"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong
    if kind in (str, Path):
        if not isinstance(value, str) or not value:
            raise wrong
        return Path(value).expanduser() if kind is Path else value
    if isinstance(value, float) and kind is int:
        raise wrong
    try:
        number: int | float = kind(value)
    except ValueError:
        raise wrong from None
    if not 0 <= number < math.inf:
        raise wrong
    return number
