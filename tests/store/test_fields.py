"""Misspelt names get the nearest one; missing ones are listed."""

import pytest

from fleetsight.errors import Error
from fleetsight.store.fields import check_names, nearest


def test_the_nearest_name_is_asked_for_and_else_all_are_told() -> None:
    assert nearest("opnvino", ("openvino", "torch")) == "did you mean 'openvino'?"
    assert nearest("zzz", ("openvino", "torch")) == "there is: openvino, torch"
    assert nearest("zzz", ()) == "there is: none"


def test_unknown_fields_come_before_missing_ones() -> None:
    check_names({"a": 1, "b": 2}, ("a", "b"), error=Error, what="card")
    with pytest.raises(Error, match="card field 'aa' is unknown") as unknown:
        check_names({"aa": 1}, ("a1", "b1"), error=Error, what="card", hint="write it again")
    assert unknown.value.hint == "there is: a1, b1"
    with pytest.raises(Error, match="the card lacks 'a', 'b'") as missing:
        check_names({}, ("a", "b"), error=Error, what="card", hint="write it again")
    assert missing.value.hint == "write it again"
