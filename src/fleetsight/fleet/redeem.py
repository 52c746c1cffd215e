"""From the code on a door to an open session: what must be true before a shopper's money is held.

The QR code shows a token that the device signed seconds ago. It names the device; its nonce is used once. The session machine
decides about everything after that.
"""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.apps.cooler.session.answers import Created, NewSession, NotCreatedReason
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.work import Work
from fleetsight.billing.prices import price_list_at
from fleetsight.clock import Clock
from fleetsight.fleet.assortment import current_assortment
from fleetsight.fleet.devices.heartbeats import unready
from fleetsight.fleet.devices.registry import Device, DeviceKey, key_named
from fleetsight.fleet.devices.signed import QR_AUDIENCE, Claims, kid_in, read_claims
from fleetsight.fleet.devices.unlocks import UnlockRefusedError
from fleetsight.fleet.shoppers import Shopper, who_pay_alike
from fleetsight.money import Money
from fleetsight.store.rows import Rows


@dataclass(frozen=True)
class Selling:
    """What a session may cost.

    Attributes:
        hold_minor: reserved before the door opens; vendors hold 15 to 25 dollars.
        cap_minor: a person looks at what costs more; vendors stop at about 30 dollars.
        pipeline: version of the analysis that new sessions are settled with.
    """

    hold_minor: int = 2500
    cap_minor: int = 3000
    pipeline: str = "cooler-1"


@dataclass(frozen=True)
class QrRead:
    """A QR token that a device of ours signed, and that is in time.

    Attributes:
        device: the device that shows it.
        nonce: used once.
        expires_ns: from when it opens nothing.
    """

    device: Device
    nonce: str
    expires_ns: int


@dataclass(frozen=True)
class QrRefused:
    """A QR token that opens nothing.

    Attributes:
        reason: unknown (not signed by a device that may speak) or expired (it was, and its time is over or has not begun).
        device: the device, when it is known.
        nonce: when the device is known; whoever redeemed it in time may ask again.
    """

    reason: str
    device: Device | None = None
    nonce: str = ""


@dataclass(frozen=True)
class Redeemed:
    """A session for the shopper.

    Attributes:
        session: as it is now; perhaps it has ended already, because the hold was declined.
        fresh: False when this shopper had redeemed this token before.
    """

    session: Session
    fresh: bool


@dataclass(frozen=True)
class NotRedeemed:
    """No session.

    Attributes:
        reason: unknown, expired, offline, maintenance, too_warm, camera_dead, no_prices, no_assortment, redeemed, device_busy,
            door_open or arrears.
    """

    reason: str


def read_qr(connection: sa.Connection, token: str, *, now_ns: int) -> QrRead | QrRefused:
    """Look at a QR token without redeeming it.

    Args:
        connection: reads.
        token: anything.
        now_ns: now.
    Returns:
        the device that shows it, or why it opens nothing.
    """
    kid = kid_in(token)
    key: DeviceKey | None = None if kid is None else key_named(connection, kid, now_ns=now_ns)
    claims: Claims | None = None if key is None else read_claims(token, key, audience=QR_AUDIENCE)
    if key is None or claims is None:
        return QrRefused("unknown")
    if not claims.in_time(now_ns):
        return QrRefused("expired", key.device, claims.jti)
    return QrRead(key.device, claims.jti, claims.expires_ns)


class Redeemer:
    """Turns QR tokens into sessions.

    Args:
        rows: where devices, prices and assortments are.
        clock: server time.
        sessions: makes sessions.
        work: asks for the hold and unlocks, at once.
        selling: what a session may cost.
    """

    def __init__(self, rows: Rows, clock: Clock, *, sessions: Sessions, work: Work, selling: Selling) -> None:
        self._rows = rows
        self._clock = clock
        self._sessions = sessions
        self._work = work
        self.selling = selling
        self._tell: Callable[[str], None] | None = None

    def on_unlock(self, tell: Callable[[str], None]) -> None:
        """Have somebody told at once when a command lies ready, before the device would find it by itself.

        Args:
            tell: gets the device's id; from any thread.
        """
        self._tell = tell

    def redeem(self, shopper: Shopper, qr_token: str) -> Redeemed | NotRedeemed:
        """Make the session of a shopper and a QR token, and get its door unlocked.

        Args:
            shopper: who asks.
            qr_token: as the phone read it; anything.
        Returns:
            the session, the same one however often and however late the shopper asks; or why there is none.
        """
        order = self._order(shopper, qr_token)
        if isinstance(order, NotRedeemed):
            return order
        created = order if isinstance(order, Created) else self._sessions.create(order)
        if not isinstance(created, Created):
            return NotRedeemed(created.reason.value)
        try:
            session = self._work.hurry(created.session.id)
        except UnlockRefusedError:  # revoked this moment; the session's own deadlines give the hold back
            session = created.session
        if self._tell is not None:
            self._tell(session.device_id)
        return Redeemed(session, created.fresh)

    def _order(self, shopper: Shopper, qr_token: str) -> NewSession | Created | NotRedeemed:
        """What to create; or the session that the shopper has by this token already, whatever became of token and door since."""
        now_ns = self._clock.now_ns()
        with self._rows.reading() as connection:
            read = read_qr(connection, qr_token, now_ns=now_ns)
            if read.device is None or read.device.tenant_id != shopper.tenant_id:
                return NotRedeemed("unknown")
            device = read.device
            jti = f"{device.device_id}:{read.nonce}"
            known = self._sessions.redeemed(
                connection, jti, tenant_id=device.tenant_id, device_id=device.device_id, shopper_id=shopper.shopper_id
            )
            if isinstance(known, Created):
                return known
            if isinstance(read, QrRefused):
                return NotRedeemed(read.reason)
            reason = unready(connection, device, now_ns=now_ns)
            if reason is not None:
                return NotRedeemed(reason)
            prices = price_list_at(connection, device.tenant_id, site_id=device.site_id, at_ns=now_ns)
            assortment = current_assortment(connection, device.tenant_id, device_id=device.device_id)
            if self._owes(connection, shopper):
                return NotRedeemed(NotCreatedReason.ARREARS.value)
        if prices is None or assortment is None:
            return NotRedeemed("no_prices" if prices is None else "no_assortment")
        return NewSession(
            tenant_id=device.tenant_id,
            site_id=device.site_id,
            device_id=device.device_id,
            shopper_id=shopper.shopper_id,
            provider=shopper.method_kind,
            method_id=shopper.method_id,
            hold=Money(self.selling.hold_minor, prices.currency),
            cap=Money(self.selling.cap_minor, prices.currency),
            price_list_id=prices.id,
            assortment=assortment.digest,
            pipeline=self.selling.pipeline,
            jti=jti,
        )

    def _owes(self, connection: sa.Connection, shopper: Shopper) -> bool:
        """Whether anybody owes who pays with the same means; `Sessions.create` looks again at this shopper in its transaction."""
        arrears = self._sessions.payments.arrears
        return any(arrears(connection, shopper.tenant_id, shopper_id=one) for one in who_pay_alike(connection, shopper))
