"""How sizes of pictures are written on the command line: ``640x360``."""

import re

import typer


def size_wh(text: str) -> tuple[int, int]:
    """Read a size.

    Args:
        text: width in pixels, an x, height in pixels.
    Returns:
        width and height, 1 to 9999 pixels each.
    Raises:
        BadParameter: anything else.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,3})[xX]([1-9][0-9]{0,3})", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT, such as 640x360", param_hint="--size")
    return int(match[1]), int(match[2])
