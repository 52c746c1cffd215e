"""The demo's page: complete, escaped, and pointing at files beside it."""

import re
from dataclasses import replace

from fleetsight.apps.cooler.events import Event, Kind
from fleetsight.apps.cooler.show.page import COLOURS, render_page
from tests.apps.cooler.show.settled import shown, take


def test_every_event_stands_on_the_timeline_and_has_its_evidence() -> None:
    item = shown([take("cola", at_s=2.0), take("water", count=2, at_s=4.5)], true={"cola": 1, "water": 2})
    page = render_page([item])
    ticks = re.findall(r'class="tick" data-at="([\d.]+)"><rect', page)
    assert ticks == ["2.00", "4.50"]
    assert page.count("<details") == 2
    assert "2 × water" in page
    assert re.findall(r'<img [^>]*src="([^"]+)"', page) == ["basic-1/event_0_take.png"]
    assert '<video src="basic-1/annotated.mp4"' in page


def test_the_receipt_marks_what_differs_from_the_truth() -> None:
    right, wrong = shown([take("cola")], true={"cola": 1}), shown([take("cola")], true={"water": 1})
    assert 'class="off"' not in render_page([right])
    assert render_page([wrong]).count('<tr class="off">') == 2


def test_the_receipt_adds_up() -> None:
    page = render_page([shown([take("cola", count=2), take("water")], true={"cola": 2, "water": 1})])
    assert re.findall(r"class=n>([\d.]+) EUR<", page) == ["3.00", "1.50", "4.50"]


def test_the_head_counts_exact_baskets() -> None:
    right, wrong = shown([take("cola")], true={"cola": 1}), shown([take("cola")], true={"water": 1})
    assert "1 baskets exact" in render_page([right, wrong])


def test_names_of_a_catalog_cannot_bring_markup_into_the_page() -> None:
    evil = "<script>alert('x')</script>&\""
    item = shown([take(evil)], true={evil: 1}, names={evil: evil})
    item = replace(
        item,
        settlement=replace(item.settlement, reason=evil),
        outcome=replace(item.outcome, scenario=evil),
        folder=evil,
        truth=((evil, 1.0),),
    )
    page = render_page([item])
    assert "alert('x')" not in page
    assert page.count("<script>") == 1
    assert "<b>" not in page.replace("<summary><b>", "")


def test_a_session_without_events_has_a_receipt_that_says_so() -> None:
    assert "Nothing was taken." in render_page([shown([], true={})])


def test_an_event_outside_of_the_clip_stays_on_the_timeline() -> None:
    page = render_page([shown([take("cola", at_s=99.0)], true={})])
    assert all(0.0 <= float(x) <= 640.0 for x in re.findall(r'cx="([-\d.]+)"', page))


def test_every_kind_of_event_has_a_colour_and_can_be_shown() -> None:
    assert set(COLOURS) == set(Kind)
    events = [Event(kind, None, 1, at_s=1.0, window_s=(0.5, 1.5), confidence=0.5, rule="row_step") for kind in Kind]
    page = render_page([shown(events, true={})])
    assert page.count("not in catalog") == len(events)
    assert "None" not in render_page([shown([take("cola")], true={})]).replace("Alternatives: none", "")
