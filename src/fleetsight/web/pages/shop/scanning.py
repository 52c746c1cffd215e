"""From a scanned code to an unlocked door: the page behind the code, and its one button."""

from dataclasses import dataclass
from urllib.parse import quote

import sqlalchemy as sa
from starlette.responses import Response

from fleetsight.billing.prices import price_list_at
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.devices.heartbeats import unready
from fleetsight.fleet.devices.registry import Device
from fleetsight.fleet.redeem import QrRefused, Redeemed, read_qr
from fleetsight.fleet.shoppers import Shopper
from fleetsight.fleet.sites import find_site
from fleetsight.money import Money
from fleetsight.store.ids import new_id
from fleetsight.web.gate.principal import ShopperCaller
from fleetsight.web.pages.contexts import PageContext, Purse, ScanPage, ScanState
from fleetsight.web.pages.routing import Asked, Fields, see
from fleetsight.web.pages.signing import new_shopper
from fleetsight.web.services import Services

TOKEN_LONGEST = 2048
GIFT_HOLDS = 2
"""A new wallet of a demonstration holds this many holds: one to buy with, one to see that the first came back."""
_STATES = {
    "unknown": ScanState.UNKNOWN,
    "expired": ScanState.EXPIRED,
    "offline": ScanState.OFFLINE,
    "redeemed": ScanState.BUSY,
    "device_busy": ScanState.BUSY,
    "door_open": ScanState.BUSY,
    "arrears": ScanState.ARREARS,
}
"""By reason of refusal; every other one is a cooler that somebody must look after."""
_SAID = frozenset({ScanState.BUSY, ScanState.ARREARS, ScanState.OFFLINE, ScanState.MAINTENANCE, ScanState.EXPIRED})


@dataclass(frozen=True)
class _Place:
    """What a code leads to."""

    device: Device
    site: str
    hold: Money | None
    state: ScanState


def scan_page(asked: Asked) -> PageContext:
    """The page behind the code. Looking at it redeems nothing."""
    token = asked.request.query_params.get("t", "")
    with asked.services.rows.reading() as connection:
        read = read_qr(connection, token, now_ns=asked.now_ns)
        if read.device is None:
            return ScanPage(ScanState.UNKNOWN, purse=_purse(asked, ""))
        place = _place(connection, asked, read.device)
    state, left_s = place.state, 0
    if isinstance(read, QrRefused):
        state = ScanState.EXPIRED
    else:
        left_s = max(0, (read.expires_ns - asked.now_ns) // SECOND_NS)
    refused = asked.request.query_params.get("why", "")
    if refused in _SAID:
        state = ScanState(refused)
    demo = asked.services.open_signup and place.hold is not None
    return ScanPage(
        state,
        cooler=place.device.name,
        site=place.site,
        hold=place.hold,
        purse=_purse(asked, place.hold.currency if place.hold else ""),
        sign_up=asked.services.open_signup,
        token=token,
        left_s=left_s,
        gift=place.hold * GIFT_HOLDS if demo and place.hold is not None else None,
    )


def unlock(asked: Asked, fields: Fields) -> Response:
    """Redeem the code for who is signed in, or for who signs up with it."""
    token = fields.one("t", longest=TOKEN_LONGEST)
    again = f"/q?t={quote(token, safe='')}"
    if isinstance(asked.caller, ShopperCaller):
        return see(_redeem(asked.services, asked.caller.shopper, token, again=again))
    with asked.services.rows.reading() as connection:
        read = read_qr(connection, token, now_ns=asked.now_ns)
        if read.device is None or isinstance(read, QrRefused):
            return see(again)
        place = _place(connection, asked, read.device)
    shopper, answer = new_shopper(asked, fields, tenant_id=read.device.tenant_id, to=again)
    if asked.services.wallet is not None and place.hold is not None:
        gift = place.hold * GIFT_HOLDS
        asked.services.wallet.top_up(shopper.tenant_id, shopper.shopper_id, amount=gift, key=f"gift:{new_id()}")
    answer.headers["location"] = _redeem(asked.services, shopper, token, again=again)
    return answer


def purse_of(services: Services, shopper: Shopper, *, currency: str) -> Purse:
    """How a shopper pays.

    Args:
        services: with the wallet.
        shopper: who.
        currency: of the balance; empty when none is known.
    Returns:
        name, method and balance.
    """
    balance = None
    if services.wallet is not None and currency and shopper.method_kind == services.wallet.name:
        balance = services.wallet.balance(shopper.tenant_id, shopper.shopper_id, currency=currency)
    return Purse(shopper.name, shopper.method_kind, balance)


def _redeem(services: Services, shopper: Shopper, token: str, *, again: str) -> str:
    """The page to see next."""
    outcome = services.redeemer.redeem(shopper, token)
    if isinstance(outcome, Redeemed):
        return f"/shop/sessions/{outcome.session.id}"
    return f"{again}&why={_STATES.get(outcome.reason, ScanState.MAINTENANCE)}"


def _place(connection: sa.Connection, asked: Asked, device: Device) -> _Place:
    site = find_site(connection, device.tenant_id, site_id=device.site_id)
    prices = price_list_at(connection, device.tenant_id, site_id=device.site_id, at_ns=asked.now_ns)
    reason = unready(connection, device, now_ns=asked.now_ns)
    state = ScanState.READY if reason is None else _STATES.get(reason, ScanState.MAINTENANCE)
    if prices is None:
        state = ScanState.MAINTENANCE
    hold = Money(asked.services.redeemer.selling.hold_minor, prices.currency) if prices else None
    return _Place(device, site.name if site else "", hold, state)


def _purse(asked: Asked, currency: str) -> Purse | None:
    if not isinstance(asked.caller, ShopperCaller):
        return None
    return purse_of(asked.services, asked.caller.shopper, currency=currency)
