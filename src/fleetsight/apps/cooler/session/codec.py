"""Sessions and events as plain JSON, and back.

A field that the text lacks takes its default, and one that no class has is left out: a session that an older or newer
version of the program wrote can be read. Nothing else is forgiven.
"""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from fleetsight.errors import Error
from fleetsight.store.canonical import Json, JsonObject

T = TypeVar("T")


class CodecError(Error):
    """A text that is no session."""

    code = "session_codec"


def to_json(value: Any) -> Json:
    """Write a value of the machine as plain JSON.

    Args:
        value: a dataclass, an enum, a tuple of such, or plain.
    Returns:
        objects for dataclasses, lists for tuples.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): to_json(part) for name, part in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise CodecError(f"a {type(value).__name__} is no part of a session")


def from_json(kind: type[T], value: JsonObject) -> T:
    """Read a dataclass of the machine.

    Args:
        kind: which.
        value: as `to_json` wrote it.
    Returns:
        an equal value.
    Raises:
        CodecError: a field is missing or of another kind.
    """
    return typing.cast(T, _read(kind, value))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return _one_of(typing.get_args(kind), value)
    if origin is tuple:
        return _tuple(typing.get_args(kind), value)
    if is_dataclass(kind):
        return _dataclass(kind, value)
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        try:
            return kind(value)
        except ValueError as error:
            raise CodecError(f"{value!r} is no {kind.__name__}") from error
    if type(value) is not kind:
        raise CodecError(f"{value!r} is no {getattr(kind, '__name__', kind)}")
    return value


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in kinds:
        return None
    (kind,) = (kind for kind in kinds if kind is not type(None))
    return _read(kind, value)


def _tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise CodecError(f"{value!r} is no list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_read(kinds[0], part) for part in value)
    if len(kinds) != len(value):
        raise CodecError(f"{value!r} has {len(value)} parts, not {len(kinds)}")
    return tuple(_read(kind, part) for kind, part in zip(kinds, value, strict=True))


def _dataclass(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise CodecError(f"{value!r} is no {kind.__name__}")
    hints, given = _hints(kind), {}
    for field in fields(kind):
        if field.name in value:
            given[field.name] = _read(hints[field.name], value[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise CodecError(f"a {kind.__name__} without {field.name}")
    return kind(**given)
