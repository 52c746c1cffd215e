"""Browsers sign in with a cookie that scripts cannot read, and write with it from our own pages alone."""

from http.cookies import SimpleCookie

import httpx
import pytest

from fleetsight.clock import SECOND_NS
from fleetsight.fleet.people import PAGE_SIGN_IN_S, Role
from tests.web.world import Company, World

HERE = {"Sec-Fetch-Site": "same-origin"}
FLEET, SITES = "/v1/operator/fleet", "/v1/operator/sites"


def sign_in(world: World, token: str, who: str = "operator", **headers: str) -> httpx.Response:
    return world.ask("POST", f"/v1/{who}/sign-in", json={"token": token}, headers=headers)


def cookie_of(answer: httpx.Response) -> dict[str, str]:
    jar: SimpleCookie = SimpleCookie(answer.headers["set-cookie"])
    return {name: morsel.value for name, morsel in jar.items()}


def test_a_person_signs_in_looks_writes_and_signs_out(world: World, company: Company) -> None:
    answer = sign_in(world, company.tokens[Role.OPERATOR])
    assert answer.json() == {"name": "operator", "role": "operator"}
    header = answer.headers["set-cookie"]
    assert "HttpOnly" in header
    assert "SameSite=lax" in header
    assert "Secure" not in header
    cookies = cookie_of(answer)
    assert company.tokens[Role.OPERATOR] not in header
    assert world.ask("GET", FLEET, cookies=cookies).status_code == 200
    assert world.ask("POST", SITES, json={"name": "a"}, cookies=cookies, headers=HERE).status_code == 201
    out = world.ask("POST", "/v1/operator/sign-out", cookies=cookies, headers=HERE)
    assert out.json() == {"signed_out": True}
    assert world.ask("GET", FLEET, cookies=cookies).status_code == 401
    assert world.as_holder(company.tokens[Role.OPERATOR], "GET", FLEET).status_code == 200


def test_a_sign_in_ends_after_a_working_day(world: World, company: Company) -> None:
    cookies = cookie_of(sign_in(world, company.tokens[Role.VIEWER]))
    world.clock.advance(PAGE_SIGN_IN_S * SECOND_NS - 1)
    assert world.ask("GET", FLEET, cookies=cookies).status_code == 200
    world.clock.advance(1)
    assert world.ask("GET", FLEET, cookies=cookies).status_code == 401


def test_over_https_the_cookie_is_for_https_alone(world: World, company: Company) -> None:
    world.change(base_url="https://shop.example")
    assert "Secure" in sign_in(world, company.tokens[Role.VIEWER]).headers["set-cookie"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_write_with_a_cookie_from_elsewhere_is_refused(
    world: World, company: Company, headers: dict[str, str]
) -> None:
    cookies = cookie_of(sign_in(world, company.tokens[Role.ADMIN]))
    answer = world.ask("POST", SITES, json={"name": "a"}, cookies=cookies, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert world.ask("GET", FLEET, cookies=cookies, headers=headers).status_code == 200


def test_a_bearer_token_needs_no_origin_and_outranks_the_cookie(world: World, company: Company) -> None:
    cookies = cookie_of(sign_in(world, company.tokens[Role.ADMIN]))
    headers = {"Authorization": f"Bearer {company.tokens[Role.OPERATOR]}"}
    assert world.ask("POST", SITES, json={"name": "a"}, headers=headers, cookies=cookies).status_code == 201
    wrong = {"Authorization": "Bearer fs_wrong"}
    assert world.ask("GET", FLEET, headers=wrong, cookies=cookies).status_code == 401


def test_a_shopper_signs_in_and_is_no_operator(world: World, company: Company) -> None:
    answer = sign_in(world, company.shopper_token, "shopper")
    assert answer.json() == {"name": "Ada", "role": "shopper"}
    cookies = cookie_of(answer)
    assert list(cookies) == ["fs_shopper"]
    assert world.ask("GET", "/v1/shopper/sessions/x", cookies=cookies).status_code == 404
    assert world.ask("GET", FLEET, cookies=cookies).status_code == 401
    assert world.ask("POST", "/v1/shopper/sign-out", cookies=cookies, headers=HERE).status_code == 200
    assert world.ask("GET", "/v1/shopper/sessions/x", cookies=cookies).status_code == 401


def test_nobody_signs_in_with_what_is_no_token_or_from_another_site(world: World, company: Company) -> None:
    for token in ("x", "fs_" + "a" * 43, company.shopper_token):
        assert sign_in(world, token).status_code == 401
    assert sign_in(world, company.tokens[Role.ADMIN], "shopper").status_code == 401
    elsewhere = sign_in(world, company.tokens[Role.ADMIN], **{"Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 403
