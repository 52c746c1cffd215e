"""How browsers sign in: a token is exchanged for a cookie with a token of its own, which expires and can be ended alone."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from fleetsight.fleet.people import PAGE_SIGN_IN_S, person_of, person_token
from fleetsight.fleet.shoppers import shopper_of, shopper_token
from fleetsight.fleet.tokens import revoke_token
from fleetsight.web.api.fields import Asks, Says, SecretToken
from fleetsight.web.gate import cookies
from fleetsight.web.gate.guarded import GuardedRoute, allow, services_here
from fleetsight.web.gate.principal import Access
from fleetsight.web.problems import CROSS_SITE, UNAUTHORIZED, Problem, problem_responses
from fleetsight.web.services import Services

Here = Annotated[Services, Depends(services_here)]
router = APIRouter(route_class=GuardedRoute, tags=["sign-in"])


class SignIn(Asks):
    """Who signs in."""

    token: SecretToken


class SignedIn(Says):
    """Who is signed in now; the cookie is in the headers."""

    name: str
    role: str = Field(description="viewer, reviewer, operator, admin, or shopper")


class SignedOut(Says):
    """Nobody is signed in any more."""

    signed_out: bool = True


def _own_page(request: Request) -> None:
    """A page of another site must not sign its visitors in as somebody else."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(CROSS_SITE)


@router.post("/v1/operator/sign-in", responses=problem_responses(401, 403))
@allow(Access.PUBLIC, rate="guesses")
def operator_sign_in(sent: SignIn, services: Here, *, request: Request, response: Response) -> SignedIn:
    """Exchange a person's token for a cookie of twelve hours."""
    _own_page(request)
    now_ns = services.clock.now_ns()
    with services.rows.transaction() as connection:
        person = person_of(connection, sent.token, now_ns=now_ns)
        if person is None:
            raise Problem(UNAUTHORIZED)
        token = person_token(connection, person, now_ns=now_ns, lifetime_s=PAGE_SIGN_IN_S)
    cookies.set_cookie(response, cookies.OPERATOR_COOKIE, token=token, secure=services.secure, max_age_s=PAGE_SIGN_IN_S)
    return SignedIn(name=person.name, role=person.role.label)


@router.post("/v1/operator/sign-out")
@allow(Access.VIEWER)
def operator_sign_out(services: Here, request: Request, *, response: Response) -> SignedOut:
    """End the cookie's token."""
    _end(services, request, response, name=cookies.OPERATOR_COOKIE)
    return SignedOut()


@router.post("/v1/shopper/sign-in", responses=problem_responses(401, 403))
@allow(Access.PUBLIC, rate="guesses")
def shopper_sign_in(sent: SignIn, services: Here, *, request: Request, response: Response) -> SignedIn:
    """Exchange a shopper's token for a cookie of half a year."""
    _own_page(request)
    now_ns = services.clock.now_ns()
    with services.rows.transaction() as connection:
        shopper = shopper_of(connection, sent.token, now_ns=now_ns)
        if shopper is None:
            raise Problem(UNAUTHORIZED)
        token = shopper_token(connection, shopper, now_ns=now_ns, lifetime_s=cookies.SHOPPER_SIGN_IN_S)
    cookies.set_cookie(
        response, cookies.SHOPPER_COOKIE, token=token, secure=services.secure, max_age_s=cookies.SHOPPER_SIGN_IN_S
    )
    return SignedIn(name=shopper.name, role="shopper")


@router.post("/v1/shopper/sign-out")
@allow(Access.SHOPPER)
def shopper_sign_out(services: Here, request: Request, *, response: Response) -> SignedOut:
    """End the cookie's token."""
    _end(services, request, response, name=cookies.SHOPPER_COOKIE)
    return SignedOut()


def _end(services: Services, request: Request, response: Response, *, name: str) -> None:
    token = request.cookies.get(name)
    if token is not None:
        with services.rows.transaction() as connection:
            revoke_token(connection, token, now_ns=services.clock.now_ns())
    cookies.clear_cookie(response, name)
