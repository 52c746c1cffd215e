"""Door and camera events of devices: each one once, and in the order of its boot, however they arrive.

A device numbers its events from 1 in each boot and repeats them until they are accepted. What arrives is kept first; then every
event up to the first gap takes effect. A gap that nobody fills is passed over after `GAP_WAIT_S`, with an alert, so that a lost
number does not hide a closed door for ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fleetsight.clock import SECOND_NS, Clock
from fleetsight.fleet.devices.alerts import Alert, raise_alert
from fleetsight.fleet.devices.heartbeats import touch_boot
from fleetsight.fleet.devices.registry import Device, DeviceKey
from fleetsight.fleet.tables import DEVICE_BOOTS, DEVICE_EVENTS
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.rows import Rows, insert_if_absent

GAP_WAIT_S = 300
AHEAD_MAX = 1000
"""Events further than this beyond the first gap are not kept; the device sends them again later."""
MISSING_MAX = 100


@dataclass(frozen=True)
class DeviceEvent:
    """Something that happened at a device.

    Attributes:
        seq: from 1, rises by one within a boot.
        kind: door_opened, door_closed, locked, forced, camera_dead or camera_back.
        at_ns: device time.
        session_id: the session that the device believes it serves; None for none.
    """

    seq: int
    kind: str
    at_ns: int
    session_id: str | None


@dataclass(frozen=True)
class EventsReceived:
    """How far the events of a boot are known.

    Attributes:
        accepted_to: every event up to this number took effect; the device may forget them.
        missing: numbers that must come before later ones take effect, at most `MISSING_MAX`.
    """

    accepted_to: int
    missing: tuple[int, ...]


ApplyEvent = Callable[[Device, str, DeviceEvent], str]
"""Lets an event (of a device and boot) take effect, any number of times with one effect; gives what came of it in a few words."""


class EventLog:
    """Takes events of devices.

    Args:
        rows: where they are kept.
        clock: server time.
        apply: lets one take effect.
    """

    def __init__(self, rows: Rows, clock: Clock, *, apply: ApplyEvent) -> None:
        self._rows = rows
        self._clock = clock
        self._apply = apply

    def receive(self, key: DeviceKey, boot_id: str, *, events: Sequence[DeviceEvent]) -> EventsReceived:
        """Keep events and let those take effect whose turn it is.

        Args:
            key: with which the device signed.
            boot_id: the boot in which they happened.
            events: in any order, with repetitions.
        Returns:
            how far the boot is known now.
        """
        now_ns = self._clock.now_ns()
        with self._rows.transaction() as connection:
            touch_boot(connection, key, boot_id=boot_id, now_ns=now_ns)
            applied_to = _applied_to(connection, key.device, boot_id)
            for event in events:
                if applied_to < event.seq <= applied_to + AHEAD_MAX:
                    _keep(connection, key.device, boot_id, event=event, now_ns=now_ns)
        crashpoint("device-events.kept")
        while self._apply_next(key.device, boot_id):
            crashpoint("device-events.applied")
        return self._received(key.device, boot_id)

    def _apply_next(self, device: Device, boot_id: str) -> bool:
        """Let the next event take effect, if it is here."""
        now_ns = self._clock.now_ns()
        with self._rows.reading() as connection:
            applied_to = _applied_to(connection, device, boot_id)
            waiting = (
                sa.select(DEVICE_EVENTS)
                .where(*_events(device, boot_id), DEVICE_EVENTS.c.seq > applied_to)
                .order_by(DEVICE_EVENTS.c.seq)
            )
            row = connection.execute(waiting.limit(1)).first()
        if row is None:
            return False
        lost = row.seq - applied_to - 1
        if lost and row.received_ns > now_ns - GAP_WAIT_S * SECOND_NS:
            return False
        outcome = self._apply(device, boot_id, DeviceEvent(row.seq, row.kind, row.at_ns, row.session_id))
        crashpoint("device-events.before-mark")
        with self._rows.transaction() as connection:
            if lost:
                detail = f"events {applied_to + 1} to {row.seq - 1} never came and were passed over"
                raise_alert(
                    connection, device, alert=Alert("events_lost", f"{boot_id} {row.seq}", detail), now_ns=now_ns
                )
            here = (*_events(device, boot_id), DEVICE_EVENTS.c.seq == row.seq)
            connection.execute(sa.update(DEVICE_EVENTS).where(*here).values(applied_ns=now_ns, outcome=outcome[:200]))
            boot = (*_boot(device, boot_id), DEVICE_BOOTS.c.applied_to < row.seq)
            connection.execute(sa.update(DEVICE_BOOTS).where(*boot).values(applied_to=row.seq))
        return True

    def _received(self, device: Device, boot_id: str) -> EventsReceived:
        with self._rows.reading() as connection:
            applied_to = _applied_to(connection, device, boot_id)
            here = (*_events(device, boot_id), DEVICE_EVENTS.c.seq > applied_to)
            known = set(connection.execute(sa.select(DEVICE_EVENTS.c.seq).where(*here)).scalars())
        gaps = (seq for seq in range(applied_to + 1, max(known, default=applied_to)) if seq not in known)
        return EventsReceived(applied_to, tuple(seq for seq, _ in zip(gaps, range(MISSING_MAX), strict=False)))


def _keep(connection: sa.Connection, device: Device, boot_id: str, *, event: DeviceEvent, now_ns: int) -> None:
    names = {"tenant_id": device.tenant_id, "device_id": device.device_id, "boot_id": boot_id, "seq": event.seq}
    said: dict[str, Any] = {"kind": event.kind, "at_ns": event.at_ns, "session_id": event.session_id}
    values = names | said | {"received_ns": now_ns}
    if insert_if_absent(connection, DEVICE_EVENTS, values=values, keys=list(names)):
        return
    here = (*_events(device, boot_id), DEVICE_EVENTS.c.seq == event.seq)
    row = connection.execute(sa.select(DEVICE_EVENTS).where(*here)).one()
    if any(getattr(row, name) != value for name, value in said.items()):
        detail = f"event {event.seq} came again as {event.kind}, it was {row.kind}; the first one stands"
        raise_alert(connection, device, alert=Alert("event_changed", f"{boot_id} {event.seq}", detail), now_ns=now_ns)


def _applied_to(connection: sa.Connection, device: Device, boot_id: str) -> int:
    question = sa.select(DEVICE_BOOTS.c.applied_to).where(*_boot(device, boot_id))
    return int(connection.execute(question).scalar_one())


def _boot(device: Device, boot_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        DEVICE_BOOTS.c.tenant_id == device.tenant_id,
        DEVICE_BOOTS.c.device_id == device.device_id,
        DEVICE_BOOTS.c.boot_id == boot_id,
    )


def _events(device: Device, boot_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        DEVICE_EVENTS.c.tenant_id == device.tenant_id,
        DEVICE_EVENTS.c.device_id == device.device_id,
        DEVICE_EVENTS.c.boot_id == boot_id,
    )
