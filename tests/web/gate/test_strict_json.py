"""JSON with one meaning is read; everything else is refused with a reason and at a cost that its length bounds."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.web.gate.strict_json import DEPTH_MAX, NotStrictJsonError, parse

PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_plain_values_come_back_as_they_went(value: object) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"a": 1, "a": 1}', "same key twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "same key twice"),
        (b"1e400", "too large"),
        (b"[-1e999]", "too large"),
        (b"NaN", "not JSON"),
        (b"[Infinity, -Infinity]", "not JSON"),
        (b"1" * 20, "20 characters"),
        (b"[" * 10_000 + b"]" * 10_000, "nested"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'["a\\u0000b"]', "NUL"),
        (b'"a\0b"', "not JSON"),
        (b'"\xff"', "not UTF-8"),
        ('"\ud800"'.encode("utf-8", "surrogatepass"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
    ],
)
@pytest.mark.bad_input(59)
def test_what_is_ambiguous_or_no_json_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(NotStrictJsonError, match=reason) as caught:
        parse(raw)
    assert caught.value.hint


def test_the_deepest_allowed_body_is_read() -> None:
    assert parse(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    assert parse(b"[" * DEPTH_MAX + b"1" + b"]" * DEPTH_MAX)


def test_whole_characters_beyond_the_basic_plane_are_read() -> None:
    assert parse(b'"\\ud83e\\udd64"') == "🥤"


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(NotStrictJsonError):  # and with nothing else
        parse(raw)


@pytest.mark.parametrize(
    ("raw", "value"), [(b"5.0", 5), (b"1e3", 1000), (b"-0.0", 0), (b"2.5", 2.5), (b"1e300", 1e300)]
)
def test_a_whole_number_is_whole_however_it_is_written(raw: bytes, value: float) -> None:
    found = parse(raw)
    assert found == value
    assert type(found) is type(value)


def test_a_number_that_readers_round_differently_is_no_whole_one() -> None:
    assert type(parse(b"9007199254740993.0")) is float
