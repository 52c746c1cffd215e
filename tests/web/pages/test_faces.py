"""Templates and their filters: what is shown, and that nothing from outside is ever markup."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from html import unescape

import pytest
from markupsafe import Markup

from fleetsight.money import Money
from fleetsight.web.pages.contexts import PageContext, ScanState
from fleetsight.web.pages.faces import (
    STATIC,
    Chrome,
    Faces,
    ago,
    as_json,
    asset_urls,
    lasted,
    moment,
    money,
    qr_picture,
    share,
)
from tests.web.pages import made_up as m
from tests.web.pages.preview import pages

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
CHROME = Chrome("/here", "Mara", "reviewer", "Corner Coolers", 3)


@pytest.fixture(scope="module")
def faces() -> Faces:
    return Faces()


def text_of(page: str) -> str:
    return " ".join(unescape(Markup(page).striptags()).split())


@pytest.mark.parametrize("path", pages())
def test_every_page_shows_in_every_state(faces: Faces, path: str) -> None:
    page = faces.html(pages()[path], chrome=CHROME)
    assert page.startswith("<!doctype html>")
    assert "style=" not in page
    assert "<script>" not in page
    assert " onclick" not in page


@pytest.mark.parametrize(
    "path", [path for path, page in pages().items() if "hx-get" in Faces().html(page, chrome=CHROME)]
)
def test_the_part_that_refreshes_stands_in_the_page_as_it_is(faces: Faces, path: str) -> None:
    context = pages()[path]
    part = faces.html(context, chrome=CHROME, fragment=True)
    assert part.strip() in faces.html(context, chrome=CHROME)
    assert part.count('id="live"') == 1


def spoiled(value: object) -> object:
    """The same value with every text hostile; enumerations and addresses stay what the code makes them."""
    if type(value) is str:
        return value if value.startswith(("/", "http")) else HOSTILE
    if isinstance(value, tuple):
        return tuple(spoiled(part) for part in value)
    if is_dataclass(value) and not isinstance(value, type | Money):
        return replace(value, **{field.name: spoiled(getattr(value, field.name)) for field in fields(value)})
    return value


@pytest.mark.parametrize("path", pages())
def test_hostile_names_stay_text_wherever_they_stand(faces: Faces, path: str) -> None:
    context = spoiled(pages()[path])
    assert isinstance(context, PageContext)
    page = faces.html(context, chrome=Chrome("/here", HOSTILE, HOSTILE, HOSTILE))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert HOSTILE not in page
    assert "&lt;script&gt;alert" in page


def money_in(value: object) -> Iterator[Money]:
    if isinstance(value, Money):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from money_in(getattr(value, field.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from money_in(part)


def test_the_twin_holds_what_the_context_holds() -> None:
    twin = json.loads(json.dumps(as_json(m.DETAIL)))
    assert twin["facts"]["row"]["total"] == {"minor": 787, "currency": "EUR"}
    assert twin["facts"]["basket"][1]["name"] == "Brava Light 250 g"
    assert twin["facts"]["basket"][1]["contested"] is True
    assert twin["history"][0]["at_ns"] == m.HISTORY[0].at_ns
    assert as_json(m.scan(ScanState.BUSY))["state"] == "busy"


@pytest.mark.parametrize(
    "path", ["/shop/receipt", "/operator/sessions", "/operator/money", "/operator/sessions/settled"]
)
def test_every_amount_of_the_twin_stands_on_the_page(faces: Faces, path: str) -> None:
    context = pages()[path]
    shown = text_of(faces.html(context, chrome=CHROME)).replace("\xa0", " ")
    for amount in money_in(context):
        assert amount.minor == 0 or str(amount) in shown


def test_amounts_keep_number_and_currency_together() -> None:
    assert text_of(money(Money(-498, "EUR"))) == "−4.98 EUR"
    assert text_of(money(Money(250, "JPY"))) == "250 JPY"
    assert " " not in Markup(money(Money(498, "EUR"))).striptags().replace("\xa0", "")


@pytest.mark.parametrize(
    ("value", "words"), [(None, "–"), (0.0, "0 %"), (0.0096, "0.9 %"), (0.999, "99 %"), (1.0, "100 %"), (0.29, "29 %")]
)
def test_shares_are_cut_and_never_rounded_up(value: float | None, words: str) -> None:
    assert share(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.84, "0.8 s"), (9.96, "10 s"), (89, "89 s"), (90, "2 min"), (7200, "2 h"), (400_000, "5 d")],
)
def test_durations_use_the_largest_unit_that_says_enough(seconds: float | None, words: str) -> None:
    assert lasted(seconds) == words


def test_moments_are_told_by_distance_and_by_clock() -> None:
    assert text_of(ago(m.NOW_NS - 3 * m.S, m.NOW_NS)) == "3 s ago"
    assert text_of(ago(m.NOW_NS + 600 * m.S, m.NOW_NS)) == "in 10 min"
    assert text_of(ago(None, m.NOW_NS)) == "–"
    assert 'datetime="2026-11-21T' in moment(m.NOW_NS)
    assert text_of(moment(m.NOW_NS, "date")) == "21 Nov 2026"


def test_codes_become_pictures_that_scale() -> None:
    picture = qr_picture("http://127.0.0.1/q?t=a")
    assert picture.startswith("<svg")
    assert "viewBox" in picture
    assert "width=" not in picture


def test_addresses_of_files_change_with_their_bytes() -> None:
    addresses = asset_urls(STATIC)
    assert addresses["app.css"].startswith("/static/app.css?v=")
    assert {"vendor/htmx.min.js", "vendor/htmx.LICENSE.txt", "vendor/inter.LICENSE.txt"} <= set(addresses)
