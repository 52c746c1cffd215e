"""Every page by its address."""

from fastapi import APIRouter

from fleetsight.web.gate.principal import Access
from fleetsight.web.pages import signing
from fleetsight.web.pages.desk import fleet, reviews, sessions
from fleetsight.web.pages.routing import DESK, Pages
from fleetsight.web.pages.shop import buying, scanning
from fleetsight.web.services import Services

SHOP = "/shop"
SHOP_SESSION = f"{SHOP}/sessions/{{session_id}}"
SIGN_IN = f"{DESK}/sign-in"
DESK_SESSION = f"{DESK}/sessions/{{session_id}}"


def pages_router(_services: Services) -> APIRouter:
    """The pages of an installation.

    Args:
        _services: what they stand on; each request finds it in the app.
    Returns:
        routes of pages, twins, forms and pictures.
    """
    pages = Pages(reviews.waiting)
    _add_shop(pages)
    _add_desk(pages)
    return pages.router


def _add_shop(pages: Pages) -> None:
    pages.page("/q", scanning.scan_page, access=Access.PUBLIC)
    pages.form("/q", scanning.unlock, access=Access.PUBLIC, rate="redeem")
    pages.page(SHOP, buying.home_page, access=Access.PUBLIC)
    pages.form(f"{SHOP}/sign-up", signing.sign_up, access=Access.PUBLIC, rate="sign_up")
    pages.form(f"{SHOP}/sign-out", signing.shopper_sign_out, access=Access.SHOPPER, sign_in=SHOP)
    pages.form(f"{SHOP}/top-ups", buying.top_up, access=Access.SHOPPER, sign_in=SHOP)
    pages.page(SHOP_SESSION, buying.session_page, access=Access.SHOPPER, sign_in=SHOP)
    pages.form(f"{SHOP_SESSION}/contest", buying.contest, access=Access.SHOPPER, sign_in=SHOP)
    pages.file(f"{SHOP_SESSION}/evidence/{{name}}", buying.strip_file, access=Access.SHOPPER)
    pages.file(f"{SHOP_SESSION}/picture", buying.product_picture, access=Access.SHOPPER)


def _add_desk(pages: Pages) -> None:
    pages.page(SIGN_IN, signing.sign_in_page, access=Access.PUBLIC)
    pages.form(SIGN_IN, signing.sign_in, access=Access.PUBLIC, rate="guesses")
    pages.form(f"{DESK}/sign-out", signing.sign_out, access=Access.VIEWER, sign_in=SIGN_IN)
    pages.page(f"{DESK}/sessions", sessions.sessions_page, access=Access.VIEWER, sign_in=SIGN_IN)
    pages.page(DESK_SESSION, sessions.session_page, access=Access.VIEWER, sign_in=SIGN_IN)
    pages.form(f"{DESK_SESSION}/refunds", sessions.refund, access=Access.OPERATOR, sign_in=SIGN_IN)
    pages.file(f"{DESK_SESSION}/picture", sessions.product_picture, access=Access.VIEWER)
    pages.page(reviews.INBOX, reviews.review_page, access=Access.REVIEWER, sign_in=SIGN_IN)
    pages.form(reviews.INBOX, reviews.decide, access=Access.REVIEWER, sign_in=SIGN_IN)
    pages.page(f"{DESK}/fleet", fleet.fleet_page, access=Access.VIEWER, sign_in=SIGN_IN)
    pages.page(f"{DESK}/devices/{{device_id}}", fleet.device_page, access=Access.VIEWER, sign_in=SIGN_IN)
    pages.page(f"{DESK}/money", fleet.money_page, access=Access.OPERATOR, sign_in=SIGN_IN)
