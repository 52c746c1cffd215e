"""Who asks, and whether they may: one place that reads credentials, and one function that decides."""

import enum
from dataclasses import dataclass
from typing import TypeAlias

import sqlalchemy as sa
from starlette.requests import Request

from fleetsight.fleet.devices.registry import DeviceKey, key_named
from fleetsight.fleet.devices.signed import REQUEST_AUDIENCE, Claims, kid_in, read_claims
from fleetsight.fleet.people import Person, Role, person_of
from fleetsight.fleet.shoppers import Shopper, shopper_of
from fleetsight.web.gate.cookies import OPERATOR_COOKIE, SHOPPER_COOKIE

TOKEN_CHARACTERS_MAX = 2048


class Access(enum.Enum):
    """Who may call an operation."""

    PUBLIC = "public"
    DEVICE = "device"
    SHOPPER = "shopper"
    VIEWER = "viewer"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def role(self) -> Role | None:
        """The least role of a person; None where people have no business."""
        return Role[self.name] if self.name in Role.__members__ else None


@dataclass(frozen=True)
class DeviceCaller:
    """A device that signed the request.

    Attributes:
        key: with which it signed.
        claims: what it signed.
    """

    key: DeviceKey
    claims: Claims

    @property
    def tenant_id(self) -> str:
        """Its tenant."""
        return self.key.device.tenant_id

    @property
    def name(self) -> str:
        """Names it among all callers."""
        return f"device:{self.key.device.device_id}"


@dataclass(frozen=True)
class ShopperCaller:
    """A shopper.

    Attributes:
        shopper: who.
        by_cookie: whether a browser's cookie says so.
    """

    shopper: Shopper
    by_cookie: bool = False

    @property
    def tenant_id(self) -> str:
        """Their tenant."""
        return self.shopper.tenant_id

    @property
    def name(self) -> str:
        """Names them among all callers."""
        return f"shopper:{self.shopper.shopper_id}"


@dataclass(frozen=True)
class OperatorCaller:
    """A person who works for a tenant.

    Attributes:
        person: who.
        by_cookie: whether a browser's cookie says so.
    """

    person: Person
    by_cookie: bool = False

    @property
    def tenant_id(self) -> str:
        """Their tenant."""
        return self.person.tenant_id

    @property
    def name(self) -> str:
        """Names them among all callers."""
        return f"person:{self.person.person_id}"


Caller: TypeAlias = DeviceCaller | ShopperCaller | OperatorCaller


def may(caller: Caller, access: Access) -> bool:
    """Decide whether a caller may call an operation; what it names is checked against the caller's tenant where it is read.

    Args:
        caller: who asks.
        access: who may.
    Returns:
        whether they may.
    """
    match caller:
        case DeviceCaller():
            return access is Access.DEVICE
        case ShopperCaller():
            return access is Access.SHOPPER
        case OperatorCaller():
            return access.role is not None and caller.person.role >= access.role


def identify(connection: sa.Connection, request: Request, *, access: Access, now_ns: int) -> Caller | None:
    """Read the credentials that an operation takes.

    Args:
        connection: reads.
        request: its headers and cookies; the body is not touched.
        access: tells which kind of credentials counts here.
        now_ns: now.
    Returns:
        the caller; None when there are no credentials of that kind, or they are worth nothing now. Nobody is told why.
    """
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    bearer = sent.strip() if scheme.lower() == "bearer" and len(sent) <= TOKEN_CHARACTERS_MAX else ""
    if access is Access.DEVICE:
        return _device(connection, bearer, now_ns=now_ns)
    cookie = request.cookies.get(SHOPPER_COOKIE if access is Access.SHOPPER else OPERATOR_COOKIE, "")
    token, by_cookie = (bearer, False) if "authorization" in request.headers else (cookie, True)
    if access is Access.SHOPPER:
        shopper = shopper_of(connection, token, now_ns=now_ns)
        return None if shopper is None else ShopperCaller(shopper, by_cookie=by_cookie)
    person = person_of(connection, token, now_ns=now_ns)
    return None if person is None else OperatorCaller(person, by_cookie=by_cookie)


def _device(connection: sa.Connection, token: str, *, now_ns: int) -> DeviceCaller | None:
    kid = kid_in(token)
    key = None if kid is None else key_named(connection, kid, now_ns=now_ns)
    claims = None if key is None else read_claims(token, key, audience=REQUEST_AUDIENCE)
    if key is None or claims is None or not claims.in_time(now_ns):
        return None
    return DeviceCaller(key, claims)
