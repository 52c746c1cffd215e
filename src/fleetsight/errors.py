"""The one base error: what happened, and the way out."""

from typing import ClassVar


class Error(Exception):
    """An error a user can act on.

    Args:
        message: what happened, with the value and what was expected.
        hint: the command or setting that repairs it; empty when there is none.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message
