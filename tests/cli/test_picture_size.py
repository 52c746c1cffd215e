"""Sizes on the command line are exact or refused."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.cli.picture_size import size_wh

sides = st.integers(1, 9999)


@given(sides, sides)
def test_a_size_is_width_and_height(width: int, height: int) -> None:
    assert size_wh(f"{width}x{height}") == size_wh(f"{width}X{height}") == (width, height)


@pytest.mark.parametrize(
    "text", ["", "640", "640x", "x360", "0x0", "-640x360", "16384x8192", "640x360x3", "640 x 360", "640x360\n", "٣x٣"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        size_wh(text)
