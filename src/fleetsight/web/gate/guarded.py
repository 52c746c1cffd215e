"""The route class of every operation: nothing reaches an endpoint but requests that passed all of this, in this order.

1. the rate of the network address, 2. credentials, 3. authorisation, 4. for cookies: not from another site, 5. rates of the
caller and its tenant, 6. the body: announced length, bytes, time, 7. for devices: the body is the one they signed, and the
signature is used once, 8. media type, and JSON with one meaning only.

A route says who may call it with `allow`; one that says nothing cannot be made.
"""

import hashlib
import hmac
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import quote

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fleetsight.errors import Error
from fleetsight.fleet.devices.signed import spend
from fleetsight.web.gate.cookies import same_site
from fleetsight.web.gate.intake import check_length, drain, read_body
from fleetsight.web.gate.principal import Access, Caller, DeviceCaller, OperatorCaller, ShopperCaller, identify, may
from fleetsight.web.gate.rates import Limiter, Rate
from fleetsight.web.gate.strict_json import parse
from fleetsight.web.problems import (
    CROSS_SITE,
    INVALID,
    NOT_FOUND,
    UNAUTHORIZED,
    WRONG_MEDIA,
    Problem,
    problem_responses,
    too_many,
)
from fleetsight.web.services import Services

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
BODY_BYTES_MAX = 64 << 10
_RULE = "__fleetsight_rule__"
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


class RouteError(Error):
    """A route that does not say who may call it."""

    code = "route"


@dataclass(frozen=True)
class Rule:
    """What a request must satisfy.

    Attributes:
        access: who may call.
        media: media type of the body.
        body_bytes_max: cap of the body.
        rate: name of one more rate of `Rates`, per caller, or per address when there is none.
        streamed: the endpoint reads the body itself; it is capped there.
        raw: the endpoint reads the bytes as they came, because a signature covers them.
        sign_in: where a person who is not signed in is sent; None answers 401.
    """

    access: Access
    media: str = JSON
    body_bytes_max: int = BODY_BYTES_MAX
    rate: str | None = None
    streamed: bool = False
    raw: bool = False
    sign_in: str | None = None


def allow(access: Access, **rule: Any) -> Callable[[_Endpoint], _Endpoint]:
    """Say who may call an endpoint; stands directly under the route decorator.

    Args:
        access: who may call.
        **rule: other fields of `Rule`.
    Returns:
        the decorator.
    """

    def mark(endpoint: _Endpoint) -> _Endpoint:
        setattr(endpoint, _RULE, Rule(access, **rule))
        return endpoint

    return mark


class GuardedRoute(APIRoute):
    """A route whose endpoint carries a `Rule`; its OpenAPI names the credentials and every refusal."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        rule = getattr(endpoint, _RULE, None)
        if not isinstance(rule, Rule):
            raise RouteError(
                f"{path} does not say who may call it", hint="write @allow(Access.…) under the route decorator"
            )
        self.rule = rule
        methods: set[str] = set(options.get("methods") or {"GET"})
        options["responses"] = _refusals(rule, path, methods) | (options.get("responses") or {})
        extra = dict(options.get("openapi_extra") or {})
        options["openapi_extra"] = {"security": _security(rule.access), **extra}
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        rule = self.rule

        async def guarded(request: Request) -> Response:
            services: Services = request.app.state.services
            try:
                _take(request, services.rates.address, address_of(request))
                caller = await _admit(services, request, rule)
                _check_rates(services, request, rule, caller=caller)
                _check_text(request)
            except Problem as problem:
                await drain(request)
                if problem.kind is UNAUTHORIZED and rule.sign_in is not None and not request.url.path.endswith(".json"):
                    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                    return RedirectResponse(f"{rule.sign_in}?next={quote(back, safe='')}", 303)
                raise
            request.state.caller = caller
            if not rule.streamed:
                await _take_body(services, request, rule, caller=caller)
            return await handle(request)

        return guarded


async def device(request: Request) -> DeviceCaller:
    """The device that calls, on routes of `Access.DEVICE`."""
    return cast(DeviceCaller, request.state.caller)


async def shopper(request: Request) -> ShopperCaller:
    """The shopper who calls, on routes of `Access.SHOPPER`."""
    return cast(ShopperCaller, request.state.caller)


async def operator(request: Request) -> OperatorCaller:
    """The person who calls, on routes of a role."""
    return cast(OperatorCaller, request.state.caller)


def maybe_shopper(request: Request) -> ShopperCaller | None:
    """The shopper who calls, if one does, on routes of `Access.PUBLIC`."""
    return cast(ShopperCaller | None, _maybe(request, Access.SHOPPER))


def maybe_operator(request: Request) -> OperatorCaller | None:
    """The person who calls, if one does, on routes of `Access.PUBLIC`."""
    return cast(OperatorCaller | None, _maybe(request, Access.VIEWER))


def services_of(request: Request) -> Services:
    """What the app was made with."""
    return cast(Services, request.app.state.services)


async def services_here(request: Request) -> Services:
    """What the app was made with, as a dependency: one that is async takes no thread."""
    return services_of(request)


def address_of(request: Request) -> str:
    """The network address that a request came from."""
    return request.client.host if request.client is not None else "unknown"


def _maybe(request: Request, access: Access) -> Caller | None:
    services = services_of(request)
    with services.rows.reading() as connection:
        caller = identify(connection, request, access=access, now_ns=services.clock.now_ns())
    if caller is not None:
        _check_site(services, request, caller)
    return caller


async def _admit(services: Services, request: Request, rule: Rule) -> Caller | None:
    """Who calls, when they may; None on public routes."""
    if rule.access is Access.PUBLIC:
        return None

    def look() -> Caller | None:
        with services.rows.reading() as connection:
            return identify(connection, request, access=rule.access, now_ns=services.clock.now_ns())

    caller = await run_in_threadpool(look)
    if caller is None:
        raise Problem(UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    if not may(caller, rule.access):
        raise Problem(NOT_FOUND)
    _check_site(services, request, caller)
    return caller


def _check_site(services: Services, request: Request, caller: Caller) -> None:
    if isinstance(caller, DeviceCaller) or not caller.by_cookie:
        return
    hosts = {request.headers.get("host", ""), services.base_host}
    if not any(same_site(request.method, request.headers, host=host) for host in hosts):
        raise Problem(CROSS_SITE)


def _check_rates(services: Services, request: Request, rule: Rule, *, caller: Caller | None) -> None:
    rates = services.rates
    match caller:
        case DeviceCaller():
            _take(request, rates.device, caller.name)
        case ShopperCaller():
            _take(request, rates.shopper, caller.name)
        case OperatorCaller():
            _take(request, rates.person, caller.name)
    if caller is not None:
        _take(request, rates.tenant, caller.tenant_id)
    if rule.rate is not None:
        _take(request, getattr(rates, rule.rate), caller.name if caller is not None else address_of(request))


def _take(request: Request, rate: Rate, who: str) -> None:
    limiter: Limiter = request.app.state.limiter
    wait_s = limiter.take(rate, who)
    if wait_s > 0:
        raise too_many(rate.name, wait_s)


def _check_text(request: Request) -> None:
    """Refuse NUL wherever it could reach a database, and a parameter that is given twice."""
    if "\0" in request.url.path or any("\0" in str(value) for value in request.path_params.values()):
        raise Problem(NOT_FOUND)
    pairs = request.query_params.multi_items()
    if any("\0" in name or "\0" in value or "\ufffd" in value for name, value in pairs):
        raise Problem(INVALID, "a query parameter holds NUL, or is not UTF-8")
    if len({name for name, _ in pairs}) != len(pairs):
        raise Problem(INVALID, "a query parameter is given twice")


async def _take_body(services: Services, request: Request, rule: Rule, *, caller: Caller | None) -> None:
    try:
        check_length(request, bytes_max=rule.body_bytes_max)
    except Problem:
        await drain(request)
        raise
    body = await read_body(request, bytes_max=rule.body_bytes_max, patience=services.patience)
    request.state.body_sha256 = hashlib.sha256(body).hexdigest()
    if isinstance(caller, DeviceCaller):
        if not hmac.compare_digest(request.state.body_sha256, _plain(caller.claims.body_sha256)):
            raise Problem(UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
        await run_in_threadpool(_spend, services, caller)
    if body:
        _check_media(request, rule)
        if rule.media == JSON and not rule.raw:
            request._json = parse(body)  # where starlette keeps them; FastAPI would answer 400 to whatever it raises
    request._body = body


def _plain(digest: str) -> str:
    return digest if digest.isascii() else ""


def _spend(services: Services, caller: DeviceCaller) -> None:
    with services.rows.transaction() as connection:
        fresh = spend(connection, caller.key, claims=caller.claims)
    if not fresh:
        raise Problem(UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})


def _check_media(request: Request, rule: Rule) -> None:
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media.strip().lower() != rule.media or charset not in ("", "utf-8"):
        raise Problem(WRONG_MEDIA, f"the body is {media[:100] or 'of no media type'}, expected {rule.media}")


def _security(access: Access) -> list[dict[str, list[str]]]:
    schemes: Mapping[Access, tuple[str, ...]] = {Access.PUBLIC: (), Access.DEVICE: ("deviceJwt",)}
    people = ("shopperToken", "shopperCookie") if access is Access.SHOPPER else ("operatorToken", "operatorCookie")
    return [{scheme: []} for scheme in schemes.get(access, people)]


def _refusals(rule: Rule, path: str, methods: set[str]) -> dict[int | str, dict[str, Any]]:
    """The refusals of the gate itself, as OpenAPI lists them."""
    statuses = {422, 429, 503}
    if rule.access is not Access.PUBLIC:
        statuses.add(401)
    if "{" in path or rule.access.role is not None:
        statuses.add(404)
    if rule.access not in (Access.PUBLIC, Access.DEVICE) and methods - {"GET", "HEAD"}:
        statuses.add(403)
    if methods & {"POST", "PUT", "PATCH"}:
        statuses |= {408, 413, 415}
    return problem_responses(*sorted(statuses))
