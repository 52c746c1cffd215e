"""Named places at which a test may let the process die.

``crashpoint("blobs.before-rename")`` costs one look at an empty dictionary. After `arm`, the nth time the process comes by, it
dies: by SIGKILL as a pulled plug would, or, where thousands of crashes are wanted in one process, by an exception that
nothing catches. The names are literals in the source, found there by `POINTS`, so that tests can go through all of them.
"""

import ast
import difflib
import enum
import functools
import os
import signal
import threading
from collections.abc import Iterator, Set
from pathlib import Path

import fleetsight
from fleetsight.errors import Error


class CrashpointError(Error):
    """A crash point that does not exist."""

    code = "crashpoint"


class SimulatedCrashError(BaseException):
    """The process "died" here. Not an `Exception`: no handler of ours may survive it."""


class Crash(enum.Enum):
    """How to die."""

    KILL = "kill"
    RAISE = "raise"


class _Points(Set[str]):
    """Every name that the package's source gives to `crashpoint`; read when first asked for."""

    def __contains__(self, name: object) -> bool:
        return name in _names()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(_names()))

    def __len__(self) -> int:
        return len(_names())


POINTS: Set[str] = _Points()
"""Every crash point of the package, by name."""

_armed: dict[str, tuple[int, Crash]] = {}
_lock = threading.Lock()


def crashpoint(name: str) -> None:
    """Die here when this point is armed.

    Args:
        name: a literal, ``noun.moment``.
    Raises:
        SimulatedCrashError: the point was armed with `Crash.RAISE`.
    """
    if not _armed or name not in _armed:
        return
    with _lock:
        left, how = _armed.get(name, (0, Crash.RAISE))
        if left == 0:
            return
        if left > 1:
            _armed[name] = (left - 1, how)
            return
        del _armed[name]
    if how is Crash.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()  # the signal may reach another thread first; go no further
    raise SimulatedCrashError(name)


def arm(name: str, nth: int = 1, *, how: Crash = Crash.KILL) -> None:
    """Let the process die at a point, once. Several points may be armed.

    Args:
        name: one of `POINTS`.
        nth: the how manieth time the process comes by, from 1.
        how: by SIGKILL, or by an exception in this process.
    Raises:
        CrashpointError: no such point, or nth < 1.
    """
    if name not in POINTS:
        near = difflib.get_close_matches(name, POINTS, n=1)
        raise CrashpointError(
            f"there is no crash point {name!r}",
            hint=f"did you mean {near[0]}?" if near else f"there are {', '.join(POINTS)}",
        )
    if nth < 1:
        raise CrashpointError(f"crash at visit {nth}", hint="visits count from 1")
    with _lock:
        _armed[name] = (nth, how)


def disarm() -> None:
    """Let the process live."""
    with _lock:
        _armed.clear()


@functools.cache
def _names() -> frozenset[str]:
    (folder,) = fleetsight.__path__
    return frozenset(name for module in sorted(Path(folder).rglob("*.py")) for name in named_in(module))


def named_in(module: Path) -> list[str]:
    """Find the crash points of one module.

    Args:
        module: a Python file.
    Returns:
        the names, in the order of the source.
    Raises:
        CrashpointError: a name that is no literal cannot be found by a test.
    """
    text = module.read_text(encoding="utf-8")
    if "crashpoint(" not in text:
        return []
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "crashpoint":
            (name,) = node.args
            if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                raise CrashpointError(
                    f"{module}:{node.lineno}: the name is no literal", hint='write crashpoint("noun.moment")'
                )
            names.append(name.value)
    return names
