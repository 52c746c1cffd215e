from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.fleet.planning.render.yaml_text import yaml_text

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(st.characters(codec="ascii"))
KEYS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=12)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)


def without_newlines(value: Any) -> Any:
    """Several lines are tested apart: blanks at their ends do not survive."""
    if isinstance(value, str):
        return "".join(sign for sign in value if sign not in "\n\r\x7f")
    if isinstance(value, list):
        return [without_newlines(inner) for inner in value]
    if isinstance(value, dict):
        return {without_newlines(key): without_newlines(inner) for key, inner in value.items()}
    return value


@given(VALUES)
def test_what_is_written_is_read_back_by_a_yaml_library(value: Any) -> None:
    wanted = without_newlines(value)
    assert yaml.safe_load(yaml_text(wanted)) == wanted


@pytest.mark.parametrize(
    "text", ["true", "No", "1e3", "0x10", "~", "", "a: b", "- x", "#c", "12:30", "2026-11-30", "{{x}}", "*"]
)
def test_text_stays_text(text: str) -> None:
    assert yaml.safe_load(yaml_text({"key": text, text or "k": [text]}))["key"] == text


@pytest.mark.parametrize("number", [1e16, -3e-7, 5e-324, 0.1, 2.0, 10**20])
def test_numbers_stay_numbers(number: float) -> None:
    assert yaml.safe_load(yaml_text({"key": number}))["key"] == number


@pytest.mark.parametrize("text", ["a\nb\n", "a\nb", '[[variant]]\nmodel = "x"\n'])
def test_several_lines_are_a_block(text: str) -> None:
    written = yaml_text({"file": text, "after": 1})
    assert yaml.safe_load(written) == {"file": text, "after": 1}
    assert "|" in written


def test_documents_are_divided() -> None:
    assert list(yaml.safe_load_all(yaml_text({"a": 1}, {"b": {}}))) == [{"a": 1}, {"b": {}}]
