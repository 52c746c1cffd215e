"""What an installation may choose: the only reader of environment variables and configuration files.

Each setting is one field of `Settings`. Its value comes from the first place that names it:

1. the environment variable ``FLEETSIGHT_<NAME>``,
2. the file that ``--settings FILE`` or ``FLEETSIGHT_SETTINGS`` names, else ``fleetsight.toml`` in the working folder,
3. ``$XDG_CONFIG_HOME/fleetsight/fleetsight.toml``,
4. the default.

Library code takes arguments; only the command line calls `load` and hands the values on.
"""

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fleetsight.errors import Error

PREFIX = "FLEETSIGHT_"
FILE_VARIABLE = "FLEETSIGHT_SETTINGS"
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
    threads: int = field(metadata={"text": "threads of one model session; 0 takes every core"}, default=0)
    decode_ram_bytes: int = field(metadata={"text": "memory the decoding process may take"}, default=1 << 30)
    decode_cpu_s: int = field(metadata={"text": "CPU time for decoding one clip"}, default=60)
    decode_wall_s: float = field(metadata={"text": "time the decoder may keep us waiting, for one clip"}, default=120.0)
    decode_pixels: int = field(metadata={"text": "pixels of one frame (width x height)"}, default=8_300_000)
    decode_frames: int = field(metadata={"text": "frames of one clip; later ones are left out"}, default=36_000)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


DEFAULT_ORIGIN = "default"
EXPLAINED: Mapping[str, str] = {f.name: f.metadata["text"] for f in fields(Settings) if "text" in f.metadata}
"""One line about each setting, in the order in which they are printed."""
KINDS: Mapping[str, type] = {
    f.name: f.type for f in fields(Settings) if f.name in EXPLAINED and isinstance(f.type, type)
}
_IN_WORDS: Mapping[type, str] = {int: "a whole number >= 0", float: "a number >= 0", str: "text", Path: "a path"}


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
    return Settings(**chosen, origins={name: origins.get(name, DEFAULT_ORIGIN) for name in EXPLAINED})


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
            found[name] = (_value(name, text, origin=variable), variable)
    return found


def _value(name: str, value: object, *, origin: str) -> Any:
    """Check one value and give it the setting's kind; text becomes a number or a path where the setting is one."""
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(KINDS)}"
        raise SettingsError(f"{origin}: there is no setting {name}", hint=hint)
    kind = KINDS[name]
    wrong = SettingsError(f"{origin}: {name} = {value!r} is not {_IN_WORDS[kind]}", hint=EXPLAINED[name])
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
