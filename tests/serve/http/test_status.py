"""The status page in a browser, and who may see it and change things through it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from fleetsight.serve.client import Client
from fleetsight.serve.engine.picture import sample_jpeg
from fleetsight.serve.tier.plan import Variant
from tests.serve.http.serving import Running, request_bytes, running
from tests.web.pages.conftest import NARROW, PATIENCE_MS, window

TOKEN = "a-long-token"


def get(service: Running, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return service.talk(request_bytes(path, b"", method="GET", **headers))


def put(service: Running, path: str, told: object, **headers: str) -> int:
    return service.talk(request_bytes(path, json.dumps(told).encode(), method="PUT", **headers))[0]


def two_pools() -> list[Variant]:
    return [Variant("m", "cpu", "sleep:2", usd_per_hour=0.17), Variant("m", "gpu", "sleep:1", usd_per_hour=1.0)]


def test_the_slider_switches(chromium_path: Path) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    with running(*two_pools()) as service, sync_playwright() as driver:
        for _ in range(20):
            assert service.infer(sample_jpeg((64, 48)))[0] == 200
        browser = driver.chromium.launch(executable_path=str(chromium_path), args=["--no-sandbox"])
        with window(browser) as opened:
            page = opened.page
            page.goto(service.url + "/status")
            expect(page.get_by_role("row", name="cpu working 1/1 100 %")).to_be_visible()
            expect(page.get_by_role("row", name="gpu working 1/1 0 %")).to_be_visible()
            expect(page.get_by_text("by cost", exact=True)).to_be_visible()
            slider = page.get_by_role("slider", name="gpu")
            slider.focus()
            slider.press("End")  # by keyboard: to its end
            expect(page.get_by_role("status").first).to_contain_text("In force after")
            expect(page.get_by_role("slider", name="cpu")).to_have_value("0")
            expect(page.get_by_text("m: cpu 0 %, gpu 100 %")).to_be_visible()
            assert service.infer(sample_jpeg((64, 48)))[2]["variant"] == "gpu"
            slider.press("ArrowLeft")
            expect(page.get_by_text("m: cpu 1 %, gpu 99 %")).to_be_visible()
            page.get_by_role("button", name="By cost").click()
            expect(page.get_by_text("m: by cost")).to_be_visible()
            assert service.infer(sample_jpeg((64, 48)))[2]["variant"] == "cpu"
            page.get_by_role("button", name="All to gpu").click()
            expect(slider).to_have_value("100")
            assert opened.complaints == []
        with window(browser, size=NARROW, scheme="dark") as opened:
            opened.page.goto(service.url + "/status")
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
            assert opened.complaints == []
        browser.close()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    with running(*two_pools(), token=TOKEN) as service:
        yield service


def test_the_json_twin_has_what_the_page_has(guarded: Running) -> None:
    status, headers, body = get(guarded, "/status.json", Authorization=f"Bearer {TOKEN}")
    told = json.loads(body)
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert [pool["variant"] for pool in told["models"][0]["pools"]] == ["cpu", "gpu"]
    assert set(told) == {"at_unix_s", "models", "changes", "scalings"}


def test_a_browser_is_asked_for_the_token_and_shows_it_as_a_password(guarded: Running) -> None:
    status, headers, _ = get(guarded, "/status")
    assert (status, headers["www-authenticate"].split(" ")[0]) == (401, "Basic")
    shown = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    status, headers, body = get(guarded, "/status", Authorization=f"Basic {shown}")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"gpu" in body
    for wrong in ("Basic !", "Basic " + base64.b64encode(b"anybody:no").decode(), "Basic " + shown[:-4], "Bearer x"):
        assert get(guarded, "/status", Authorization=wrong)[0] == 401


def test_there_is_nothing_beside_the_page(guarded: Running) -> None:
    for path in ("/status/", "/statusquo", "/status/../secret", "/status/status.html", "/status.xml"):
        assert get(guarded, path, Authorization=f"Bearer {TOKEN}")[0] == 404


def test_a_page_of_somebody_else_changes_nothing(guarded: Running) -> None:
    path, told = "/v1/models/m/split", {"shares": {"cpu": 100}}
    own = {"Host": "serve.example:8350", "Authorization": f"Bearer {TOKEN}"}
    assert put(guarded, path, told, **own, Origin="https://evil.example") == 403
    assert put(guarded, path, told, **own, Origin="null") == 403
    assert put(guarded, path, told, **own, Origin="http://serve.example:8350") == 200


def test_without_a_token_a_name_that_resolves_to_this_machine_is_not_enough() -> None:
    with running(*two_pools()) as service:
        path, told = "/v1/models/m/split", {"shares": None}
        rebound = "http://evil.example:8350"
        assert put(service, path, told, Host=rebound.removeprefix("http://"), Origin=rebound) == 403
        assert put(service, path, told, Host="localhost:8350", Origin="http://localhost:8350") == 200
        with Client(service.url) as client:
            assert client.call("PUT", path, told=told)["split"] is None
