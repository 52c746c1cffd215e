"""Equal JSON values have one text, and what is no JSON is refused."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.store.canonical import Json, NotJsonError, canonical, digest_of

VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_comes_back(value: Json) -> None:
    assert json.loads(canonical(value)) == value


@given(st.dictionaries(st.text(), st.integers(), max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical(value) == canonical(turned)
    assert digest_of(value) == digest_of(turned)


def test_the_text_is_short_and_readable() -> None:
    assert canonical({"b": [1, 2.5, None, True], "a": "Käse"}) == '{"a":"Käse","b":[1,2.5,null,true]}'


def test_the_digest_is_of_the_text() -> None:
    assert digest_of({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


@pytest.mark.parametrize("value", [True, 1, 1.0])
def test_values_that_python_calls_equal_differ_when_json_does(value: Json) -> None:
    others = [other for other in (True, 1, 1.0) if type(other) is not type(value)]
    assert digest_of(value) not in {digest_of(other) for other in others}


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), b"bytes", (1, 2), {1: "a"}, {"a": {2}}, "\ud800", object(), {"a": (1,)}]
)
def test_what_json_cannot_hold_is_refused(value: Json) -> None:
    with pytest.raises(NotJsonError) as caught:
        canonical(value)
    assert caught.value.hint


def test_depth_without_end_is_refused() -> None:
    value: list[Json] = []
    value.append(value)
    with pytest.raises(NotJsonError):
        canonical(value)


def test_a_refusal_does_not_repeat_megabytes() -> None:
    with pytest.raises(NotJsonError) as caught:
        canonical({"a": b"x" * 1_000_000})
    assert len(str(caught.value)) < 500
