"""What a person should look at about a device. The same thing again is counted, not written again."""

from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.fleet.devices.registry import Device
from fleetsight.fleet.tables import DEVICE_ALERTS
from fleetsight.store.ids import new_id
from fleetsight.store.rows import insert_if_absent

DETAIL_CHARACTERS = 500


@dataclass(frozen=True)
class Alert:
    """Something about a device.

    Attributes:
        kind: one word: cloned_key, intrusion, forced, camera_dead, clock, too_warm, events_lost, event_changed, foreign_session.
        subject: what it is about; one row for each kind and subject of a device.
        detail: in words.
    """

    kind: str
    subject: str
    detail: str


@dataclass(frozen=True)
class RaisedAlert:
    """An alert as it is kept.

    Attributes:
        device_id: the device.
        alert: what it says.
        first_ns: when it came first.
        last_ns: when it came last.
        count: how often.
    """

    device_id: str
    alert: Alert
    first_ns: int
    last_ns: int
    count: int


def raise_alert(connection: sa.Connection, device: Device, *, alert: Alert, now_ns: int) -> bool:
    """Keep an alert.

    Args:
        connection: of a write transaction.
        device: which device.
        alert: what happened; a long detail is cut.
        now_ns: now.
    Returns:
        whether it is the first of its kind and subject.
    """
    names = {
        "tenant_id": device.tenant_id,
        "device_id": device.device_id,
        "kind": alert.kind,
        "subject": alert.subject[:200],
    }
    values = names | {
        "alert_id": new_id(),
        "detail": alert.detail[:DETAIL_CHARACTERS],
        "first_ns": now_ns,
        "last_ns": now_ns,
        "seen_count": 1,
    }
    if insert_if_absent(connection, DEVICE_ALERTS, values=values, keys=list(names)):
        return True
    here = [DEVICE_ALERTS.c[name] == value for name, value in names.items()]
    again = {"last_ns": now_ns, "seen_count": DEVICE_ALERTS.c.seen_count + 1, "detail": values["detail"]}
    connection.execute(sa.update(DEVICE_ALERTS).where(*here).values(again))
    return False


def alerts_of(connection: sa.Connection, tenant_id: str, *, limit: int = 100) -> list[RaisedAlert]:
    """The latest alerts of a tenant.

    Args:
        connection: reads.
        tenant_id: the tenant.
        limit: at most so many.
    Returns:
        the alerts, the latest first.
    """
    question = (
        sa.select(DEVICE_ALERTS)
        .where(DEVICE_ALERTS.c.tenant_id == tenant_id)
        .order_by(DEVICE_ALERTS.c.last_ns.desc(), DEVICE_ALERTS.c.alert_id)
        .limit(limit)
    )
    return [
        RaisedAlert(row.device_id, Alert(row.kind, row.subject, row.detail), row.first_ns, row.last_ns, row.seen_count)
        for row in connection.execute(question)
    ]
