"""The fleet, one cooler, and the money."""

import json
import re
from pathlib import Path

import sqlalchemy as sa

from fleetsight.apps.cooler.session import figures, queries
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.devices.alerts import alerts_of
from fleetsight.fleet.devices.heartbeats import Beaten, latest_beats
from fleetsight.fleet.devices.registry import Device, devices_of
from fleetsight.web.pages.contexts import PageContext
from fleetsight.web.pages.desk.rows import Names, session_row
from fleetsight.web.pages.desk_contexts import (
    AlertRow,
    DevicePage,
    DeviceRow,
    Difference,
    FleetPage,
    MoneyPage,
    MoneyRow,
    OpenHold,
    OwedRow,
    Screen,
)
from fleetsight.web.pages.routing import Asked, absent

DAY_NS = 24 * 3600 * SECOND_NS
SESSIONS_OF_DEVICE = 20
ALERTS_MAX = 20
OPERATIONS_MAX = 40
ALERT_NS = DAY_NS
"""An alert is a trouble of the fleet table for a day after it came last."""
_ID = re.compile(r"[0-9a-zA-Z-]{1,64}", re.ASCII)


def fleet_page(asked: Asked) -> PageContext:
    """Every cooler, those with trouble first."""
    with asked.services.rows.reading() as connection:
        counted, rows = _fleet(connection, asked)
    return FleetPage(
        rows=tuple(sorted(rows, key=_trouble_first)),
        sessions=counted.sessions,
        revenue=counted.revenue,
        automatic=counted.automatic,
        reviews=counted.waiting,
        contested=counted.contested,
        receipt_p50_s=counted.receipt_s.p50,
        receipt_p95_s=counted.receipt_s.p95,
        now_ns=asked.now_ns,
    )


def device_page(asked: Asked) -> PageContext:
    """One cooler."""
    tenant_id, device_id = asked.operator.tenant_id, asked.part("device_id")
    with asked.services.rows.reading() as connection:
        found = {device.device_id: device for device in devices_of(connection, tenant_id)}
        if device_id not in found:
            raise absent()
        _, rows = _fleet(connection, asked)
        query = queries.Query(device_id=device_id, limit=SESSIONS_OF_DEVICE)
        sessions = queries.page(connection, tenant_id, query=query).rows
        names = Names.read(connection, tenant_id, shopper_ids=[row.shopper_id for row in sessions])
        alerts = [raised for raised in alerts_of(connection, tenant_id) if raised.device_id == device_id]
    return DevicePage(
        row=next(row for row in rows if row.device_id == device_id),
        maintenance=found[device_id].maintenance or "",
        alerts=tuple(
            AlertRow(raised.alert.kind, raised.alert.detail, raised.last_ns, raised.count)
            for raised in alerts[:ALERTS_MAX]
        ),
        sessions=tuple(session_row(row, names) for row in sessions),
        screen=screen_of(asked.services.screens_dir, device_id, now_ns=asked.now_ns),
        now_ns=asked.now_ns,
    )


def money_page(asked: Asked) -> PageContext:
    """Where the money is."""
    tenant_id = asked.operator.tenant_id
    with asked.services.rows.reading() as connection:
        found = figures.money(connection, tenant_id, since_ns=asked.now_ns - DAY_NS)
        shoppers = [hold.shopper_id for hold in found.holds] + [debt.shopper_id for debt in found.owed]
        names = Names.read(connection, tenant_id, shopper_ids=shoppers).shoppers
    return MoneyPage(
        holds=tuple(
            OpenHold(
                hold.session_id, names.get(hold.shopper_id, hold.shopper_id), hold.amount, hold.since_ns, hold.until_ns
            )
            for hold in found.holds
        ),
        held=found.gauges.held,
        owed=tuple(
            OwedRow(
                debt.session_id,
                names.get(debt.shopper_id, debt.shopper_id),
                debt.amount,
                debt.since_ns,
                debt.next_try_ns,
            )
            for debt in found.owed
        ),
        owed_total=found.gauges.owed,
        differences=tuple(
            Difference(
                what=told["kind"],
                provider=report.provider,
                ours=told["ours"],
                theirs=told["theirs"],
                explanation=told["explanation"],
                session_id=told["session_id"],
            )
            for report in found.reports
            for told in report.differences
        ),
        operations=tuple(
            MoneyRow(row.at_ns, row.kind, row.amount, row.state, row.key, row.ref, row.session_id, row.note)
            for row in found.operations[:OPERATIONS_MAX]
        ),
        captured=found.taken,
        refunded=found.refunded,
        faults=found.faults,
        checked_ns=min((report.at_ns for report in found.reports), default=None),
        now_ns=asked.now_ns,
    )


def screen_of(folder: Path | None, device_id: str, *, now_ns: int) -> Screen | None:
    """What the screen of a simulated cooler shows, as the process that runs it leaves it in a folder.

    Args:
        folder: of `DEVICE.json` files; None without simulated coolers.
        device_id: which cooler; one of the tenant's.
        now_ns: server time.
    Returns:
        the screen; None when it is dark, real, or its code has expired.
    """
    if folder is None or not _ID.fullmatch(device_id):
        return None
    try:
        said = json.loads((folder / f"{device_id}.json").read_text(encoding="utf-8"))
        url, expires_ns = str(said["url"]), int(said["expires_ns"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    left_s = (expires_ns - now_ns) // SECOND_NS
    return Screen(url, left_s) if left_s > 0 and url.startswith(("http://", "https://")) else None


def _fleet(connection: sa.Connection, asked: Asked) -> tuple[figures.FleetFigures, list[DeviceRow]]:
    tenant_id = asked.operator.tenant_id
    counted = figures.fleet(connection, tenant_id, since_ns=asked.now_ns - DAY_NS)
    beats = latest_beats(connection, tenant_id)
    names = Names.read(connection, tenant_id, shopper_ids=[])
    alerts: dict[str, list[str]] = {}
    for raised in alerts_of(connection, tenant_id):
        kinds = alerts.setdefault(raised.device_id, [])
        if raised.last_ns > asked.now_ns - ALERT_NS and raised.alert.kind not in kinds:
            kinds.append(raised.alert.kind)
    rows = []
    for device in devices_of(connection, tenant_id):
        beaten, numbers = beats.get(device.device_id), counted.devices.get(device.device_id)
        state = _state_of(device, beaten, now_ns=asked.now_ns)
        rows.append(
            DeviceRow(
                device_id=device.device_id,
                name=device.name,
                site=names.sites.get(device.site_id, ""),
                state=state,
                door=beaten.beat.door if beaten else "",
                troubles=_troubles(device, beaten, state=state, alerts=alerts.get(device.device_id, [])),
                seen_ns=beaten.received_ns if beaten else None,
                last_session_ns=numbers.last_session_ns if numbers else None,
                sessions=numbers.sessions if numbers else 0,
                automatic=numbers.automatic if numbers else None,
                reviews=numbers.waiting if numbers else 0,
                receipt_p95_s=numbers.receipt_s.p95 if numbers else None,
                temperature_c=beaten.beat.temperature_c if beaten else None,
                spooled=beaten.beat.spool_sessions if beaten else 0,
            )
        )
    return counted, rows


def _state_of(device: Device, beaten: Beaten | None, *, now_ns: int) -> str:
    if device.revoked_ns is not None:
        return "revoked"
    if beaten is None:
        return "never_seen"
    return "online" if beaten.online(now_ns) else "offline"


def _troubles(device: Device, beaten: Beaten | None, *, state: str, alerts: list[str]) -> tuple[str, ...]:
    """What is wrong, worst first; each word once."""
    if state == "revoked":
        return ()
    found = [
        *(["offline"] if state == "offline" else []),
        *(["too_warm"] if device.too_warm_ns is not None else []),
        *(["camera_dead"] if beaten and not beaten.beat.camera_ok else []),
        *(["maintenance"] if device.maintenance is not None else []),
        *alerts,
    ]
    return tuple(dict.fromkeys(found))


def _trouble_first(row: DeviceRow) -> tuple[bool, bool, int, str]:
    return (row.state == "revoked", not row.troubles, -row.reviews, row.name)
