"""Which engine a text names. The text travels to child processes, so that no code ever does.

``sleep:20`` and ``burn:20+2`` are stand-ins (milliseconds of the first and of each further frame), ``module:callable`` is a function of
the user, anything else the name or folder of a portable model, or the folder of a compiled one.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetsight.serve.engine.protocol import Engine, EngineError
from fleetsight.serve.engine.stand_in import CallableEngine, SleepEngine

_STAND_IN = re.compile(r"(sleep|burn):(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?")
_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
FIRST_MS_MAX = 60_000.0


@dataclass(frozen=True)
class Source:
    """Where an engine comes from.

    Attributes:
        text: as above.
        target: chip and run time of a portable model.
        threads: most threads of one batch; 0: every core.
        models_dir: where imported models are; None: only those that ship and folders.
        trusted: public keys whose compiled models are opened.
    """

    text: str
    target: str = "auto"
    threads: int = 0
    models_dir: Path | None = None
    trusted: tuple[str, ...] = ()

    def model_name(self) -> str:
        """The name under which callers know it, when nobody gave another."""
        stand_in, function = _STAND_IN.fullmatch(self.text), _CALLABLE.fullmatch(self.text)
        if stand_in:
            return stand_in[1]
        return self.text.split(":")[1] if function else Path(self.text).name


def open_engine(source: Source) -> Engine:
    """Make an engine; nothing heavy happens before its `load`, but the function of a user is imported.

    Args:
        source: where it comes from.
    Returns:
        the engine, not loaded.

    Raises:
        EngineError: the text names nothing.
    """
    stand_in = _STAND_IN.fullmatch(source.text)
    if stand_in:
        first_ms = float(stand_in[2])
        if first_ms > FIRST_MS_MAX:
            raise EngineError(f"{source.text!r}: {first_ms:g} ms a frame, at most {FIRST_MS_MAX:g}")
        return SleepEngine(first_ms, next_ms=float(stand_in[3]) if stand_in[3] else None, burns=stand_in[1] == "burn")
    if _CALLABLE.fullmatch(source.text) and not Path(source.text).exists():
        return CallableEngine(_imported(source.text))
    return _detector(source)


def _imported(text: str) -> Callable[..., Any]:
    module, _, name = text.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise EngineError(f"cannot import {text!r}: {error}", hint="write MODULE:FUNCTION, importable here") from error
    if isinstance(found, type):
        found = found()
    if not callable(found):
        raise EngineError(f"{text!r} is {type(found).__name__}, a callable was expected")
    made: Callable[..., Any] = found
    return made


def _detector(source: Source) -> Engine:
    from fleetsight.accel.artifacts.opening import open_detector
    from fleetsight.serve.engine.detector import DetectorEngine

    return DetectorEngine(
        lambda: open_detector(
            source.text,
            models_dir=source.models_dir,
            trusted=source.trusted,
            target=source.target,
            threads=source.threads or None,
        )
    )
