"""A review by keyboard: what is sent when a person accepts, corrects and waives."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.pages.conftest import Window, window
from tests.web.pages.preview import Preview


@pytest.fixture
def desk(browser: Browser, made_up_url: str, made_up: Preview) -> Iterator[Window]:
    made_up.posted.clear()
    with window(browser) as opened:
        opened.page.goto(made_up_url + "/operator/reviews")
        opened.page.locator("review-case [aria-current=true]").wait_for()
        yield opened
        assert opened.complaints == []


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def sent(page: Page, made_up: Preview) -> dict[str, str]:
    """The fields of the one decision, with the basket as `sku`; the next case has taken its place."""
    page.get_by_text("Nothing waits").wait_for()
    [(path, fields)] = made_up.posted
    assert path == "/operator/reviews"
    plain = {name: value for name, value in fields if name not in ("sku", "count")}
    skus = [value for name, value in fields if name == "sku"]
    counts = [value for name, value in fields if name == "count"]
    return plain | dict(zip(skus, counts, strict=True))


def test_accepting_takes_one_key(desk: Window, made_up: Preview) -> None:
    press(desk.page, "a")
    fields = sent(desk.page, made_up)
    assert (fields["action"], fields["reason_code"], fields["version"]) == ("accept", "as_proposed", "9")
    assert (fields["brava-grain"], fields["brava-light"]) == ("1", "1")
    assert float(fields["seconds"]) > 0


def test_a_count_is_corrected_with_a_reason(desk: Window, made_up: Preview) -> None:
    press(desk.page, "ArrowDown", "+", "+", "-", "c", "2")
    fields = sent(desk.page, made_up)
    assert (fields["action"], fields["reason_code"]) == ("correct", "wrong_count")
    assert (fields["brava-grain"], fields["brava-light"]) == ("1", "2")


def test_a_product_is_swapped_for_its_second_reading(desk: Window, made_up: Preview) -> None:
    press(desk.page, "2")
    expect(desk.page.locator("[data-total]")).to_have_text("5.08 EUR")
    press(desk.page, "c", "1")
    fields = sent(desk.page, made_up)
    assert (fields["brava-grain"], fields["brava-vanilla"], fields["brava-light"]) == ("0", "1", "1")
    assert fields["reason_code"] == "wrong_product"


def test_a_missing_product_is_found_by_typing(desk: Window, made_up: Preview) -> None:
    press(desk.page, "/")
    desk.page.keyboard.type("reca li")
    expect(desk.page.get_by_role("option")).to_have_count(1)
    press(desk.page, "Enter", "Escape", "c", "3")
    fields = sent(desk.page, made_up)
    assert fields["reca-lime"] == "1"
    assert fields["reason_code"] == "missed_take"


def test_waiving_asks_why(desk: Window, made_up: Preview) -> None:
    press(desk.page, "w")
    expect(desk.page.get_by_text("Why waive")).to_be_visible()
    press(desk.page, "Escape")
    expect(desk.page.get_by_text("Why waive")).to_be_hidden()
    assert made_up.posted == []
    press(desk.page, "w", "1")
    fields = sent(desk.page, made_up)
    assert (fields["action"], fields["reason_code"]) == ("waive", "no_evidence")


def test_accepting_a_changed_basket_is_a_correction(desk: Window, made_up: Preview) -> None:
    press(desk.page, "-", "a")
    expect(desk.page.get_by_text("Why correct")).to_be_visible()
    desk.page.get_by_role("button", name="Missed a put-back").click()
    fields = sent(desk.page, made_up)
    assert (fields["action"], fields["reason_code"], fields["brava-grain"]) == ("correct", "missed_put_back", "0")


def test_the_same_is_done_by_mouse(desk: Window, made_up: Preview) -> None:
    desk.page.get_by_role("button", name="One more").nth(1).click()
    desk.page.get_by_role("button", name="Correct").click()
    desk.page.get_by_role("button", name="Wrong count").click()
    assert sent(desk.page, made_up)["brava-light"] == "2"


def test_the_next_case_loads_itself(browser: Browser, made_up_url: str) -> None:
    with window(browser) as opened:
        opened.page.goto(made_up_url + "/operator/reviews/empty")
        opened.page.get_by_role("heading", name="Atrium 2").wait_for()  # the inbox asks /operator/reviews every 3 s
        opened.page.locator("review-case [aria-current=true]").wait_for()
        assert opened.complaints == []


def test_a_hostile_product_name_stays_text_when_it_is_added(browser: Browser, made_up_url: str) -> None:
    with window(browser) as opened:
        opened.page.goto(made_up_url + "/operator/reviews/hostile")
        opened.page.locator("review-case [aria-current=true]").wait_for()
        press(opened.page, "/")
        opened.page.keyboard.type("xylo")
        expect(opened.page.get_by_role("option")).to_have_count(1)
        press(opened.page, "Enter")
        expect(opened.page.locator(".edit[aria-current=true] .line-name")).to_contain_text("<b class=owned")
        expect(opened.page.locator(".owned")).to_have_count(0)
        assert opened.complaints == []
