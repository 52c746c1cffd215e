"""Cookies of the pages, and the check that a write which rides on one comes from our own pages."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.responses import Response

SHOPPER_COOKIE = "fs_shopper"
OPERATOR_COOKIE = "fs_operator"
SHOPPER_SIGN_IN_S = 180 * 24 * 3600
"""A phone stays signed in for half a year: the token is all a shopper has."""
READS = frozenset({"GET", "HEAD", "OPTIONS"})


def set_cookie(response: Response, name: str, *, token: str, secure: bool, max_age_s: int) -> None:
    """Sign a browser in.

    Args:
        response: carries the cookie.
        name: `SHOPPER_COOKIE` or `OPERATOR_COOKIE`.
        token: the access token.
        secure: send it over https only.
        max_age_s: seconds until the browser forgets it.
    """
    response.set_cookie(name, token, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="lax")


def clear_cookie(response: Response, name: str) -> None:
    """Sign a browser out.

    Args:
        response: carries the order.
        name: of the cookie.
    """
    response.delete_cookie(name, path="/", httponly=True, samesite="lax")


def same_site(method: str, headers: Mapping[str, str], *, host: str) -> bool:
    """Whether a request with a cookie may write.

    Args:
        method: of the request.
        headers: by lower-case name.
        host: as the browser addressed us.
    Returns:
        True for reads, and for writes that the browser says come from our own pages. A browser says so in Sec-Fetch-Site
        or, before 2023, in Origin; a write that says nothing is refused, since a program would send a bearer token.
    """
    if method in READS:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == host
