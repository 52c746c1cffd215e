"""A generated page on disk: written anew, or with ``--check`` compared with what it ought to be."""

import sys
from pathlib import Path


def deliver(page: Path, text: str, *, check: bool) -> int:
    """Write the page, or compare it.

    Args:
        page: the file.
        text: what it ought to hold.
        check: compare only.
    Returns:
        the exit code: 1 when the page is out of date.
    """
    if not check:
        page.write_text(text, encoding="utf-8")
        return 0
    if page.is_file() and page.read_text(encoding="utf-8") == text:
        return 0
    print(f"{page.name} is out of date: run make docs", file=sys.stderr)
    return 1
