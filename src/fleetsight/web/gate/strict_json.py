"""JSON as this service reads it: one meaning only.

Two readers of one text must not see two things (RFC 8259 leaves that open for duplicate keys, huge numbers and lone surrogates), and
no text may cost more than its length. So whatever is ambiguous is refused, with the reason.
"""

import json
import math
from typing import Any, NoReturn

from fleetsight.errors import Error

DEPTH_MAX = 16
EXACT_MAX = 2.0**53
"""Below it 5.0 and 5 are one number to every reader, as JSON Schema has it; above it readers round differently."""
INTEGER_DIGITS_MAX = 19  # what 64 bits hold; models check the rest


class NotStrictJsonError(Error):
    """A body that is no JSON, or JSON that two readers could read differently."""

    code = "not_json"


def parse(raw: bytes) -> Any:
    """Read a body.

    Args:
        raw: UTF-8 without byte order mark.
    Returns:
        dictionaries, lists, text, whole numbers, finite floats, truth values and None.
    Raises:
        NotStrictJsonError: other encoding, not JSON, a key twice in an object, deeper than `DEPTH_MAX`, NaN, infinite or
            overlong numbers, NUL or a lone surrogate in text.
    """
    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_number,
            parse_int=_integer,
        )
    except RecursionError as error:
        raise NotStrictJsonError("the body is nested too deeply", hint=f"at most {DEPTH_MAX} levels") from error
    except UnicodeDecodeError as error:
        raise NotStrictJsonError("the body is not UTF-8", hint="send application/json in UTF-8") from error
    except ValueError as error:
        raise NotStrictJsonError(f"the body is not JSON: {error}", hint="check it with a JSON linter") from error
    _check_depth(value)
    if "\\u" in text:  # only an escape can bring NUL or half a surrogate pair
        _check_text(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotStrictJsonError("an object has the same key twice", hint="send each key once")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise NotStrictJsonError(f"{name} is not JSON", hint="send a finite number or null")


def _number(text: str) -> float | int:
    value = float(text)
    if not math.isfinite(value):
        raise NotStrictJsonError(f"{text[:40]} is too large for a number", hint="send a number below 1.8e308")
    return int(value) if value.is_integer() and abs(value) < EXACT_MAX else value


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > INTEGER_DIGITS_MAX:
        raise NotStrictJsonError(f"a whole number of {len(text)} characters", hint="send one that fits into 64 bits")
    return int(text)


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH_MAX):
        level = [
            part
            for whole in level
            for part in (whole.values() if isinstance(whole, dict) else whole)
            if isinstance(part, dict | list)
        ]
        if not level:
            return
    raise NotStrictJsonError("the body is nested too deeply", hint=f"at most {DEPTH_MAX} levels")


def _check_text(value: Any) -> None:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str) and ("\0" in part or not _whole_characters(part)):
            raise NotStrictJsonError(
                "text with NUL or half a surrogate pair", hint="send whole characters, without NUL"
            )


def _whole_characters(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
