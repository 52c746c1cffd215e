"""The page looks like the desk, escapes what it shows, and says numbers as people read them."""

import re
from pathlib import Path

from fleetsight.serve.page.contexts import Change, StatusPage, status_page
from fleetsight.serve.page.faces import FILES, Faces, lasted, ms, short, usd
from fleetsight.serve.queueing.deployment import Deployment
from fleetsight.serve.queueing.request import Answer, Request
from fleetsight.serve.tier.meter import Meter
from fleetsight.serve.tier.router import Router
from tests.serve.queueing.drawn import START_NS, a_lane

DESK_SHEET = Path(__file__).parents[3] / "src/fleetsight/web/static/app.css"


def tokens(sheet: str) -> list[list[tuple[str, str]]]:
    """Of the light scheme, and of the dark."""
    halves = sheet.split("@media (prefers-color-scheme: dark)")[:2]
    return [re.findall(r"--([\w-]+): ([^;]+);", half) for half in halves]


def test_every_colour_is_the_one_of_the_desk() -> None:
    ours = tokens((FILES / "status.css").read_text(encoding="utf-8"))
    desk = tokens(DESK_SHEET.read_text(encoding="utf-8"))
    for mine, theirs in zip(ours, desk, strict=True):
        assert len(mine) > 15
        assert set(mine) <= set(theirs)


def test_the_sheet_uses_no_colour_that_it_does_not_have() -> None:
    sheet = (FILES / "status.css").read_text(encoding="utf-8")
    assert set(re.findall(r"var\(--([\w-]+)\)", sheet)) == {name for name, _ in tokens(sheet)[0]}


def test_what_operators_said_is_escaped() -> None:
    page = StatusPage(0.0, (), (Change(0.0, "m", "reload", "version <script>alert(1)</script>"),), ())
    html = Faces().html(page).decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in FILES.iterdir():
        assert not re.search(r"https?://|@import|//cdn", path.read_text(encoding="utf-8")), path.name


def test_numbers_keep_three_digits_that_count() -> None:
    assert [short(value) for value in (None, 0.0, 0.04567, 12.34, 1234.5)] == ["–", "0", "0.0457", "12.3", "1234"]
    assert [usd(value) for value in (None, 0.0, 12.3, 0.5, 0.00123)] == ["–", "$0.00", "$12.30", "$0.500", "$0.00123"]
    assert [lasted(value) for value in (None, 0.25, 2.0)] == ["–", "250 ms", "2.0 s"]


def test_each_pool_shows_its_own_times() -> None:
    router = Router([Deployment("m", [a_lane("cpu"), a_lane("gpu")])], Meter())
    for variant, seconds in (("cpu", 0.02), ("gpu", 0.005)):
        router.meter.outcome(Request("m", b"", 0), Answer(b"1", variant=variant), seconds=seconds)
    page = status_page(router, now_ns=START_NS)
    html = Faces().html(page).decode()
    for pool in page.models[0].pools:
        assert html.count(f">{ms(pool.p50_ms)}</td>") == 2  # p50 and p99 of a single answer
