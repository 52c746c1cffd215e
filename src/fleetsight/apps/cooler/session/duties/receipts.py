"""Receipts of sessions: what was decided, at the frozen prices, with the files that show why and every movement of money.

A receipt is written again after each change of the money and never overwritten: the newest counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from fleetsight.apps.cooler.session.effects import NOTIFY
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.tables import EVIDENCE, RECEIPTS, RUNS
from fleetsight.billing.payments import Payments
from fleetsight.billing.prices import price_list
from fleetsight.billing.quote import Quote, quote
from fleetsight.billing.receipt import ReceiptFacts, receipt_of
from fleetsight.errors import Error
from fleetsight.store.canonical import JsonObject
from fleetsight.store.outbox import post
from fleetsight.store.rows import insert_if_absent


class PriceMissingError(Error):
    """A price list that a session froze is not there."""

    code = "session_prices"


@dataclass(frozen=True)
class Wording:
    """What a receipt says in words.

    Attributes:
        seller: who sells.
        place: where.
        names: of SKUs.
    """

    seller: str
    place: str
    names: Mapping[str, str] = field(default_factory=dict)


def quote_of(connection: sa.Connection, session: Session, *, basket: Mapping[str, int]) -> Quote:
    """What a basket costs at the prices that the session froze.

    Args:
        connection: reads.
        session: whose.
        basket: units by SKU.
    Returns:
        the quote; SKUs without a price stand in `missing`.
    Raises:
        PriceMissingError: there is no such price list.
    """
    prices = price_list(connection, session.tenant_id, list_id=session.price_list_id)
    if prices is None:
        raise PriceMissingError(f"session {session.id}: there is no price list {session.price_list_id}")
    return quote(basket, prices)


def strips_by_sku(connection: sa.Connection, session_id: str) -> dict[str, tuple[str, ...]]:
    """Names of the evidence files of a session by the SKU that they show.

    Args:
        connection: reads.
        session_id: whose.
    Returns:
        in the order of the events.
    """
    question = (
        sa.select(EVIDENCE.c.name, EVIDENCE.c.event, RUNS.c.report)
        .join(RUNS, sa.and_(RUNS.c.session_id == EVIDENCE.c.session_id, RUNS.c.run_id == EVIDENCE.c.run_id))
        .where(EVIDENCE.c.session_id == session_id, EVIDENCE.c.event.is_not(None))
        .order_by(EVIDENCE.c.event)
    )
    found: dict[str, list[str]] = {}
    for row in connection.execute(question):
        sku = row.report["events"][row.event]["sku"]
        if sku is not None:
            found.setdefault(sku, []).append(row.name)
    return {sku: tuple(names) for sku, names in found.items()}


def write_receipt(
    connection: sa.Connection, session: Session, *, payments: Payments, wording: Wording, now_ns: int
) -> bool:
    """Write the receipt of a session as it stands, and tell the shopper.

    Args:
        connection: of a write transaction.
        session: with a decision.
        payments: knows its money.
        wording: what it says in words.
        now_ns: when.
    Returns:
        False when the receipt of this version was written before.
    """
    decision = session.decision
    if decision is None:
        return False
    money = payments.money_of(connection, session.tenant_id, session_id=session.id, currency=session.currency)
    facts = ReceiptFacts(
        number=session.id,
        seller=wording.seller,
        place=wording.place,
        at_ns=session.door.closed_ns or session.created_ns,
        names=wording.names,
        evidence=strips_by_sku(connection, session.id),
    )
    receipt = receipt_of(quote_of(connection, session, basket=dict(decision.basket)), facts, money=money)
    body: JsonObject = {
        **receipt.as_json(),
        "text": receipt.as_text(),
        "decision": decision.version,
        "action": decision.action.value,
        "waived_minor": session.payment.waived_minor,
        "refunds": [
            {"at_ns": made.at_ns, "amount_minor": -made.amount.minor, "reason": made.note}
            for made in receipt.payments
            if made.amount.minor < 0
        ],
    }
    row = {
        "session_id": session.id,
        "version": session.version,
        "tenant_id": session.tenant_id,
        "body": body,
        "at_ns": now_ns,
    }
    if not insert_if_absent(connection, RECEIPTS, values=row, keys=["session_id", "version"]):
        return False
    told: JsonObject = {
        "session_id": session.id,
        "tenant_id": session.tenant_id,
        "shopper_id": session.shopper_id,
        "audience": "shopper",
        "paid_minor": receipt.paid.minor,
        "currency": session.currency,
    }
    key = f"notify:{session.id}:receipt:{session.version}"
    notice: JsonObject = {"kind": "receipt.ready", "at_ns": now_ns, "facts": told}
    post(connection, topic=NOTIFY, key=key, body=notice, due_ns=now_ns)
    return True


def newest_receipt(connection: sa.Connection, session_id: str) -> JsonObject | None:
    """The receipt of a session.

    Args:
        connection: reads.
        session_id: whose.
    Returns:
        its body; None while there is none.
    """
    question = sa.select(RECEIPTS.c.body).where(RECEIPTS.c.session_id == session_id)
    body: JsonObject | None = connection.execute(
        question.order_by(RECEIPTS.c.version.desc()).limit(1)
    ).scalar_one_or_none()
    return body
