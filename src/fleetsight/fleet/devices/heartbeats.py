"""What devices say about themselves every few seconds, and what follows from it.

A device is ready for a shopper when it was heard of lately, its camera sees, nobody locked it and its food is cold. One key that
beats from two running machines is a copied key, and a person is told.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.clock import SECOND_NS, Clock
from fleetsight.fleet.devices.alerts import Alert, raise_alert
from fleetsight.fleet.devices.registry import Device, DeviceKey, find_device
from fleetsight.fleet.tables import DEVICE_BOOTS, DEVICE_HEARTBEATS, DEVICES
from fleetsight.store.rows import insert_if_absent, upsert

ONLINE_S = 30
"""Heard of within this time is online: three heartbeats may be lost."""
CLOCK_ALERT_S = 300
CLONE_GRACE_S = 10
"""A request of the boot before may have been signed this much after the next boot began, by an inexact clock."""
WARM_C = 5.0
"""FDA Food Code 2022, 3-501.16: food that must be kept cold is kept at 5 °C (41 °F) or less."""
WARM_S = 1800
"""FDA Food Code 2022, 4-204.111: a machine must not vend after more than 30 minutes above that, until a person has seen to it."""


@dataclass(frozen=True)
class Heartbeat:
    """One heartbeat.

    Attributes:
        boot_id: names this start of the device.
        seq: rises by one within a boot.
        at_ns: device time.
        door: locked, unlocked, open or closed.
        camera_ok: whether every camera delivers pictures.
        temperature_c: inside; None without a thermometer.
        spool_sessions: sessions that wait for their upload.
        spool_bytes: bytes that wait.
    """

    boot_id: str
    seq: int
    at_ns: int
    door: str
    camera_ok: bool
    temperature_c: float | None
    spool_sessions: int
    spool_bytes: int


@dataclass(frozen=True)
class Beaten:
    """The latest heartbeat of a device.

    Attributes:
        beat: what it said.
        received_ns: when it came, server time.
    """

    beat: Heartbeat
    received_ns: int

    def online(self, now_ns: int) -> bool:
        """Whether the device was heard of lately."""
        return now_ns - self.received_ns < ONLINE_S * SECOND_NS


def beat(connection: sa.Connection, key: DeviceKey, *, heartbeat: Heartbeat, signed_ns: int, now_ns: int) -> None:
    """Take a heartbeat; one that is older than the latest of its boot changes nothing.

    Args:
        connection: of a write transaction.
        key: with which the device signed.
        heartbeat: what it said.
        signed_ns: when it signed the request, by its clock as it corrected it.
        now_ns: now.
    """
    device = key.device
    touch_boot(connection, key, boot_id=heartbeat.boot_id, now_ns=now_ns)
    newer = connection.execute(
        sa.update(DEVICE_BOOTS)
        .where(*_boot(device, heartbeat.boot_id), DEVICE_BOOTS.c.beat_seq < heartbeat.seq)
        .values(
            beat_seq=heartbeat.seq,
            first_beat_ns=sa.func.coalesce(DEVICE_BOOTS.c.first_beat_ns, now_ns),
            clock_ahead_ns=heartbeat.at_ns - now_ns,
        )
    )
    if newer.rowcount == 0:
        return
    if abs(heartbeat.at_ns - now_ns) > CLOCK_ALERT_S * SECOND_NS:
        detail = f"the device's clock is {(heartbeat.at_ns - now_ns) / SECOND_NS:+.0f} s away from ours"
        raise_alert(connection, device, alert=Alert("clock", heartbeat.boot_id, detail), now_ns=now_ns)
    latest = connection.execute(
        sa.select(DEVICE_BOOTS.c.boot_id, DEVICE_BOOTS.c.first_beat_ns)
        .where(
            DEVICE_BOOTS.c.tenant_id == device.tenant_id,
            DEVICE_BOOTS.c.device_id == device.device_id,
            DEVICE_BOOTS.c.first_beat_ns.is_not(None),
        )
        .order_by(DEVICE_BOOTS.c.first_beat_ns.desc(), DEVICE_BOOTS.c.boot_id.desc())
        .limit(1)
    ).one()
    if latest.boot_id != heartbeat.boot_id:
        if signed_ns > latest.first_beat_ns + CLONE_GRACE_S * SECOND_NS:
            pair = " ".join(sorted((latest.boot_id, heartbeat.boot_id)))
            detail = f"key {key.kid} signs for two running machines: boots {pair}; revoke the device"
            raise_alert(connection, device, alert=Alert("cloned_key", pair, detail), now_ns=now_ns)
        return
    names = {"tenant_id": device.tenant_id, "device_id": device.device_id}
    values = names | {
        "boot_id": heartbeat.boot_id,
        "seq": heartbeat.seq,
        "at_ns": heartbeat.at_ns,
        "received_ns": now_ns,
        "door": heartbeat.door,
        "camera_ok": heartbeat.camera_ok,
        "temperature_c": heartbeat.temperature_c,
        "spool_sessions": heartbeat.spool_sessions,
        "spool_bytes": heartbeat.spool_bytes,
    }
    upsert(connection, DEVICE_HEARTBEATS, values=values, keys=list(names))
    if not heartbeat.camera_ok:
        dead = Alert("camera_dead", heartbeat.boot_id, "the device answers and its camera does not")
        raise_alert(connection, device, alert=dead, now_ns=now_ns)
    _mind_temperature(connection, device, heartbeat.temperature_c, now_ns=now_ns)


def touch_boot(connection: sa.Connection, key: DeviceKey, *, boot_id: str, now_ns: int) -> None:
    """Note that a boot was heard of.

    Args:
        connection: of a write transaction.
        key: with which the device signed.
        boot_id: the boot.
        now_ns: now.
    """
    names = {"tenant_id": key.device.tenant_id, "device_id": key.device.device_id, "boot_id": boot_id}
    seen = {"kid": key.kid, "first_seen_ns": now_ns, "last_seen_ns": now_ns}
    if not insert_if_absent(connection, DEVICE_BOOTS, values=names | seen, keys=list(names)):
        connection.execute(sa.update(DEVICE_BOOTS).where(*_boot(key.device, boot_id)).values(last_seen_ns=now_ns))


def latest_beats(connection: sa.Connection, tenant_id: str) -> dict[str, Beaten]:
    """The latest heartbeats of a tenant's devices.

    Args:
        connection: reads.
        tenant_id: the tenant.
    Returns:
        by device id; a device that was never heard of has none.
    """
    rows = connection.execute(sa.select(DEVICE_HEARTBEATS).where(DEVICE_HEARTBEATS.c.tenant_id == tenant_id))
    return {
        row.device_id: Beaten(
            Heartbeat(
                boot_id=row.boot_id,
                seq=row.seq,
                at_ns=row.at_ns,
                door=row.door,
                camera_ok=row.camera_ok,
                temperature_c=row.temperature_c,
                spool_sessions=row.spool_sessions,
                spool_bytes=row.spool_bytes,
            ),
            row.received_ns,
        )
        for row in rows
    }


class HeardOf:
    """Tells whether a device was heard of lately, for those who know no devices.

    Args:
        clock: server time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, connection: sa.Connection, tenant_id: str, device_id: str, /) -> bool:
        """Ask.

        Args:
            connection: reads.
            tenant_id: the tenant.
            device_id: anything.
        Returns:
            whether it is online.
        """
        since_ns = self._clock.now_ns() - ONLINE_S * SECOND_NS
        question = sa.select(DEVICE_HEARTBEATS.c.received_ns).where(
            DEVICE_HEARTBEATS.c.tenant_id == tenant_id,
            DEVICE_HEARTBEATS.c.device_id == device_id,
            DEVICE_HEARTBEATS.c.received_ns > since_ns,
        )
        return connection.execute(question).first() is not None


def unready(connection: sa.Connection, device: Device, *, now_ns: int) -> str | None:
    """Why no shopper may open a device now.

    Args:
        connection: reads.
        device: the device.
        now_ns: now.
    Returns:
        one word: offline, maintenance, too_warm or camera_dead; None when it is ready.
    """
    fresh = find_device(connection, device.tenant_id, device_id=device.device_id)
    if fresh is None or fresh.revoked_ns is not None:
        return "offline"
    if fresh.maintenance is not None:
        return "maintenance"
    if fresh.too_warm_ns is not None:
        return "too_warm"
    here = (DEVICE_HEARTBEATS.c.tenant_id == device.tenant_id, DEVICE_HEARTBEATS.c.device_id == device.device_id)
    row = connection.execute(
        sa.select(DEVICE_HEARTBEATS.c.received_ns, DEVICE_HEARTBEATS.c.camera_ok).where(*here)
    ).first()
    if row is None or now_ns - row.received_ns >= ONLINE_S * SECOND_NS:
        return "offline"
    return None if row.camera_ok else "camera_dead"


def _mind_temperature(connection: sa.Connection, device: Device, temperature_c: float | None, *, now_ns: int) -> None:
    if temperature_c is None:
        return  # a thermometer that fell silent neither spoils food nor cools it
    here = (DEVICES.c.tenant_id == device.tenant_id, DEVICES.c.device_id == device.device_id)
    if temperature_c <= WARM_C:
        cold = sa.update(DEVICES).where(*here, DEVICES.c.warm_since_ns.is_not(None), DEVICES.c.too_warm_ns.is_(None))
        connection.execute(cold.values(warm_since_ns=None))
        return
    connection.execute(sa.update(DEVICES).where(*here, DEVICES.c.warm_since_ns.is_(None)).values(warm_since_ns=now_ns))
    long_warm = DEVICES.c.warm_since_ns <= now_ns - WARM_S * SECOND_NS
    locked = connection.execute(
        sa.update(DEVICES).where(*here, long_warm, DEVICES.c.too_warm_ns.is_(None)).values(too_warm_ns=now_ns)
    )
    if locked.rowcount:
        detail = (
            f"{temperature_c:.1f} °C, above {WARM_C:.0f} °C for {WARM_S // 60} minutes: locked until a person clears it"
        )
        raise_alert(connection, device, alert=Alert("too_warm", str(now_ns), detail), now_ns=now_ns)


def _boot(device: Device, boot_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        DEVICE_BOOTS.c.tenant_id == device.tenant_id,
        DEVICE_BOOTS.c.device_id == device.device_id,
        DEVICE_BOOTS.c.boot_id == boot_id,
    )
