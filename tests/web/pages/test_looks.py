"""Every page in a real browser: no complaints, no sideways scrolling on a narrow phone, names for everything one can use."""

import pytest
from playwright.sync_api import Browser

from tests.web.pages.conftest import DESK, NARROW, window
from tests.web.pages.preview import pages

NAMELESS = """() => [...document.querySelectorAll("button, a[href], input:not([type=hidden]), select, textarea, [role=button]")]
  .filter(e => e.checkVisibility())
  .filter(e => !(e.ariaLabel || e.getAttribute("aria-labelledby") || e.labels?.length || e.textContent.trim()))
  .map(e => e.outerHTML.slice(0, 120))"""
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
PHONE_TARGETS = """() => [...document.querySelectorAll(".phone button, .phone summary, .phone .button, .pick label")]
  .filter(e => e.checkVisibility()).filter(e => e.getBoundingClientRect().height < 40).map(e => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("path", pages())
def test_a_page_is_at_home_on_a_narrow_phone(browser: Browser, made_up_url: str, path: str) -> None:
    with window(browser, size=NARROW, scheme="dark") as opened:
        opened.page.goto(made_up_url + path, wait_until="load")
        opened.page.evaluate("() => document.fonts.ready")
        assert opened.page.evaluate(WIDER) <= 0
        assert opened.page.evaluate(NAMELESS) == []
        assert opened.page.evaluate(PHONE_TARGETS) == []
        assert opened.page.locator("h1").count() == 1
        assert opened.page.locator("main").count() == 1
        assert opened.complaints == []


@pytest.mark.parametrize("path", [path for path in pages() if path.startswith("/operator")])
def test_a_page_of_the_desk_fits_a_desk(browser: Browser, made_up_url: str, path: str) -> None:
    with window(browser, size=DESK) as opened:
        opened.page.goto(made_up_url + path, wait_until="load")
        assert opened.page.evaluate(WIDER) <= 0
        assert opened.complaints == []


def test_the_first_key_leads_past_the_navigation(browser: Browser, made_up_url: str) -> None:
    with window(browser) as opened:
        opened.page.goto(made_up_url + "/operator/fleet")
        opened.page.keyboard.press("Tab")
        assert opened.page.evaluate("() => document.activeElement.textContent") == "Skip to the content"


def test_pages_refresh_by_themselves_and_keep_what_is_open(browser: Browser, made_up_url: str) -> None:
    with window(browser) as opened:
        opened.page.goto(made_up_url + "/shop/open")
        opened.page.evaluate("() => { document.querySelector('#cooler').marked = true }")
        with opened.page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true") as answer:
            pass
        assert "<!doctype" not in answer.value.text()
        opened.page.wait_for_function("() => !document.querySelector('.htmx-request')")
        assert opened.page.evaluate("() => document.querySelector('#cooler').marked") is True
        assert opened.complaints == []


def test_a_lost_connection_is_said_and_taken_back(browser: Browser, made_up_url: str) -> None:
    with window(browser) as opened:
        opened.page.goto(made_up_url + "/shop/open")
        opened.page.context.set_offline(True)
        opened.page.get_by_text("No connection").wait_for(state="visible")
        opened.page.context.set_offline(False)
        opened.page.get_by_text("No connection").wait_for(state="hidden")
        opened.page.get_by_role("heading", name="Take what you like").wait_for()


def test_a_code_that_runs_out_cannot_be_sent(browser: Browser, made_up_url: str) -> None:
    with window(browser) as opened:
        opened.page.clock.install()
        opened.page.goto(made_up_url + "/scan/signed-in")
        assert opened.page.get_by_role("button", name="Unlock the door").is_enabled()
        opened.page.clock.run_for(43_000)
        assert opened.page.get_by_role("button", name="Unlock the door").is_disabled()
        assert opened.page.get_by_text("This code has expired").is_visible()


def test_times_are_told_in_the_zone_of_the_reader(browser: Browser, made_up_url: str) -> None:
    with browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB") as context:
        page = context.new_page()
        page.goto(made_up_url + "/shop/receipt")
        page.get_by_text("21 Nov, 22:03").wait_for()
