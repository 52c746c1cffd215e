"""The clip of a session by mouse and by key."""

from playwright.sync_api import Browser, Page, expect

from tests.web.pages.conftest import window

PATH = "/operator/sessions/settled"


def at_s(page: Page) -> float:
    return float(page.evaluate("() => document.querySelector('video').currentTime"))


def wait_until_s(page: Page, least_s: float, most_s: float) -> None:
    page.wait_for_function(
        "([low, high]) => { const at = document.querySelector('video').currentTime; return at >= low && at <= high }",
        arg=[least_s, most_s],
    )


def test_ticks_seek_to_their_events(browser: Browser, made_up_url: str) -> None:
    with window(browser) as opened:
        page = opened.page
        page.goto(made_up_url + PATH)
        page.get_by_role("button", name="Speed 0.25").click()  # slow, so that a slow machine sees the moment too
        page.get_by_role("button", name="Take Brava Grain 250 g at 6.3 s").click()
        wait_until_s(page, 5.5, 7.5)
        page.get_by_role("button", name="Take Brava Light 250 g at 2.3 s").press("Enter")
        wait_until_s(page, 1.5, 3.5)
        assert opened.complaints == []


def test_keys_step_through_frames_and_events(browser: Browser, made_up_url: str) -> None:
    with window(browser) as opened:
        page = opened.page
        page.goto(made_up_url + PATH)
        page.wait_for_function("() => document.querySelector('video').readyState >= 2")
        page.keyboard.press(".")
        page.keyboard.press(".")
        wait_until_s(page, 0.06, 0.07)
        page.keyboard.press(",")
        wait_until_s(page, 0.03, 0.04)
        page.keyboard.press("s")
        expect(page.get_by_role("button", name="Speed 0.25")).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("n")
        wait_until_s(page, 1.5, 3.5)
        page.keyboard.press("Space")
        page.wait_for_function("() => document.querySelector('video').paused")
        page.keyboard.press("p")
        assert opened.complaints == []


def test_the_position_is_a_slider_that_keys_move(browser: Browser, made_up_url: str) -> None:
    with window(browser) as opened:
        page = opened.page
        page.goto(made_up_url + PATH)
        page.wait_for_function("() => document.querySelector('video').readyState >= 2")
        slider = page.get_by_role("slider", name="Position in the clip")
        slider.evaluate("e => { e.value = 5; e.dispatchEvent(new Event('input')) }")
        wait_until_s(page, 4.99, 5.01)
        assert at_s(page) == 5
