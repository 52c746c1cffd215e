"""Unlock commands: signed by the service, numbered per device, valid for seconds, one per session.

A device obeys a command only when its number is above every number that it has seen and its time has not run out. So a command
that comes twice, late, or out of order opens nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fleetsight.apps.cooler.session.answers import UnlockOrder
from fleetsight.clock import SECOND_NS, Clock
from fleetsight.errors import Error
from fleetsight.fleet.devices.server_key import ServerKey
from fleetsight.fleet.tables import DEVICE_COMMANDS, DEVICES

UNLOCK_LIFETIME_S = 10
IN_MAX = 500  # names in one question; SQLite takes 32,766, plans stay small
PENDING_MAX = 16
"""More commands than this never wait for one device: each lives ten seconds."""


class UnlockRefusedError(Error):
    """A device that may not be told anything."""

    code = "unlock_refused"


@dataclass(frozen=True)
class Command:
    """A command to a device.

    Attributes:
        seq: rises by one with each command of the device.
        session_id: the session it serves.
        token: the signed command.
        expires_ns: from when the device refuses it.
    """

    seq: int
    session_id: str
    token: str
    expires_ns: int


@dataclass(frozen=True)
class Told:
    """What a device says that it made of a command.

    Attributes:
        result: unlocked or refused.
        reason: why it refused.
    """

    result: str
    reason: str | None = None


@dataclass(frozen=True)
class Acknowledged:
    """What a device made of a command.

    Attributes:
        seq: the command's number.
        session_id: the session it served.
        result: unlocked or refused; the first answer that came.
        reason: why it refused.
        fresh: False when the device had answered before.
    """

    seq: int
    session_id: str
    result: str
    reason: str | None
    fresh: bool


class FleetUnlocker:
    """Writes unlock commands for sessions, in the transaction in which they may unlock.

    Args:
        key: signs.
        clock: from which their time runs.
    """

    def __init__(self, key: ServerKey, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def issue(self, connection: sa.Connection, order: UnlockOrder) -> int:
        """Write the unlock command of a session; asking again finds the first one, even when its time has run out.

        Args:
            connection: of the write transaction.
            order: which device and session, and until when at most.
        Returns:
            the command's number.
        Raises:
            UnlockRefusedError: the tenant has no such device, or it is revoked.
        """
        mine = (DEVICE_COMMANDS.c.session_id == order.session_id, DEVICE_COMMANDS.c.kind == "unlock")
        before = connection.execute(sa.select(DEVICE_COMMANDS.c.seq).where(*mine)).scalar_one_or_none()
        if before is not None:
            return int(before)
        now_ns = self._clock.now_ns()
        seq = _next_seq(connection, order)
        issued_s = now_ns // SECOND_NS
        expires_s = min(issued_s + UNLOCK_LIFETIME_S, order.expires_ns // SECOND_NS)
        claims = {"aud": order.device_id, "kind": "unlock", "seq": seq, "session_id": order.session_id}
        connection.execute(
            sa.insert(DEVICE_COMMANDS).values(
                tenant_id=order.tenant_id,
                device_id=order.device_id,
                seq=seq,
                kind="unlock",
                session_id=order.session_id,
                token=self._key.sign(claims | {"iat": issued_s, "exp": expires_s}),
                issued_ns=now_ns,
                expires_ns=expires_s * SECOND_NS,
            )
        )
        return seq


def _next_seq(connection: sa.Connection, order: UnlockOrder) -> int:
    here = (DEVICES.c.tenant_id == order.tenant_id, DEVICES.c.device_id == order.device_id)
    seq = connection.execute(
        sa.update(DEVICES)
        .where(*here, DEVICES.c.revoked_ns.is_(None))
        .values(command_seq=DEVICES.c.command_seq + 1)
        .returning(DEVICES.c.command_seq)
    ).scalar_one_or_none()
    if seq is None:
        raise UnlockRefusedError(f"device {order.device_id} is revoked or gone", hint="the session ends by itself")
    return int(seq)


def pending_commands(connection: sa.Connection, device_id: str, *, after: int, now_ns: int) -> list[Command]:
    """Commands that a device should still see.

    Args:
        connection: reads.
        device_id: the device.
        after: the last number it has seen.
        now_ns: now.
    Returns:
        in order of their numbers, at most `PENDING_MAX`; none that is answered or out of time.
    """
    question = (
        sa.select(DEVICE_COMMANDS)
        .where(
            DEVICE_COMMANDS.c.device_id == device_id,
            DEVICE_COMMANDS.c.seq > after,
            DEVICE_COMMANDS.c.expires_ns > now_ns,
            DEVICE_COMMANDS.c.acked_ns.is_(None),
        )
        .order_by(DEVICE_COMMANDS.c.seq)
        .limit(PENDING_MAX)
    )
    return [_command(row) for row in connection.execute(question)]


def latest_seqs(connection: sa.Connection, device_ids: Sequence[str], *, now_ns: int) -> dict[str, int]:
    """Which devices have a command that waits.

    Args:
        connection: reads.
        device_ids: the devices that listen.
        now_ns: now.
    Returns:
        the highest number of a command that is neither answered nor out of time, by device; no entry without one.
    """
    found: dict[str, int] = {}
    for start in range(0, len(device_ids), IN_MAX):
        question = (
            sa.select(DEVICE_COMMANDS.c.device_id, sa.func.max(DEVICE_COMMANDS.c.seq).label("latest"))
            .where(
                DEVICE_COMMANDS.c.device_id.in_(device_ids[start : start + IN_MAX]),
                DEVICE_COMMANDS.c.expires_ns > now_ns,
                DEVICE_COMMANDS.c.acked_ns.is_(None),
            )
            .group_by(DEVICE_COMMANDS.c.device_id)
        )
        found |= {row.device_id: row.latest for row in connection.execute(question)}
    return found


def acknowledge(connection: sa.Connection, device_id: str, *, seq: int, told: Told, now_ns: int) -> Acknowledged | None:
    """Keep what a device made of a command; the first answer stays.

    Args:
        connection: of a write transaction.
        device_id: the device.
        seq: the command's number.
        told: what the device says.
        now_ns: now.
    Returns:
        the answer that is kept; None when the device was never given that number.
    """
    here = (DEVICE_COMMANDS.c.device_id == device_id, DEVICE_COMMANDS.c.seq == seq)
    fresh = connection.execute(
        sa.update(DEVICE_COMMANDS)
        .where(*here, DEVICE_COMMANDS.c.acked_ns.is_(None))
        .values(acked_ns=now_ns, result=told.result, reason=told.reason)
    )
    row = connection.execute(sa.select(DEVICE_COMMANDS).where(*here)).first()
    if row is None:
        return None
    return Acknowledged(row.seq, row.session_id, row.result, row.reason, fresh=fresh.rowcount == 1)


def _command(row: Any) -> Command:
    return Command(row.seq, row.session_id, row.token, row.expires_ns)
