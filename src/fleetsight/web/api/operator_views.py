"""What people see: answers that are put together from sessions, devices and money. Only what is listed here leaves the house."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from fleetsight.apps.cooler.session import detail, queries
from fleetsight.apps.cooler.session.detail import SessionDetail
from fleetsight.apps.cooler.session.figures import DeviceFigures, FleetFigures, Spread
from fleetsight.billing.operations import Operation
from fleetsight.fleet.devices.alerts import RaisedAlert
from fleetsight.fleet.devices.heartbeats import Beaten
from fleetsight.fleet.devices.registry import Device
from fleetsight.fleet.sites import Site
from fleetsight.money import Money
from fleetsight.web.api.fields import Amount, Says


class SessionList(Says):
    """A piece of the list of sessions, newest first."""

    sessions: tuple[queries.SessionRow, ...]
    cursor: str | None = Field(description="leads to the next piece; null at the end")


class PaymentCall(Says):
    """One call to a payment provider."""

    at_ns: int
    kind: str
    amount: Amount
    state: str
    key: str
    provider: str
    provider_ref: str

    @classmethod
    def of(cls, operation: Operation) -> "PaymentCall":
        """A call as people see it.

        Args:
            operation: as billing keeps it.
        Returns:
            the same without what is nobody's business.
        """
        return cls(
            at_ns=operation.touched_ns,
            kind=operation.kind.value,
            amount=Amount.of(operation.amount),
            state=operation.state.value,
            key=operation.key,
            provider=operation.provider,
            provider_ref=operation.provider_ref,
        )


class SessionShown(Says):
    """Everything about one session that helps to understand or decide it."""

    session_id: str
    version: int = Field(description="a decision names it")
    state: str
    door: str
    evidence: str
    payment: str
    flags: list[str]
    review_reason: str
    device_id: str
    site_id: str
    shopper_id: str
    created_ns: int
    deadline_ns: int | None
    ended_ns: int | None
    outcome: str
    assortment: str
    price_list_id: str
    pipeline: str
    confidence: float | None
    reason: str
    clip: str
    duration_s: float
    degraded: tuple[str, ...]
    events: tuple[detail.ClipEvent, ...]
    proposed: tuple[detail.BasketLine, ...]
    basket: tuple[detail.BasketLine, ...]
    refundable: Amount | None
    history: tuple[detail.HistoryRow, ...]
    decisions: tuple[detail.DecisionRow, ...]
    money: list[PaymentCall]
    reviews: tuple[detail.ReviewRow, ...]
    contest: queries.ContestView | None
    receipt: queries.ReceiptView | None
    log_broken_at: int | None = Field(description="first position at which the log was changed afterwards")


def session_shown(found: SessionDetail) -> SessionShown:
    """A session as people see it.

    Args:
        found: everything about it.
    Returns:
        what of it is shown.
    """
    session, proposal = found.session, found.session.proposal
    return SessionShown(
        session_id=session.id,
        version=session.version,
        state=session.state.value,
        door=session.door.state.value,
        evidence=session.evidence.state.value,
        payment=session.payment.state.value,
        flags=sorted(flag.value for flag in session.flags),
        review_reason="" if session.review_reason is None else str(session.review_reason),
        device_id=session.device_id,
        site_id=session.site_id,
        shopper_id=session.shopper_id,
        created_ns=session.created_ns,
        deadline_ns=session.due_ns,
        ended_ns=session.ended_ns,
        outcome=session.outcome,
        assortment=session.assortment,
        price_list_id=session.price_list_id,
        pipeline=session.pipeline,
        confidence=None if proposal is None else proposal.confidence,
        reason="" if proposal is None else proposal.reason,
        clip=found.clip,
        duration_s=found.duration_s,
        degraded=found.degraded,
        events=found.events,
        proposed=found.proposed,
        basket=found.basket,
        refundable=None if found.refundable is None else Amount.of(found.refundable),
        history=found.history,
        decisions=found.decisions,
        money=[PaymentCall.of(operation) for operation in found.money],
        reviews=found.reviews,
        contest=found.contest,
        receipt=found.receipt,
        log_broken_at=found.log_broken_at,
    )


class DeviceShown(Says):
    """One cooler."""

    device_id: str
    name: str
    site_id: str
    site: str
    online: bool
    last_seen_ns: int | None
    door: str | None
    camera_ok: bool | None
    temperature_c: float | None
    spool_sessions: int | None
    spool_bytes: int | None
    maintenance: str | None
    too_warm_ns: int | None
    enrolled_ns: int | None
    revoked_ns: int | None
    figures: DeviceFigures | None


class AlertShown(Says):
    """Something that a person should look at."""

    device_id: str
    kind: str
    detail: str
    first_ns: int
    last_ns: int
    count: int


class FleetShown(Says):
    """Every cooler of a tenant, and figures of a period."""

    since_ns: int
    devices: list[DeviceShown]
    alerts: list[AlertShown]
    sessions: int
    automatic: float | None = Field(description="share of decisions that no person and no deadline took")
    waiting: int = Field(description="sessions that wait for a person")
    oldest_waiting_ns: int | None
    contested: float | None = Field(description="share of receipts with an objection")
    receipt_s: Spread = Field(description="from the last segment to the first receipt")
    review_s: float | None = Field(description="median time that a case was on a screen")
    revenue: tuple[Money, ...]


def device_shown(
    device: Device, *, sites: Mapping[str, Site], beaten: Beaten | None, figures: DeviceFigures | None, now_ns: int
) -> DeviceShown:
    """A device as people see it.

    Args:
        device: which.
        sites: of its tenant.
        beaten: its latest heartbeat; None before the first.
        figures: of its sessions; None without any.
        now_ns: now.
    Returns:
        the device.
    """
    beat = None if beaten is None else beaten.beat
    return DeviceShown(
        device_id=device.device_id,
        name=device.name,
        site_id=device.site_id,
        site=sites[device.site_id].name,
        online=beaten is not None and device.revoked_ns is None and beaten.online(now_ns),
        last_seen_ns=None if beaten is None else beaten.received_ns,
        door=None if beat is None else beat.door,
        camera_ok=None if beat is None else beat.camera_ok,
        temperature_c=None if beat is None else beat.temperature_c,
        spool_sessions=None if beat is None else beat.spool_sessions,
        spool_bytes=None if beat is None else beat.spool_bytes,
        maintenance=device.maintenance,
        too_warm_ns=device.too_warm_ns,
        enrolled_ns=device.enrolled_ns,
        revoked_ns=device.revoked_ns,
        figures=figures,
    )


def alert_shown(raised: RaisedAlert) -> AlertShown:
    """An alert as people see it.

    Args:
        raised: as it is kept.
    Returns:
        the alert.
    """
    return AlertShown(
        device_id=raised.device_id,
        kind=raised.alert.kind,
        detail=raised.alert.detail,
        first_ns=raised.first_ns,
        last_ns=raised.last_ns,
        count=raised.count,
    )


def totals_of(figures: FleetFigures) -> dict[str, Any]:
    """The figures of all coolers together.

    Args:
        figures: as counted.
    Returns:
        fields of `FleetShown`.
    """
    names = ("sessions", "automatic", "waiting", "oldest_waiting_ns", "contested", "receipt_s", "review_s", "revenue")
    return {name: getattr(figures, name) for name in names}
