"""The two faces of the status page: HTML from a template, JSON from the same values."""

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fleetsight.serve.page.contexts import StatusPage

FILES = Path(__file__).resolve().parent / "files"
KINDS = {".css": b"text/css; charset=utf-8", ".js": b"text/javascript; charset=utf-8"}
DIGEST_CHARS = 10


class Faces:
    """The template and its files, loaded once.

    Attributes:
        files: what the page loads: kind and bytes by name.
    """

    def __init__(self) -> None:
        self.files = {
            path.name: (KINDS[path.suffix], path.read_bytes())
            for path in sorted(FILES.iterdir())
            if path.suffix in KINDS
        }
        environment = Environment(
            loader=FileSystemLoader(FILES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "short": short,
            "ms": ms,
            "percent": percent,
            "usd": usd,
            "lasted": lasted,
            "clock": clock,
        }
        environment.globals["asset"] = {
            name: f"/status/{name}?v={hashlib.sha256(data).hexdigest()[:DIGEST_CHARS]}"
            for name, (_, data) in self.files.items()
        }
        self._template = environment.get_template("status.html")

    def html(self, page: StatusPage) -> bytes:
        """Show a page.

        Args:
            page: what it shows.
        Returns:
            HTML in UTF-8, everything from the page escaped.
        """
        return self._template.render(page=page).encode()

    def json(self, page: StatusPage) -> dict[str, Any]:
        """The twin of a page.

        Args:
            page: what it shows.
        Returns:
            plain values.
        """
        return asdict(page)


def short(value: float | None) -> str:
    """A number with three digits that count; a dash for None."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ms(value: float | None) -> str:
    """Milliseconds; a dash for None."""
    return "–" if value is None else f"{short(value)} ms"


def percent(value: float | None) -> str:
    """Per cent; a dash for None."""
    return "–" if value is None else f"{short(value)} %"


def usd(value: float | None) -> str:
    """Dollars with three digits that count, never in powers of ten; a dash for None."""
    if value is None:
        return "–"
    if value >= 1 or value == 0:
        return f"${value:.2f}"
    digits = next(count for count in range(2, 12) if value >= 10.0 ** (2 - count) or count == 11)
    return f"${value:.{digits}f}"


def lasted(seconds: float | None) -> str:
    """A duration; a dash for None."""
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def clock(at_unix_s: float) -> Markup:
    """A moment by the clock; the browser shows it in its own zone."""
    at = datetime.fromtimestamp(at_unix_s, UTC)
    stamp, read = at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%H:%M:%S")
    return Markup('<time datetime="{}">{}</time>').format(stamp, read)
