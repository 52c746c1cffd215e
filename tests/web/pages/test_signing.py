"""Signing in without a browser: where one may be sent, and what parts of pages get when the sign-in has ended."""

from pathlib import Path

import pytest

from fleetsight.fleet.people import Role
from tests.web.world import Company, World

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://service.test", "Accept": "text/html"}


def sign_in(world: World, token: str, to: str = "/operator/fleet") -> str:
    answer = world.ask("POST", "/operator/sign-in", data={"token": token, "to": to}, headers=FORM)
    return str(answer.headers.get("location", ""))


@pytest.mark.parametrize(
    "to",
    [
        "",
        "https://evil.test",
        "//evil.test/operator/x",
        "/\\evil.test",
        "/operator/\\evil.test",
        "/shop",
        "javascript:alert(1)",
    ],
)
def test_one_is_sent_to_pages_of_the_desk_alone(world: World, company: Company, to: str) -> None:
    assert sign_in(world, company.tokens[Role.VIEWER], to) == "/operator/sessions"


def test_one_is_brought_back_with_the_query(world: World, company: Company) -> None:
    assert (
        sign_in(world, company.tokens[Role.VIEWER], "/operator/sessions?show=review")
        == "/operator/sessions?show=review"
    )


def test_a_shoppers_token_opens_no_desk(world: World, company: Company) -> None:
    assert sign_in(world, company.shopper_token) == ""


def test_a_cookie_is_for_scripts_and_other_sites_out_of_reach(world: World, company: Company) -> None:
    body = {"token": company.tokens[Role.VIEWER], "to": ""}
    cookie = world.ask("POST", "/operator/sign-in", data=body, headers=FORM).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert company.tokens[Role.VIEWER] not in cookie


@pytest.mark.parametrize(("path", "to"), [("/operator/sessions", "/operator/sign-in"), ("/shop/sessions/x", "/shop")])
def test_a_part_that_refreshes_itself_sends_the_whole_window_to_sign_in(world: World, path: str, to: str) -> None:
    first = world.ask("GET", path, headers={"HX-Request": "true", "Accept": "text/html"})
    assert first.status_code == 303
    second = world.ask("GET", first.headers["location"], headers={"HX-Request": "true", "Accept": "text/html"})
    assert second.headers["hx-redirect"].startswith(to)
    assert second.content == b""


def test_strangers_open_no_account_where_that_is_not_wanted(tmp_path: Path) -> None:
    from tests.web.world import make_world

    world = make_world(tmp_path, open_signup=False)
    world.company()
    assert "Open a wallet" not in world.ask("GET", "/shop", headers={"Accept": "text/html"}).text
    assert world.ask("POST", "/shop/sign-up", data={"name": "Eve"}, headers=FORM).status_code == 404
    world.rows.close()


def test_pages_carry_the_policy_that_forbids_everything_from_elsewhere(world: World) -> None:
    answer = world.ask("GET", "/shop", headers={"Accept": "text/html"})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"


def test_programs_get_problems_and_people_get_pages(world: World) -> None:
    people = world.ask("GET", "/nothing", headers={"Accept": "text/html"})
    assert people.headers["content-type"].startswith("text/html")
    assert "There is nothing here" in people.text
    assert world.ask("GET", "/nothing").headers["content-type"] == "application/problem+json"
    assert world.ask("GET", "/operator/fleet.json", headers={"Accept": "text/html"}).status_code == 401


@pytest.mark.parametrize("body", [b"name=%00", b"name=" + b"x" * 100, b"name=a&" * 500])
def test_forms_that_nobody_filled_in_are_refused(world: World, company: Company, body: bytes) -> None:
    answer = world.ask("POST", "/shop/sign-up", content=body, headers=FORM)
    assert 400 <= answer.status_code < 500


def test_files_of_pages_may_be_kept_for_ever(world: World) -> None:
    with_digest = world.ask("GET", "/static/app.css?v=abc")
    assert "immutable" in with_digest.headers["cache-control"]
    assert world.ask("GET", "/static/app.css").headers["cache-control"] == "no-cache"
    assert world.ask("GET", "/static/../pages/views.py").status_code == 404


def test_texts_travel_packed_to_those_who_take_it(world: World) -> None:
    packed = world.ask("GET", "/static/app.css", headers={"Accept-Encoding": "gzip"})
    plain = world.ask("GET", "/static/app.css", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    again = world.ask("GET", "/static/app.css", headers={"If-None-Match": plain.headers["etag"]})
    assert again.status_code == 304
