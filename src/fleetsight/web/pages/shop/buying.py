"""A purchase on the shopper's phone: while it happens, its receipt, the objection to it; and the wallet with all purchases."""

from urllib.parse import quote

import sqlalchemy as sa
from starlette.responses import Response

from fleetsight.apps.cooler.session import queries
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import DoorState, State
from fleetsight.apps.cooler.session.review import Contest as Objection
from fleetsight.billing.prices import price_list_at
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.devices.registry import devices_of
from fleetsight.fleet.sites import sites_of
from fleetsight.money import Money, MoneyError
from fleetsight.store.blobs import Digest
from fleetsight.store.ids import new_id
from fleetsight.web.blob_response import blob_response
from fleetsight.web.gate.principal import ShopperCaller
from fleetsight.web.pages.contexts import (
    Contest,
    PageContext,
    Purchase,
    Receipt,
    ReceiptLine,
    Refund,
    ShopHomePage,
    ShopSessionPage,
    Stage,
    Strip,
    TaxLine,
)
from fleetsight.web.pages.product_pictures import picture_answer, pictured
from fleetsight.web.pages.routing import Asked, Fields, absent, see
from fleetsight.web.pages.shop.scanning import purse_of

PURCHASES_MAX = 30
TOP_UPS_MINOR = (1000, 2500, 5000)
TEXT_LONGEST = 500


def session_page(asked: Asked) -> PageContext:
    """A purchase of one's own."""
    shopper, session_id = asked.shopper.shopper, asked.part("session_id")
    with asked.services.rows.reading() as connection:
        seen = queries.shopper_session(
            connection, shopper.tenant_id, shopper_id=shopper.shopper_id, session_id=session_id
        )
        session = queries.find(connection, shopper.tenant_id, session_id=session_id)
        if seen is None or session is None:
            raise absent()
        cooler, site = _place(connection, session)
    stage = stage_of(session, seen)
    runs_out_ns = seen.deadline_ns if stage is Stage.UNLOCKED else None
    receipt = None if seen.receipt is None or stage is Stage.NOTHING_TAKEN else _receipt(asked, session, seen.receipt)
    contest = seen.contest
    return ShopSessionPage(
        session_id=session.id,
        stage=stage,
        cooler=cooler,
        site=site,
        started_ns=session.created_ns,
        now_ns=asked.now_ns,
        left_s=None if runs_out_ns is None else max(0, (runs_out_ns - asked.now_ns) // SECOND_NS),
        hold=Money(session.hold_minor, session.currency),
        held=session.payment.held_minor > 0,
        receipt=receipt,
        contest=Contest(c.at_ns, c.skus, c.reason, c.text, c.answered_ns, c.answer) if (c := contest) else None,
        contestable=receipt is not None and contest is None,
        purse=purse_of(asked.services, shopper, currency=session.currency),
    )


def stage_of(session: Session, seen: queries.ShopperSession) -> Stage:
    """What a phone shows.

    Args:
        session: as it is.
        seen: the same, as its shopper sees it.
    Returns:
        the stage.
    """
    coarse = {
        queries.Stage.UNLOCKING: Stage.UNLOCKING,
        queries.Stage.OPEN: Stage.UNLOCKED if session.door.state is DoorState.UNLOCKED else Stage.OPEN,
        queries.Stage.REVIEW: Stage.REVIEW,
        queries.Stage.WORKING: Stage.WORKING,
        queries.Stage.RECEIPT: Stage.RECEIPT,
        queries.Stage.ENDED: _end_of(session.state, session.outcome),
    }[seen.stage]
    if coarse is Stage.WORKING and session.state in (State.CLOSED, State.WAITING_EVIDENCE):
        return Stage.UPLOADING
    if session.state in (State.OWED, State.WRITTEN_OFF):
        return Stage.OWED
    if coarse is Stage.RECEIPT and not (session.decision and session.decision.basket):
        return Stage.NOTHING_TAKEN
    return coarse


def home_page(asked: Asked) -> PageContext:
    """Wallet and purchases; for strangers, how it works."""
    caller, services = asked.caller, asked.services
    if not isinstance(caller, ShopperCaller):
        return ShopHomePage(None, (), (), sign_up=services.open_signup, now_ns=asked.now_ns)
    shopper = caller.shopper
    query = queries.Query(shopper_id=shopper.shopper_id, limit=PURCHASES_MAX)
    with services.rows.reading() as connection:
        rows = queries.page(connection, shopper.tenant_id, query=query).rows
        names = {d.device_id: d.name for d in devices_of(connection, shopper.tenant_id)}
        sites = sites_of(connection, shopper.tenant_id)
        currency = _currency(connection, asked, rows)
    purse = purse_of(services, shopper, currency=currency)
    gives = services.open_signup and purse.balance is not None
    return ShopHomePage(
        purse,
        tuple(
            Purchase(
                session_id=row.session_id,
                cooler=names.get(row.device_id, ""),
                site=sites[row.site_id].name if row.site_id in sites else "",
                at_ns=row.created_ns,
                stage=_stage_of_row(row),
                total=row.kept if row.decision else None,
            )
            for row in rows
        ),
        tuple(Money(minor, currency) for minor in TOP_UPS_MINOR) if gives else (),
        sign_up=services.open_signup,
        now_ns=asked.now_ns,
        top_up_key=new_id(),
    )


def top_up(asked: Asked, fields: Fields) -> Response:
    """Play money into the own wallet, where the installation gives it away."""
    services, shopper = asked.services, asked.shopper.shopper
    try:
        amount = Money.parse(fields.one("amount"))
    except MoneyError:
        raise absent() from None
    if services.wallet is None or not services.open_signup or amount.minor not in TOP_UPS_MINOR:
        raise absent()
    key = f"page:{shopper.shopper_id}:{fields.one('key', longest=40)}"
    services.wallet.top_up(shopper.tenant_id, shopper.shopper_id, amount=amount, key=key)
    return see("/shop")


def contest(asked: Asked, fields: Fields) -> Response:
    """Take "this is wrong"; the page says what happens next."""
    shopper, session_id = asked.shopper.shopper, asked.part("session_id")
    objection = Objection(
        tenant_id=shopper.tenant_id,
        session_id=session_id,
        shopper_id=shopper.shopper_id,
        contest_id=f"page:{session_id}",
        skus=fields.all("sku"),
        reason=fields.one("reason", longest=40),
        text=fields.one("text", longest=TEXT_LONGEST),
    )
    asked.services.reviews.contest(objection)  # a refusal shows: the page then has no objection, or the earlier one
    return see(f"/shop/sessions/{quote(session_id, safe='')}")


def strip_file(asked: Asked) -> Response:
    """A picture that stands on one's own receipt."""
    shopper = asked.shopper.shopper
    with asked.services.rows.reading() as connection:
        file = queries.evidence_file(
            connection,
            shopper.tenant_id,
            session_id=asked.part("session_id"),
            name=asked.part("name"),
            shopper_id=shopper.shopper_id,
        )
    if file is None:
        raise absent()
    return blob_response(asked.services.blobs, Digest(file.digest), name=file.name, headers=asked.request.headers)


def product_picture(asked: Asked) -> Response:
    """A picture of a product that one's own session could hold."""
    shopper = asked.shopper.shopper
    with asked.services.rows.reading() as connection:
        session = queries.find(connection, shopper.tenant_id, session_id=asked.part("session_id"))
    if session is None or session.shopper_id != shopper.shopper_id:
        raise absent()
    return picture_answer(asked, session)


def _receipt(asked: Asked, session: Session, seen: queries.ReceiptView) -> Receipt:
    base = f"/shop/sessions/{session.id}"
    picture = pictured(asked.services, session, base=base)
    return Receipt(
        number=seen.number,
        settled_ns=seen.issued_ns,
        lines=tuple(
            ReceiptLine(
                line.sku,
                line.name,
                line.count,
                line.each,
                line.amount,
                picture(line.sku),
                tuple(Strip(f"{base}/evidence/{quote(s.name)}", s.kind, s.at_s) for s in line.strips),
            )
            for line in seen.lines
        ),
        total=seen.total,
        taxes=tuple(TaxLine(tax.rate_bp, tax.amount) for tax in seen.taxes),
        paid_by=seen.paid_by,
        refunds=tuple(Refund(made.at_ns, made.amount, made.reason) for made in seen.refunds),
        paid=seen.paid,
        owed=seen.owed,
        waived=seen.waived,
    )


def _end_of(state: State, outcome: str) -> Stage:
    if state is State.DENIED:
        return Stage.DECLINED
    return Stage.NEVER_OPENED if outcome == "never_opened" else Stage.NOT_UNLOCKED


def _stage_of_row(row: queries.SessionRow) -> Stage:
    state = State(row.state)
    if state in (State.OWED, State.WRITTEN_OFF):
        return Stage.OWED
    if state is State.RELEASED:
        return Stage.NOTHING_TAKEN
    stage = queries.stage_of(state, has_receipt=True)
    return _end_of(state, row.door) if stage is queries.Stage.ENDED else Stage(stage.value)


def _place(connection: sa.Connection, session: Session) -> tuple[str, str]:
    """Names of the device and its site."""
    names = {device.device_id: device.name for device in devices_of(connection, session.tenant_id)}
    sites = sites_of(connection, session.tenant_id)
    site = sites.get(session.site_id)
    return names.get(session.device_id, ""), site.name if site else ""


def _currency(connection: sa.Connection, asked: Asked, rows: tuple[queries.SessionRow, ...]) -> str:
    """Of the wallet: that of the last purchase, else that of the first site with prices; empty when there is none."""
    if rows:
        return rows[0].kept.currency
    tenant_id = asked.shopper.tenant_id
    for site_id in sites_of(connection, tenant_id):
        prices = price_list_at(connection, tenant_id, site_id=site_id, at_ns=asked.now_ns)
        if prices is not None:
            return prices.currency
    return ""
