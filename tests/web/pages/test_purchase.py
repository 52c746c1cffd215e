"""A whole purchase on a phone: scan, unlock, take, receipt, "this is wrong"."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.fleet.devices.registry import set_maintenance
from tests.web.pages.conftest import PHONE, served, window
from tests.web.pages.trading import Trading, report, take
from tests.web.world import make_world


@pytest.fixture
def trading(tmp_path: Path) -> Iterator[Trading]:
    world = make_world(tmp_path)
    yield Trading.begin(world, tmp_path)
    world.rows.close()


@pytest.fixture
def url(trading: Trading) -> Iterator[str]:
    with served(trading.world.app) as address:
        yield address


def session_of(page: Page) -> str:
    page.wait_for_url("**/shop/sessions/*")
    return page.url.rsplit("/", 1)[1]


def scan(page: Page, trading: Trading, url: str, *, name: str = "Grace") -> str:
    """Scan the code and unlock as somebody new."""
    page.goto(f"{url}/q?t={trading.company.machine.qr()}")
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Unlock the door").click()
    return session_of(page)


def test_a_stranger_scans_takes_pays_and_contests(browser: Browser, trading: Trading, url: str) -> None:
    with window(browser, size=PHONE) as opened:
        page = opened.page
        session_id = scan(page, trading, url)
        page.get_by_role("heading", name="Unlocking").wait_for()
        trading.acknowledge(session_id)
        page.get_by_role("heading", name="Unlocked. Open the door").wait_for()
        expect(page.get_by_text("Locks again in")).to_be_visible()
        trading.says(session_id, "door_opened")
        page.get_by_role("heading", name="Take what you like").wait_for()
        trading.says(session_id, "door_closed", "locked")
        page.get_by_text("sending its pictures").wait_for()
        trading.seer.report = report(take("brava-light", 2.3, count=2), take("brava-grain", 6.3))
        trading.film(session_id)
        trading.work()
        page.get_by_role("heading", name="Thank you").wait_for()
        expect(page.locator("#total")).to_have_text("7.87\xa0EUR")
        expect(page.get_by_text("2 × 2.49\xa0EUR")).to_be_visible()
        page.get_by_text("see the moment").first.click()
        strip = page.get_by_role("img", name="Frames of this moment").first
        expect(strip).to_be_visible()
        assert strip.evaluate("e => e.decode().then(() => e.naturalWidth)") == 1335
        assert page.locator(".pack img").first.evaluate("e => e.decode().then(() => e.naturalWidth)") == 97
        page.get_by_text("Something is wrong").click()
        page.get_by_label("Brava Light 250 g").check()
        page.get_by_label("The number is wrong").check()
        page.get_by_label("In your words").fill("One of them went back.")
        page.get_by_role("button", name="Send").click()
        page.get_by_role("heading", name="A person looks at it").wait_for()
        expect(page.get_by_text("One of them went back.")).to_be_visible()
        assert opened.complaints == []
        page.goto(f"{url}/shop")
        expect(page.get_by_text("42.13\xa0EUR").first).to_be_visible()
        page.get_by_role("link", name="cooler").click()
        assert session_of(page) == session_id
    session = trading.world.services.sessions.load(session_id)
    assert session is not None
    assert session.state is State.SETTLED
    assert session.contest


def test_the_twin_of_a_receipt_holds_what_the_page_shows(browser: Browser, trading: Trading, url: str) -> None:
    with window(browser, size=PHONE) as opened:
        page = opened.page
        session_id = scan(page, trading, url)
        trading.shop(session_id, report(take("reca-lime", 3.0)))
        page.get_by_role("heading", name="Thank you").wait_for()
        twin = json.loads(page.request.get(f"{url}/shop/sessions/{session_id}.json").body())
        assert twin["stage"] == "receipt"
        assert twin["receipt"]["total"] == {"minor": 354, "currency": "EUR"}
        [line] = twin["receipt"]["lines"]
        assert (line["sku"], line["name"], line["count"]) == ("reca-lime", "Reca Lime 580 g", 1)
        shown = page.locator("#receipt").inner_text()
        assert "Reca Lime 580 g" in shown
        assert twin["receipt"]["number"] in shown
        assert page.request.get(url + line["strips"][0]["url"]).status == 200
        assert page.request.get(f"{url}/shop/sessions/{session_id}/evidence/annotated.mp4").status == 404


def test_who_takes_nothing_pays_nothing(browser: Browser, trading: Trading, url: str) -> None:
    with window(browser, size=PHONE) as opened:
        session_id = scan(opened.page, trading, url)
        trading.shop(session_id, report(decision="release", reason="nothing was taken"))
        opened.page.get_by_role("heading", name="Nothing taken, nothing paid").wait_for()
        assert opened.complaints == []


def test_a_doubtful_session_says_that_a_person_looks(browser: Browser, trading: Trading, url: str) -> None:
    with window(browser, size=PHONE) as opened:
        session_id = scan(opened.page, trading, url)
        trading.shop(
            session_id, report(take("reca-lime", 3.0), decision="review", reason="confidence 0.71 is below 0.9")
        )
        opened.page.get_by_role("heading", name="A person is having a look").wait_for()
        assert opened.complaints == []


def test_an_empty_wallet_keeps_the_door_locked(browser: Browser, trading: Trading, url: str) -> None:
    with window(browser, size=PHONE) as opened:
        page = opened.page
        page.goto(f"{url}/shop")
        page.get_by_label("Your name").fill("Poor")
        page.get_by_role("button", name="Open a wallet").click()
        page.get_by_role("heading", name="Hello Poor").wait_for()
        page.goto(f"{url}/q?t={trading.company.machine.qr()}")
        page.get_by_role("button", name="Unlock the door").click()
        page.get_by_role("heading", name="Your payment was declined").wait_for()
        page.get_by_role("link", name="Open my wallet").click()
        page.get_by_role("button", name="25.00\xa0EUR").click()
        expect(page.locator(".total")).to_have_text("25.00\xa0EUR")
        assert opened.complaints == []


def test_a_door_that_stays_closed_costs_nothing(browser: Browser, trading: Trading, url: str) -> None:
    with window(browser, size=PHONE) as opened:
        session_id = scan(opened.page, trading, url)
        trading.acknowledge(session_id)
        trading.says(session_id, "locked")
        opened.page.get_by_role("heading", name="The door stayed closed").wait_for()
        assert opened.complaints == []


def test_codes_that_open_nothing_say_why(browser: Browser, trading: Trading, url: str) -> None:
    machine, clock = trading.company.machine, trading.world.clock
    with window(browser, size=PHONE) as opened:
        page = opened.page
        page.goto(f"{url}/q?t=nonsense")
        page.get_by_role("heading", name="This is not one of our codes").wait_for()
        old = machine.qr()
        clock.advance(61_000_000_000)
        page.goto(f"{url}/q?t={old}")
        page.get_by_role("heading", name="This code is too old").wait_for()
        page.goto(f"{url}/q?t={machine.qr()}")
        page.get_by_role("heading", name="cooler is offline").wait_for()
        trading.beat()
        with trading.world.rows.transaction() as connection:
            set_maintenance(connection, machine.device, reason="cleaning")
        page.goto(f"{url}/q?t={machine.qr()}")
        page.get_by_role("heading", name="cooler is being looked after").wait_for()
        with trading.world.rows.transaction() as connection:
            set_maintenance(connection, machine.device, reason=None)
        trading.open_session()
        page.goto(f"{url}/q?t={machine.qr()}")
        page.get_by_label("Your name").fill("Late")
        page.get_by_role("button", name="Unlock the door").click()
        page.get_by_role("heading", name="Somebody is shopping here").wait_for()
        assert opened.complaints == []


def test_a_session_of_somebody_else_is_not_there(browser: Browser, trading: Trading, url: str) -> None:
    mine = trading.open_session()
    with window(browser, size=PHONE) as opened:
        page = opened.page
        page.goto(f"{url}/shop/sessions/{mine}")
        page.wait_for_url("**/shop?next=*")
        page.get_by_label("Your name").fill("Eve")
        page.get_by_role("button", name="Open a wallet").click()
        page.get_by_role("heading", name="Hello Eve").wait_for()
        assert page.goto(f"{url}/shop/sessions/{mine}").status == 404  # type: ignore[union-attr]
        page.get_by_role("heading", name="There is nothing here").wait_for()
        assert page.request.get(f"{url}/shop/sessions/{mine}.json").status == 404
        assert page.request.get(f"{url}/shop/sessions/{mine}/picture?sku=reca-lime").status == 404
