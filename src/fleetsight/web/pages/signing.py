"""Signing in and out of the pages, for people and for shoppers."""

from urllib.parse import urlsplit

from starlette.responses import Response

from fleetsight.fleet.people import PAGE_SIGN_IN_S, person_of, person_token
from fleetsight.fleet.shoppers import Shopper, add_shopper
from fleetsight.fleet.tenants import tenants
from fleetsight.fleet.tokens import revoke_token
from fleetsight.web.gate.cookies import (
    OPERATOR_COOKIE,
    SHOPPER_COOKIE,
    SHOPPER_SIGN_IN_S,
    clear_cookie,
    set_cookie,
)
from fleetsight.web.pages.contexts import PageContext
from fleetsight.web.pages.desk_contexts import SignInPage
from fleetsight.web.pages.routing import DESK, Asked, Fields, see
from fleetsight.web.problems import NOT_FOUND, Problem

FIRST_PAGE = f"{DESK}/sessions"
TOKEN_LONGEST = 200
NAME_LONGEST = 80


def sign_in_page(asked: Asked) -> PageContext | Response:
    """The form, or the page that was asked for when the sign-in is there already."""
    to = _own(asked.request.query_params.get("next", ""))
    return see(to) if asked.caller is not None else SignInPage(to)


def sign_in(asked: Asked, fields: Fields) -> PageContext | Response:
    """Exchange an access token for a cookie of a working day."""
    to = _own(fields.one("to", longest=2000))
    with asked.services.rows.transaction() as connection:
        person = person_of(connection, fields.one("token", longest=TOKEN_LONGEST), now_ns=asked.now_ns)
        if person is None:
            return SignInPage(to, "This token is not valid. It may have ended, or a character is missing.")
        token = person_token(connection, person, now_ns=asked.now_ns, lifetime_s=PAGE_SIGN_IN_S)
    answer = see(to)
    set_cookie(answer, OPERATOR_COOKIE, token=token, secure=asked.services.secure, max_age_s=PAGE_SIGN_IN_S)
    return answer


def sign_out(asked: Asked, _fields: Fields) -> Response:
    """End the cookie of a person."""
    return _leave(asked, OPERATOR_COOKIE, to=f"{DESK}/sign-in")


def shopper_sign_out(asked: Asked, _fields: Fields) -> Response:
    """End the cookie of a shopper; who has no other device with it cannot come back, so the page asks for nothing else."""
    return _leave(asked, SHOPPER_COOKIE, to="/shop")


def sign_up(asked: Asked, fields: Fields) -> Response:
    """Open an account without a scanned code, where strangers may."""
    with asked.services.rows.reading() as connection:
        known = tenants(connection)
    if not known:
        raise Problem(NOT_FOUND)
    _, answer = new_shopper(asked, fields, tenant_id=known[0].tenant_id, to="/shop")
    return answer


def new_shopper(asked: Asked, fields: Fields, *, tenant_id: str, to: str) -> tuple[Shopper, Response]:
    """Register a shopper and sign the browser in.

    Args:
        asked: the request.
        fields: with the shopper's name.
        tenant_id: of which company.
        to: page to go on with.
    Returns:
        shopper: the new one.
        answer: with the cookie.
    Raises:
        Problem: strangers may not register here.
    """
    if not asked.services.open_signup:
        raise Problem(NOT_FOUND)
    name = fields.one("name", longest=NAME_LONGEST) or "Guest"
    with asked.services.rows.transaction() as connection:
        shopper, token = add_shopper(connection, tenant_id, name=name, now_ns=asked.now_ns)
    answer = see(to)
    set_cookie(answer, SHOPPER_COOKIE, token=token, secure=asked.services.secure, max_age_s=SHOPPER_SIGN_IN_S)
    return shopper, answer


def _leave(asked: Asked, cookie: str, *, to: str) -> Response:
    token = asked.request.cookies.get(cookie)
    if token is not None:
        with asked.services.rows.transaction() as connection:
            revoke_token(connection, token, now_ns=asked.now_ns)
    answer = see(to)
    clear_cookie(answer, cookie)
    return answer


def _own(path: str) -> str:
    """A page of the desk, whatever was asked for."""
    parts = urlsplit(path)
    ours = parts.path.startswith(f"{DESK}/") and not parts.netloc and not parts.scheme and "\\" not in path
    return path if ours and not path.startswith("//") else FIRST_PAGE
