"""Names that must be among known ones: fields of a file, targets, flags. What is misspelt gets the nearest one as a hint."""

import difflib
from collections.abc import Collection

from fleetsight.errors import Error


def nearest(word: str, known: Collection[str]) -> str:
    """A hint for somebody who misspelt a name.

    Args:
        word: what was written.
        known: what there is.

    Returns:
        the nearest name as a question; where none is near, all of them.
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(known) or 'none'}"


def check_names(
    given: Collection[str], known: Collection[str], *, error: type[Error], what: str, hint: str = ""
) -> None:
    """Refuse fields that are unknown, and an object that lacks some.

    Args:
        given: the fields of the object.
        known: the fields it must have, all of them.
        error: what to raise.
        what: name of the object, for the message.
        hint: the way out where fields are missing.

    Raises:
        Error: of the class given.
    """
    for name in given:
        if name not in known:
            raise error(f"{what} field {name!r} is unknown", hint=nearest(name, known))
    missing = [name for name in known if name not in given]
    if missing:
        raise error(f"the {what} lacks {', '.join(map(repr, missing))}", hint=hint)
