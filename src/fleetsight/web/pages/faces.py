"""The two faces of a page: HTML from a template, JSON from the same context."""

import hashlib
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from fleetsight.apps.cooler.session.review import CONTEST_REASONS
from fleetsight.money import Money
from fleetsight.web.pages import words
from fleetsight.web.pages.contexts import PageContext
from fleetsight.web.pages.desk_contexts import CORRECT_CODES, REFUND_CODES, WAIVE_CODES

WEB = Path(__file__).resolve().parents[1]
STATIC = WEB / "static"
LIVE_BLOCK = "live"
"""The block of a template that refreshes itself."""
DIGEST_CHARS = 10


@dataclass(frozen=True)
class Chrome:
    """What stands around a page and is not its content.

    Attributes:
        path: of the page, with its query.
        who: name of the signed-in person; empty when nobody is.
        role: of the operator; empty for shoppers.
        tenant: name of the business.
        waiting: cases in the review queue.
        tabs: path, name and icon of the pages that the person may see.
    """

    path: str
    who: str = ""
    role: str = ""
    tenant: str = "fleetsight"
    waiting: int = 0
    tabs: tuple[tuple[str, str, str], ...] = ()


class Faces:
    """Templates, loaded once."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(WEB / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "money": money,
            "share": share,
            "lasted": lasted,
            "ago": ago,
            "moment": moment,
            "word": lambda name, table: words.word(table, name),
            "text": lambda name, table: words.text(table, name),
            "plain": words.plain,
            "short": short,
            "qr": qr_picture,
            "capitalize_first": lambda sentence: sentence[:1].upper() + sentence[1:],
        }
        codes = {"correct": CORRECT_CODES, "waive": WAIVE_CODES, "refund": REFUND_CODES, "contest": CONTEST_REASONS}
        self._environment.globals |= {"asset": asset_urls(STATIC), "codes": codes}
        # Macros as globals: a block that is rendered alone does not see the imports of its template.
        self._environment.globals |= {
            name: self._environment.get_template(f"parts/{name}.html").module for name in ("ui", "icons", "evidence")
        }

    def refreshes(self, context: PageContext) -> bool:
        """Whether a page has a part that refreshes itself.

        Args:
            context: what it shows.
        Returns:
            True when `html` can make that part alone.
        """
        return LIVE_BLOCK in self._environment.get_template(context.template).blocks

    def html(self, context: PageContext, *, chrome: Chrome, fragment: bool = False) -> str:
        """Show a page.

        Args:
            context: what it shows.
            chrome: what stands around it.
            fragment: only the part that refreshes itself.
        Returns:
            HTML, everything from the context escaped.
        """
        template = self._environment.get_template(context.template)
        values = {"page": context, "chrome": chrome}
        if not fragment:
            return template.render(values)
        return "".join(template.blocks[LIVE_BLOCK](template.new_context(values)))


def as_json(value: object) -> Any:
    """The twin of a context.

    Args:
        value: a context, or a value in one.
    Returns:
        Plain values: money as `{"minor", "currency"}`, states as text, times as integers.
    """
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [as_json(part) for part in value]
    return value


def asset_urls(folder: Path) -> dict[str, str]:
    """Addresses of the files of a folder, each with the digest of its bytes, so that browsers may keep them for ever.

    Args:
        folder: of static files.
    Returns:
        Address by relative name.
    """
    return {
        name: f"/static/{name}?v={hashlib.sha256(path.read_bytes()).hexdigest()[:DIGEST_CHARS]}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for name in (path.relative_to(folder).as_posix(),)
    }


def money(amount: Money) -> Markup:
    """An amount whose number and currency never part at the end of a line.

    Args:
        amount: any.
    Returns:
        Markup such as `4.98 EUR`.
    """
    number, currency = str(amount).replace("-", "−").split(" ")
    return Markup('<span class="money">{}<span class="money-unit">&nbsp;{}</span></span>').format(number, currency)


def share(value: float | None) -> str:
    """A share in percent, cut and never rounded up: 0.999 reads 99 %, not 100 %; below a tenth with one decimal.

    Args:
        value: 0 to 1, or None.
    Returns:
        Such as `91 %` or `0.9 %`; a dash for None.
    """
    if value is None:
        return "–"
    tenths = int(value * 1000 + 1e-9)
    return f"{tenths / 10:.1f} %" if 0 < tenths < 100 else f"{tenths // 10} %"


def lasted(seconds: float | None) -> str:
    """A duration in the largest unit that says enough.

    Args:
        seconds: >= 0, or None.
    Returns:
        Such as `0.8 s`, `12 s`, `3 min`, `5 h`, `2 d`; a dash for None.
    """
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for limit_s, unit_s, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit_s:
            return f"{round(seconds / unit_s)} {unit}"
    return f"{round(seconds / 86_400)} d"


def ago(at_ns: int | None, now_ns: int) -> Markup:
    """A moment by its distance; the browser counts on and shows the time of day on hover.

    Args:
        at_ns: UTC nanoseconds, or None.
        now_ns: UTC nanoseconds.
    Returns:
        A `time` element; a dash for None.
    """
    if at_ns is None:
        return Markup("–")
    distance_s = (now_ns - at_ns) / 1e9
    words_ = f"in {lasted(-distance_s)}" if distance_s < -0.5 else f"{lasted(max(0, round(distance_s)) * 1.0)} ago"
    return Markup('<time datetime="{}" data-ago>{}</time>').format(_iso(at_ns), words_.replace(".0 s", " s"))


def moment(at_ns: int | None, form: str = "time") -> Markup:
    """A moment by the clock; the browser shows it in its own zone.

    Args:
        at_ns: UTC nanoseconds, or None.
        form: `time`, `date` or `both`.
    Returns:
        A `time` element that reads UTC where no script runs; a dash for None.
    """
    if at_ns is None:
        return Markup("–")
    at = datetime.fromtimestamp(at_ns / 1e9, UTC)
    pattern = {"time": "%H:%M:%S", "date": "%-d %b %Y", "both": "%-d %b, %H:%M"}[form]
    return Markup('<time datetime="{}" data-clock="{}">{}</time>').format(_iso(at_ns), form, at.strftime(pattern))


def qr_picture(text: str) -> Markup:
    """A QR code as an SVG that scales with its box.

    Args:
        text: what a phone reads.
    Returns:
        An `svg` element, dark on nothing.
    """
    code = segno.make(text, error="m")
    return Markup(
        code.svg_inline(border=0, omitsize=True, svgclass=None, lineclass=None)
    )  # modules only, no text of ours


def short(session_id: str) -> Markup:
    """The end of a long identifier, whole on hover: UUIDv7 begin alike and end apart.

    Args:
        session_id: any identifier.
    Returns:
        An `abbr` element.
    """
    return Markup('<abbr class="id" title="{}">{}</abbr>').format(session_id, escape(session_id[-8:]))


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
