"""Cursors come back as they went out, and nothing else passes for one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.web.cursors import read_cursor, write_cursor


@given(st.integers(0, 2**63 - 1), st.uuids())
def test_a_cursor_comes_back(at_ns: int, row_id: object) -> None:
    assert read_cursor(write_cursor(at_ns, str(row_id))) == (at_ns, str(row_id))


@pytest.mark.parametrize(
    "text",
    ["", "=", "a", "é", "\0", "../..", "' OR 1=1 --"]
    + [
        base64.urlsafe_b64encode(raw).decode()
        for raw in (b"", b":", b"1:", b":a", b"-1:a", b"1:a'", b"1:a:b", b"x:a", b"1:" + b"a" * 65)
    ],
)
@pytest.mark.bad_input(60)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    assert read_cursor(text) is None


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = read_cursor(text)
    assert found is None or found[0] >= 0
