"""What is asked of sessions and what they answer: values only."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import sqlalchemy as sa

from fleetsight.apps.cooler.session.machine.commands import Command
from fleetsight.apps.cooler.session.machine.session import Segment, Session
from fleetsight.money import Money


class NotCreatedReason(StrEnum):
    """Why no session begins."""

    REDEEMED = "redeemed"
    DEVICE_BUSY = "device_busy"
    DOOR_OPEN = "door_open"
    ARREARS = "arrears"


@dataclass(frozen=True, slots=True)
class NewSession:
    """What must be known to begin; whoever fills it in has checked that the device may be opened.

    Attributes:
        tenant_id: owner of everything below.
        site_id: where.
        device_id: which cooler.
        shopper_id: who.
        provider: who moves the money.
        method_id: the shopper's means of payment, as the provider names it.
        hold: what is reserved.
        cap: a person looks at what costs more; in the hold's currency.
        price_list_id: at which prices.
        assortment: version of catalog and planogram.
        pipeline: version of the analysis.
        jti: of the code, once in a tenant.
    """

    tenant_id: str
    site_id: str
    device_id: str
    shopper_id: str
    provider: str
    method_id: str
    hold: Money
    cap: Money
    price_list_id: str
    assortment: str
    pipeline: str
    jti: str


@dataclass(frozen=True, slots=True)
class Created:
    """A session for this shopper.

    Attributes:
        session: as it is now.
        fresh: False when the same shopper redeemed the same code before.
    """

    session: Session
    fresh: bool


@dataclass(frozen=True, slots=True)
class NotCreated:
    """No session."""

    reason: NotCreatedReason


@dataclass(frozen=True, slots=True)
class Applied:
    """The event changed the session.

    Attributes:
        session: afterwards.
        commands: what was wanted; it is written down already.
    """

    session: Session
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An event with this key was taken before; nothing changed now."""

    session: Session


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no such session, or it is not the caller's."""


@dataclass(frozen=True, slots=True)
class UnlockOrder:
    """A command to be signed.

    Attributes:
        tenant_id: of the device.
        device_id: which.
        session_id: for whom.
        expires_ns: the device must refuse it from then on.
    """

    tenant_id: str
    device_id: str
    session_id: str
    expires_ns: int


class Unlocker(Protocol):
    """Whoever can tell a device to unlock."""

    def issue(self, connection: sa.Connection, order: UnlockOrder) -> int:
        """Write the signed command.

        Args:
            connection: of the transaction in which the session begins to unlock; both are kept or neither.
            order: what to sign.
        Returns:
            the command's number, which rises with each command of the device.
        """
        ...


class DeviceEventKind(StrEnum):
    """What a device may say about itself."""

    DOOR_OPENED = "door_opened"
    DOOR_CLOSED = "door_closed"
    LOCKED = "locked"
    FORCED = "forced"
    CAMERA_DEAD = "camera_dead"
    CAMERA_BACK = "camera_back"


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """Something that a device says.

    Attributes:
        tenant_id: of the device.
        device_id: who says it.
        boot_id: the run of the device.
        seq: within the run, from 1.
        kind: what happened.
        at_ns: the device's own time.
        session_id: for which session it had unlocked; None when for none.
    """

    tenant_id: str
    device_id: str
    boot_id: str
    seq: int
    kind: DeviceEventKind
    at_ns: int
    session_id: str | None


class DeviceResult(StrEnum):
    """What became of a device's event. `INCIDENT`: a door moved for nobody, and an operator is told."""

    APPLIED = "applied"
    REPEATED = "repeated"
    NOTED = "noted"
    INCIDENT = "incident"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What a device made of its unlock command.

    Attributes:
        tenant_id: of the device.
        device_id: who says it.
        session_id: whom the command served.
        seq: of the command.
        boot_id: the run of the device.
        unlocked: False: it refused.
        at_ns: the device's own time.
        reason: why it refused.
    """

    tenant_id: str
    device_id: str
    session_id: str
    seq: int
    boot_id: str
    unlocked: bool
    at_ns: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The list of what a device recorded in a session.

    Attributes:
        tenant_id: of the device.
        device_id: who says it.
        session_id: what it is about.
        segments: of all cameras; `stored` and `declared` are ignored.
    """

    tenant_id: str
    device_id: str
    session_id: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """A segment that a device wants to upload, or has uploaded.

    Attributes:
        tenant_id: of the device.
        device_id: who offers it.
        session_id: what it shows.
        segment: what it is.
    """

    tenant_id: str
    device_id: str
    session_id: str
    segment: Segment


@dataclass(frozen=True, slots=True)
class Offer:
    """The answer to an offered segment.

    Attributes:
        answer: `wanted`, `stored` (it is here), `conflict` (other bytes have this name) or `refused`.
        reason: why not.
    """

    answer: str
    reason: str = ""
