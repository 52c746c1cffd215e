"""Every operation of the API, called by everybody who may not: all are refused, and alike.

The list of operations comes from the app's own description. An operation without a recipe here fails the test that counts them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute

from fleetsight.apps.cooler.session.tables import EVIDENCE
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.people import Role, person_token
from fleetsight.fleet.shoppers import shopper_token
from fleetsight.web.gate.guarded import GuardedRoute
from fleetsight.web.gate.principal import Access
from tests.fleet.machine import Machine, enrolled
from tests.web.world import Company, World, heartbeat, make_world, sha256, tar_of

UNGUARDED = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
DATA = b"a segment of video"
JSON, TAR, BYTES = "application/json", "application/x-tar", "application/octet-stream"


@dataclass(frozen=True)
class Place:
    """What the company that owns everything has."""

    world: World
    company: Company
    session_id: str
    upload_id: str
    neighbour: Machine

    def path(self, template: str) -> str:
        here = self.company.machine.device
        values = {
            "session_id": self.session_id,
            "device_id": here.device_id,
            "site_id": here.site_id,
            "upload_id": self.upload_id,
            "seq": "1",
            "name": "strip.jpg",
        }
        return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)


@dataclass(frozen=True)
class Recipe:
    """A request that its owner may make."""

    json: Any = None
    content: bytes | None = None
    media: str = JSON
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def recipe_of(place: Place, operation: tuple[str, str]) -> Recipe:
    """The request of each operation; a KeyError means that a new operation needs one."""
    now_ns, here = place.world.clock.now_ns(), place.company.machine.device
    none = Recipe()
    event = {"seq": 1, "kind": "camera_back", "at_ns": now_ns, "session_id": None}
    segment = {"index": 0, "sha256": sha256(DATA), "length": len(DATA), "pts_start_ns": 0, "pts_end_ns": 1}
    manifest = {"opened_ns": 1, "closed_ns": 2, "cameras": [{"camera": "top", "segments": [segment]}]}
    announced = {
        "session_id": place.session_id,
        "camera": "top",
        "index": 0,
        "sha256": sha256(DATA),
        "length": len(DATA),
    }
    price = {"sku": "cola", "gross_minor": 1, "tax_rate_bp": 0}
    recipes = {
        ("post", "/v1/device/keys"): Recipe({"public_key_b64": "A" * 44}),
        ("post", "/v1/device/heartbeat"): Recipe(heartbeat(place.company.machine)),
        ("get", "/v1/device/commands"): Recipe(query="?after=0"),
        ("post", "/v1/device/commands/{seq}/ack"): Recipe({"boot_id": "b", "at_ns": 1, "result": "unlocked"}),
        ("post", "/v1/device/events"): Recipe({"boot_id": "b", "events": [event]}),
        ("put", "/v1/device/sessions/{session_id}/manifest"): Recipe({"boot_id": "b"} | manifest),
        ("post", "/v1/device/uploads"): Recipe(announced),
        ("patch", "/v1/device/uploads/{upload_id}"): Recipe(
            content=DATA, media=BYTES, headers=(("Upload-Offset", "0"),)
        ),
        ("get", "/v1/device/uploads/{upload_id}"): none,
        ("post", "/v1/shopper/top-ups"): Recipe({"amount_minor": 100, "currency": "EUR"}),
        ("post", "/v1/shopper/sessions"): Recipe({"qr_token": place.company.machine.qr()}),
        ("get", "/v1/shopper/sessions/{session_id}"): none,
        ("get", "/v1/shopper/sessions/{session_id}/receipt"): none,
        ("post", "/v1/shopper/sessions/{session_id}/contest"): Recipe({"lines": ["cola"], "reason": "not_taken"}),
        ("post", "/v1/shopper/sign-out"): none,
        ("get", "/v1/operator/sessions"): none,
        ("get", "/v1/operator/sessions/{session_id}"): none,
        ("get", "/v1/operator/sessions/{session_id}/evidence/{name}"): none,
        ("get", "/v1/operator/reviews/next"): none,
        ("post", "/v1/operator/sessions/{session_id}/decision"): Recipe(
            {"version": 0, "action": "waive", "reason_code": "goodwill"}
        ),
        ("post", "/v1/operator/sessions/{session_id}/refunds"): Recipe(
            {"amount_minor": 1, "currency": "EUR", "reason_code": "goodwill"}
        ),
        ("get", "/v1/operator/fleet"): none,
        ("get", "/v1/operator/money"): none,
        ("post", "/v1/operator/sites"): Recipe({"name": "a site"}),
        ("put", "/v1/operator/sites/{site_id}/prices"): Recipe(
            {"currency": "EUR", "valid_from_ns": now_ns, "entries": [price]}
        ),
        ("post", "/v1/operator/devices"): Recipe({"name": "a device", "site_id": here.site_id}),
        ("post", "/v1/operator/devices/{device_id}/revoke"): none,
        ("put", "/v1/operator/devices/{device_id}/maintenance"): Recipe({"reason": None}),
        ("put", "/v1/operator/devices/{device_id}/assortment"): Recipe(content=tar_of({}), media=TAR),
        ("post", "/v1/operator/sign-out"): none,
    }
    return recipes[operation]


PUBLIC = {
    ("post", "/v1/enrolments"),
    ("post", "/v1/shoppers"),
    ("post", "/v1/operator/sign-in"),
    ("post", "/v1/webhooks/stripe"),
    ("post", "/v1/shopper/sign-in"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}
BODY_NAMES_WHAT_IS_FOREIGN = {
    ("post", "/v1/device/uploads"),
    ("post", "/v1/operator/devices"),
    ("post", "/v1/shopper/sessions"),
}
"""Operations without an id in their path, but with one in their body."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    world = make_world(tmp_path_factory.mktemp("matrix"))
    company = world.company()
    session_id = world.recording_session(company)
    announced = {"session_id": session_id, "camera": "top", "index": 0, "sha256": sha256(DATA), "length": len(DATA)}
    made = world.as_device(company.machine, "POST", "/v1/device/uploads", json=announced)
    digest = world.services.blobs.put_bytes(b"a picture")
    with world.rows.transaction() as connection:
        row = {
            "tenant_id": company.tenant_id,
            "session_id": session_id,
            "name": "strip.jpg",
            "digest": digest,
            "size_bytes": 9,
        }
        extra = {column.name: _any_of(column) for column in EVIDENCE.columns if column.name not in row}
        connection.execute(sa.insert(EVIDENCE).values(row | extra))
    neighbour = enrolled(world.rows, world.clock, tenant_id=company.tenant_id)
    yield Place(world, company, session_id, made.json()["upload_id"], neighbour)
    world.rows.close()


def _any_of(column: Any) -> Any:
    """A value for a column that does not matter here."""
    if column.nullable:
        return None
    return 1 if isinstance(column.type, sa.Integer | sa.BigInteger) else "x"


def operations(place: Place) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Method and path, with the credentials that the description names."""
    paths = place.world.app.openapi()["paths"]
    return {
        (method, path): operation.get("security", [])
        for path, item in paths.items()
        for method, operation in item.items()
    }


def kind_of(security: list[dict[str, Any]]) -> str:
    names = {name for entry in security for name in entry}
    return {"deviceJwt": "device", "shopperToken": "shopper", "operatorToken": "operator"}[
        min(names - {"shopperCookie", "operatorCookie"})
    ]


def call(
    place: Place, operation: tuple[str, str], *, token: str = "", machine: Machine | None = None, **options: Any
) -> httpx.Response:
    """Make the request of an operation as somebody; `claims` changes what a machine signs, `at` the place in the path."""
    method, template = operation
    recipe = recipe_of(options.pop("at", place), operation)
    path = options.pop("at_path", None) or place.path(template)
    headers = dict(recipe.headers)
    body: dict[str, Any] = {}
    if recipe.content is not None:
        body["content"], headers["Content-Type"] = recipe.content, recipe.media
    elif recipe.json is not None:
        body["json"] = options.pop("json", recipe.json)
    if machine is not None:
        return place.world.as_device(machine, method.upper(), path + recipe.query, headers=headers, **body, **options)
    if token:
        return place.world.as_holder(token, method.upper(), path + recipe.query, headers=headers, **body)
    return place.world.ask(method.upper(), path + recipe.query, headers=headers, **body)


def guarded(place: Place) -> dict[tuple[str, str], str]:
    return {
        operation: kind_of(security) for operation, security in operations(place).items() if operation not in PUBLIC
    }


def role_needed(place: Place, operation: tuple[str, str]) -> Role:
    (route,) = [
        r for r in routes(place.world.app) if r.path == operation[1] and operation[0].upper() in (r.methods or ())
    ]
    assert isinstance(route, GuardedRoute)
    role = route.rule.access.role
    assert role is not None
    return role


def routes(router: Any) -> list[APIRoute]:
    """Every route, those of included routers too."""
    found = []
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        found += routes(inner) if inner is not None else [route] if isinstance(route, APIRoute) else []
    return found


def test_every_operation_has_a_recipe_and_no_recipe_is_left_over(place: Place) -> None:
    for operation in operations(place):
        assert operation in PUBLIC or recipe_of(place, operation) is not None
    assert set(operations(place)) >= PUBLIC


def test_every_route_is_guarded_pages_too(place: Place) -> None:
    free = {route.path for route in routes(place.world.app) if not isinstance(route, GuardedRoute)}
    assert free <= UNGUARDED


def test_nobody_without_credentials_gets_anywhere(place: Place) -> None:
    answers = {operation: call(place, operation) for operation in guarded(place)}
    assert {operation: answer.status_code for operation, answer in answers.items()} == dict.fromkeys(answers, 401)
    assert len({answer.text for answer in answers.values()}) == 1


def test_pages_send_strangers_away(place: Place) -> None:
    for route in routes(place.world.app):
        if isinstance(route, GuardedRoute) and route.rule.access is not Access.PUBLIC and not route.include_in_schema:
            path = re.sub(r"\{\w+(:\w+)?\}", "x", route.path)
            for method in route.methods or ():
                answer = place.world.ask(method, path)
                assert answer.status_code in (303, 401), (method, path)


def test_credentials_that_have_ended_or_are_of_another_kind_are_none(place: Place) -> None:
    world, company = place.world, place.company
    now_ns = world.clock.now_ns()
    with world.rows.transaction() as connection:
        old_ns = now_ns - 100 * SECOND_NS
        ended = {
            "operator": person_token(connection, company.people[Role.ADMIN], now_ns=old_ns, lifetime_s=100),
            "shopper": shopper_token(connection, company.shopper, now_ns=old_ns, lifetime_s=100),
        }
    past = {"iat": now_ns / SECOND_NS - 70, "exp": now_ns / SECOND_NS - 10}
    texts = set()
    for operation, kind in guarded(place).items():
        if kind == "device":
            answers = [
                call(place, operation, machine=company.machine, claims=past),
                call(place, operation, machine=place.neighbour, claims={"iss": company.machine.device.device_id}),
                call(place, operation, token=company.tokens[Role.ADMIN]),
            ]
        else:
            other = company.shopper_token if kind == "operator" else company.tokens[Role.ADMIN]
            answers = [
                call(place, operation, token=ended[kind]),
                call(place, operation, token=other),
                call(place, operation, machine=company.machine),
            ]
        assert [answer.status_code for answer in answers] == [401] * 3, operation
        texts |= {answer.text for answer in answers}
    assert len(texts) == 1


def test_a_lower_role_sees_nothing(place: Place) -> None:
    texts = set()
    for operation, kind in guarded(place).items():
        if kind == "operator":
            for role in Role:
                if role < role_needed(place, operation):
                    answer = call(place, operation, token=place.company.tokens[role])
                    assert answer.status_code == 404, (operation, role)
                    texts.add(answer.text)
    assert len(texts) == 1


@pytest.mark.bad_input(28, 58)
def test_what_belongs_to_another_tenant_or_device_is_as_if_it_did_not_exist(place: Place) -> None:
    world = place.world
    other = world.company()
    _, second_shopper = world.another_shopper(place.company)
    for operation, kind in guarded(place).items():
        named = "{" in operation[1] or operation in BODY_NAMES_WHAT_IS_FOREIGN
        absent = (
            re.sub(r"\{\w+\}", "00000000-0000-7000-8000-000000000000", operation[1]) if "{" in operation[1] else None
        )
        foreign: list[httpx.Response] = []
        if kind == "device":
            foreign += [call(place, operation, machine=machine) for machine in (other.machine, place.neighbour)]
            nothing = call(place, operation, machine=place.neighbour, at_path=absent)
        elif kind == "shopper":
            foreign.append(call(place, operation, token=other.shopper_token))
            if "{" in operation[1]:
                foreign.append(call(place, operation, token=second_shopper))
            nothing = call(place, operation, token=place.company.shopper_token, at_path=absent)
        else:
            foreign.append(call(place, operation, token=other.tokens[Role.ADMIN]))
            nothing = call(place, operation, token=place.company.tokens[Role.ADMIN], at_path=absent)
        if named:
            assert {answer.status_code for answer in foreign} == {404}, operation
            if absent is not None:
                assert {answer.text for answer in foreign} == {nothing.text}, operation
        for answer in foreign:
            for secret in (place.session_id, place.company.machine.device.device_id, place.company.shopper.shopper_id):
                assert secret not in answer.text, operation
    assert untouched(place)


def untouched(place: Place) -> bool:
    session = place.world.services.sessions.load(place.session_id)
    return session is not None and session.state.value == "open" and not session.evidence.segments


def test_the_owner_is_let_in_everywhere(tmp_path: Path, place: Place) -> None:
    """The same requests by those who may: none is refused for who they are, so the refusals above mean something."""
    last = {
        ("post", "/v1/operator/devices/{device_id}/revoke"),
        ("post", "/v1/operator/sign-out"),
        ("post", "/v1/shopper/sign-out"),
    }
    company = place.company
    for operation in sorted(guarded(place), key=lambda operation: operation in last):
        kind = guarded(place)[operation]
        if kind == "device":
            answer = call(place, operation, machine=company.machine)
        else:
            answer = call(
                place, operation, token=company.shopper_token if kind == "shopper" else company.tokens[Role.ADMIN]
            )
        acceptable = answer.status_code not in (401, 403, 404) or answer.json()["code"] == "no_case"
        assert acceptable, (operation, answer.text)
        assert answer.status_code < 500, (operation, answer.text)
