"""The desk with a real service behind it: sign in, watch, review by key, refund, and what each role may see."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, Page, expect

from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.review import Contest
from fleetsight.fleet.people import Role
from fleetsight.web.pages.desk_contexts import DevicePage, FleetPage, MoneyPage, ReviewPage, SessionPage, SessionsPage
from tests.web.pages.conftest import Window, served, window
from tests.web.pages.trading import Trading, report, take, unknown
from tests.web.world import make_world

DOUBT = "a product that is not in the catalog was moved (at 8.1 s)"


@pytest.fixture
def trading(tmp_path: Path) -> Iterator[Trading]:
    world = make_world(tmp_path, screens_dir=tmp_path)
    yield Trading.begin(world, tmp_path)
    world.rows.close()


@pytest.fixture
def url(trading: Trading) -> Iterator[str]:
    with served(trading.world.app) as address:
        yield address


@pytest.fixture
def desk(browser: Browser, trading: Trading, url: str) -> Iterator[Window]:
    with window(browser) as opened:
        sign_in(opened.page, trading, url, role=Role.OPERATOR)
        yield opened
        assert opened.complaints == []


def sign_in(page: Page, trading: Trading, url: str, *, role: Role) -> None:
    """By the link that the command line prints: the token stands behind the #."""
    page.goto(f"{url}/operator/sign-in#{trading.company.tokens[role]}")
    page.get_by_role("heading", name="Sessions", exact=True).wait_for()


def doubtful(trading: Trading) -> str:
    """A session that waits for a person."""
    likely = {"brava-vanilla": 0.203}
    seen = report(
        take("brava-light", 2.3),
        take("brava-grain", 6.3, confidence=0.712, others=likely),
        unknown(8.1),
        decision="review",
        reason=DOUBT,
    )
    session = trading.bought(seen)
    assert session.state is State.REVIEW
    return session.id


def state_of(trading: Trading, session_id: str) -> str:
    session = trading.world.services.sessions.load(session_id)
    assert session is not None
    return session.state


def twin(page: Page, url: str, path: str) -> Any:
    answer = page.request.get(f"{url}{path}.json")
    assert answer.status == 200, answer.text()
    return json.loads(answer.body())


def assert_has_the_shape_of(value: Any, context: type) -> None:
    assert is_dataclass(context)
    assert set(value) == {field.name for field in fields(context)}


def test_who_is_not_signed_in_is_asked_to_and_brought_back(browser: Browser, trading: Trading, url: str) -> None:
    with window(browser) as opened:
        page = opened.page
        page.goto(f"{url}/operator/fleet")
        page.get_by_label("Access token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not valid")
        page.get_by_label("Access token").fill(trading.company.tokens[Role.VIEWER])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Fleet").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        page.goto(f"{url}/operator/sessions")
        page.get_by_role("heading", name="Sign in").wait_for()
        assert page.request.get(f"{url}/operator/sessions.json").status == 401
        assert opened.complaints == []


def test_sessions_appear_by_themselves_and_can_be_filtered(desk: Window, trading: Trading, url: str) -> None:
    page = desk.page
    page.get_by_text("No sessions here").wait_for()
    first = trading.bought(report(take("brava-light", 2.3)))
    expect(page.locator(f"#row-{first.id}")).to_contain_text("2.49\xa0EUR")
    waiting = doubtful(trading)
    expect(page.locator(f"#row-{waiting}")).to_contain_text("needs review")
    expect(page.locator(f"#row-{first.id}")).to_contain_text("settled")
    page.get_by_role("link", name="In review").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    listed = twin(page, url, "/operator/sessions")
    assert_has_the_shape_of(listed, SessionsPage)
    assert [row["session_id"] for row in listed["rows"]] == [waiting, first.id]
    assert page.request.get(f"{url}/operator/sessions?cursor=forged").status == 422


def test_a_session_page_tells_the_whole_story(desk: Window, trading: Trading, url: str) -> None:
    session = trading.bought(report(take("brava-light", 2.3, count=2), take("brava-grain", 6.3)))
    page = desk.page
    page.goto(f"{url}/operator/sessions/{session.id}")
    for name in ("Basket", "Decision", "Money", "History", "Seen on the clip"):
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    page.wait_for_function("() => document.querySelector('video').readyState >= 2")
    page.get_by_role("button", name="Take Brava Grain 250 g at 6.3 s").click()
    page.wait_for_function("() => document.querySelector('video').currentTime > 5.5")
    found = twin(page, url, f"/operator/sessions/{session.id}")
    assert_has_the_shape_of(found, SessionPage)
    assert [line["amount"]["minor"] for line in found["facts"]["basket"]] == [289, 498]
    assert [row["kind"] for row in found["money"]] == ["hold", "capture"]
    assert found["history"][0]["event"] == "created"
    assert found["history"][-1]["after"] == "settled"
    shown = page.locator("main").inner_text()
    for text in (
        "7.87\xa0EUR",
        "25.00\xa0EUR",
        "Brava Grain 250 g",
        "confidence 0.968 reaches 0.9".capitalize(),
        "charged",
    ):
        assert text in shown


def test_a_case_is_corrected_by_keyboard_and_the_next_one_loads_itself(
    desk: Window, trading: Trading, url: str
) -> None:
    first, second = doubtful(trading), doubtful(trading)
    page = desk.page
    page.goto(f"{url}/operator/reviews")
    page.locator(f"review-case[data-case='{first}'] [aria-current=true]").wait_for()
    for key in ("2", "c", "1"):  # the second reading of the selected line, correct, wrong product
        page.keyboard.press(key)
    page.locator(f"review-case[data-case='{second}'] [aria-current=true]").wait_for()
    expect(page.get_by_text("last one corrected")).to_be_visible()
    page.keyboard.press("a")
    page.get_by_text("Nothing waits").wait_for()
    trading.work()
    corrected = trading.world.services.sessions.load(first)
    assert corrected is not None
    assert corrected.decision is not None
    assert dict(corrected.decision.basket) == {"brava-light": 1, "brava-vanilla": 1}
    assert corrected.payment.charged_minor == 249 + 259
    assert state_of(trading, second) == State.SETTLED
    page.goto(f"{url}/operator/sessions/{first}")
    expect(page.get_by_text("operator corrected: wrong product")).to_be_visible()
    [kept] = twin(page, url, f"/operator/sessions/{first}")["reviews"]
    assert (kept["action"], kept["reason_code"]) == ("correct", "wrong_product")
    assert kept["seconds"] > 0
    assert_has_the_shape_of(twin(page, url, "/operator/reviews"), ReviewPage)


def test_a_case_that_somebody_decided_meanwhile_is_refused_with_the_reason(
    desk: Window, trading: Trading, url: str
) -> None:
    session_id = doubtful(trading)
    page = desk.page
    page.goto(f"{url}/operator/reviews?session={session_id}")
    page.locator("review-case [aria-current=true]").wait_for()
    sent: dict[str, str | float | bool] = {
        "session_id": session_id,
        "version": "999",
        "action": "accept",
        "seconds": "3",
    }
    answer = page.request.post(f"{url}/operator/reviews", form=sent, headers={"Origin": url})
    assert "the case changed since it was shown" in answer.text()
    page.keyboard.press("w")
    page.keyboard.press("3")
    page.get_by_text("Nothing waits").wait_for()
    trading.work()
    assert state_of(trading, session_id) == State.RELEASED


def test_a_contested_receipt_is_refunded_in_part(desk: Window, trading: Trading, url: str) -> None:
    session = trading.bought(report(take("brava-light", 2.3, count=2)))
    complaint = Contest(
        session.tenant_id, session.id, session.shopper_id, "c-1", ("brava-light",), "wrong_count", "Only one!"
    )
    trading.world.services.reviews.contest(complaint)
    page = desk.page
    page.goto(f"{url}/operator/sessions/{session.id}")
    expect(page.get_by_text("Only one!").first).to_be_visible()
    expect(page.get_by_role("link", name="Decide")).to_be_visible()
    page.get_by_label("Give back").fill("99")
    page.get_by_role("button", name="Refund").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was given back")
    page.get_by_label("Give back").fill("2,49")
    page.get_by_label("Reason").select_option("wrong_count")
    page.get_by_role("button", name="Refund").click()
    trading.work()
    expect(page.get_by_text("partly refunded")).to_be_visible()
    expect(page.locator("#refundable")).to_have_text("At most 2.49\xa0EUR.")
    after = trading.world.services.sessions.load(session.id)
    assert after is not None
    assert after.payment.refunded_minor == 249


def test_a_receipt_that_was_right_stays_and_the_shopper_is_told(desk: Window, trading: Trading, url: str) -> None:
    session = trading.bought(report(take("brava-light", 2.3)))
    complaint = Contest(session.tenant_id, session.id, session.shopper_id, "c-1", (), "other", "Hm.")
    trading.world.services.reviews.contest(complaint)
    page = desk.page
    page.goto(f"{url}/operator/reviews")
    page.get_by_text("The shopper says that it is wrong").wait_for()
    page.keyboard.press("a")
    page.get_by_text("Nothing waits").wait_for()
    token = {"name": "fs_shopper", "value": trading.company.shopper_token, "url": url}
    page.context.add_cookies([cast(Any, token)])
    page.goto(f"{url}/shop/sessions/{session.id}")
    expect(page.get_by_text("The receipt was right")).to_be_visible()


def test_forms_work_without_scripts(browser: Browser, trading: Trading, url: str) -> None:
    session_id = doubtful(trading)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{url}/operator/sign-in?next=/operator/reviews")
        page.get_by_label("Access token").fill(trading.company.tokens[Role.REVIEWER])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Number of Brava Light").fill("2")
        page.get_by_label("Reason").select_option("wrong_count")
        page.get_by_role("button", name="Correct").click()
        page.get_by_role("heading", name="Nothing waits").wait_for()
    trading.work()
    session = trading.world.services.sessions.load(session_id)
    assert session is not None
    assert session.payment.charged_minor == 2 * 249 + 289


def test_fleet_device_and_money_show_what_the_twins_hold(desk: Window, trading: Trading, url: str) -> None:
    session = trading.bought(report(take("brava-light", 2.3)))
    doubtful(trading)
    device = trading.company.machine.device
    screen = {"url": f"{url}/q?t=shown", "expires_ns": trading.world.clock.now_ns() + 30_000_000_000}
    screens = trading.world.services.screens_dir
    assert screens is not None
    (screens / f"{device.device_id}.json").write_text(json.dumps(screen))
    page = desk.page
    page.goto(f"{url}/operator/fleet")
    expect(page.locator(f"#device-{device.device_id}")).to_contain_text("online")
    fleet = twin(page, url, "/operator/fleet")
    assert_has_the_shape_of(fleet, FleetPage)
    assert (fleet["sessions"], fleet["reviews"], fleet["revenue"]) == (2, 1, [{"minor": 249, "currency": "EUR"}])
    assert fleet["rows"][0]["automatic"] == 1.0
    page.get_by_role("link", name="cooler").click()
    page.get_by_role("heading", name="On its screen").wait_for()
    assert page.locator(".qr svg").is_visible()
    shown = twin(page, url, f"/operator/devices/{device.device_id}")
    assert_has_the_shape_of(shown, DevicePage)
    assert shown["screen"]["url"] == screen["url"]
    page.get_by_role("link", name="Money").click()
    page.get_by_text("The books balance").wait_for()
    money = twin(page, url, "/operator/money")
    assert_has_the_shape_of(money, MoneyPage)
    assert money["captured"] == [{"minor": 249, "currency": "EUR"}]
    assert [hold["amount"]["minor"] for hold in money["holds"]] == [2500]
    assert money["faults"] == []
    assert session.id in {row["session_id"] for row in money["operations"]}


def test_each_role_sees_what_it_may_and_nothing_else(browser: Browser, trading: Trading, url: str) -> None:
    session_id = doubtful(trading)
    allowed = {
        "/operator/sessions": Role.VIEWER,
        f"/operator/sessions/{session_id}": Role.VIEWER,
        "/operator/fleet": Role.VIEWER,
        "/operator/reviews": Role.REVIEWER,
        "/operator/money": Role.OPERATOR,
    }
    for role in (Role.VIEWER, Role.REVIEWER, Role.OPERATOR):
        with window(browser) as opened:
            sign_in(opened.page, trading, url, role=role)
            for path, least in allowed.items():
                for face in (path, f"{path}.json"):
                    assert opened.page.request.get(url + face).status == (200 if role >= least else 404), (role, face)
            expect(opened.page.get_by_role("link", name="Money")).to_have_count(1 if role >= Role.OPERATOR else 0)
            refunded = opened.page.request.post(
                f"{url}/operator/sessions/{session_id}/refunds", form={"amount": "1"}, headers={"Origin": url}
            )
            assert (refunded.status == 404) is (role < Role.OPERATOR)


def test_another_company_sees_nothing_of_it(browser: Browser, trading: Trading, url: str, tmp_path: Path) -> None:
    session_id = doubtful(trading)
    other = Trading.begin(trading.world, tmp_path / "other")
    with window(browser) as opened:
        sign_in(opened.page, other, url, role=Role.ADMIN)
        asked = opened.page.request
        device_id = trading.company.machine.device.device_id
        for path in (
            f"/operator/sessions/{session_id}",
            f"/operator/sessions/{session_id}.json",
            f"/operator/sessions/{session_id}/picture?sku=reca-lime",
            f"/operator/reviews?session={session_id}",
            f"/operator/devices/{device_id}",
        ):
            assert asked.get(url + path).status == 404, path
        sent: dict[str, str | float | bool] = {
            "session_id": session_id,
            "version": "1",
            "action": "accept",
            "seconds": "1",
        }
        assert asked.post(f"{url}/operator/reviews", form=sent, headers={"Origin": url}).status == 404
        opened.page.goto(f"{url}/operator/reviews")
        opened.page.get_by_text("Nothing waits").wait_for()


def test_a_form_of_another_site_is_refused(browser: Browser, trading: Trading, url: str) -> None:
    with window(browser) as opened:
        sign_in(opened.page, trading, url, role=Role.ADMIN)
        for headers in ({"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}, {}):
            answer = opened.page.request.post(f"{url}/operator/sign-out", form={}, headers=headers)
            assert answer.status == 403
        opened.page.goto(f"{url}/operator/sessions")
        opened.page.get_by_role("heading", name="Sessions", exact=True).wait_for()
