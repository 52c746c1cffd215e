"""One text for one JSON value, so that equal values have equal digests in every process and on every database."""

import hashlib
import json
from typing import Any, TypeAlias

from fleetsight.errors import Error

Json: TypeAlias = bool | int | float | str | list[Any] | dict[str, Any] | None
JsonObject: TypeAlias = dict[str, Any]


class NotJsonError(Error):
    """A value that would not come back from JSON as it went in."""

    code = "not_json"


def canonical(value: Json) -> str:
    """Write a value as JSON in the only way this project hashes: sorted keys, no spaces, UTF-8 characters as they are.

    Args:
        value: what JSON can hold: None, truth values, whole numbers, finite floats, text without lone surrogates, lists,
            and dictionaries with text keys.
    Returns:
        the text.
    Raises:
        NotJsonError: the value would change its kind on the way (a tuple, bytes, NaN, a number as a key).
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
        same = json.loads(text) == value
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJsonError(f"{_short(value)} is no JSON value: {error}", hint=_HINT) from error
    if not same:
        raise NotJsonError(f"{_short(value)} changes its kind in JSON", hint=_HINT)
    return text


def digest_of(value: Json) -> str:
    """Digest a JSON value.

    Args:
        value: as `canonical` takes it.
    Returns:
        SHA-256 of its canonical text, 64 lower-case hexadecimal digits.
    """
    return hashlib.sha256(canonical(value).encode("utf-8")).hexdigest()


_HINT = "use lists, dictionaries with text keys, text, whole numbers and finite floats"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
