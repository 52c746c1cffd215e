"""The live list, one session with everything about it, and refunds."""

from dataclasses import replace

from starlette.responses import Response

from fleetsight.apps.cooler.session import queries
from fleetsight.apps.cooler.session.answers import Missing
from fleetsight.apps.cooler.session.detail import detail
from fleetsight.apps.cooler.session.machine.states import ENDED, State
from fleetsight.apps.cooler.session.machine.transition import Refused
from fleetsight.apps.cooler.session.review import RefundOrder
from fleetsight.fleet.people import Role
from fleetsight.money import Money, MoneyError
from fleetsight.store.ids import new_id
from fleetsight.web.cursors import read_cursor, write_cursor
from fleetsight.web.pages.contexts import PageContext
from fleetsight.web.pages.desk.rows import (
    Names,
    decision_row,
    history_row,
    money_row,
    review_row,
    session_facts,
    session_row,
)
from fleetsight.web.pages.desk_contexts import SessionPage, SessionsPage
from fleetsight.web.pages.product_pictures import picture_answer
from fleetsight.web.pages.routing import DESK, Asked, Fields, absent, see
from fleetsight.web.problems import INVALID, Problem

ROWS = 40


def sessions_page(asked: Asked) -> PageContext:
    """The list, newest first."""
    wanted = asked.request.query_params
    shown, cursor = wanted.get("show", "all"), wanted.get("cursor", "")
    if shown not in list(queries.Filter):
        raise Problem(INVALID, f"there is no filter {shown[:40]!r}")
    place = read_cursor(cursor) if cursor else None
    if cursor and place is None:
        raise Problem(INVALID, "the cursor is none of ours")
    after = queries.Place(*place) if place else None
    query = queries.Query(filter=queries.Filter(shown), after=after, limit=ROWS)
    tenant_id = asked.operator.tenant_id
    with asked.services.rows.reading() as connection:
        found = queries.page(connection, tenant_id, query=query)
        names = Names.read(connection, tenant_id, shopper_ids=[row.shopper_id for row in found.rows])
    following = None if found.after is None else write_cursor(found.after.created_ns, found.after.session_id)
    return SessionsPage(
        rows=tuple(session_row(row, names) for row in found.rows),
        shown=shown,
        cursor=cursor,
        next_cursor=following,
        now_ns=asked.now_ns,
    )


def session_page(asked: Asked) -> SessionPage:
    """Everything about one session."""
    tenant_id, role = asked.operator.tenant_id, asked.operator.person.role
    services = asked.services
    with services.rows.reading() as connection:
        found = detail(connection, tenant_id, session_id=asked.part("session_id"), payments=services.payments)
        if found is None:
            raise absent()
        names = Names.read(connection, tenant_id, shopper_ids=[found.session.shopper_id])
    session = found.session
    return SessionPage(
        facts=session_facts(found, names, services=services),
        history=tuple(history_row(row, currency=session.currency) for row in found.history),
        money=tuple(money_row(operation) for operation in found.money),
        decisions=tuple(decision_row(row, names) for row in found.decisions),
        reviews=tuple(review_row(row, names) for row in found.reviews),
        log_whole=found.log_broken_at is None,
        can_refund=role >= Role.OPERATOR,
        can_review=role >= Role.REVIEWER,
        now_ns=asked.now_ns,
        refund_key=new_id(),
        live=session.state not in (ENDED | {State.OWED}) or session.payment.pending is not None,
    )


def refund(asked: Asked, fields: Fields) -> PageContext | Response:
    """Give money back; a refusal shows on the page."""
    session_id = asked.part("session_id")
    try:
        amount = read_amount(fields.one("amount", longest=20), fields.one("currency", longest=3))
    except MoneyError as error:
        return replace(session_page(asked), problem=f"{error.message}. Write it like 2.50.")
    order = RefundOrder(
        tenant_id=asked.operator.tenant_id,
        session_id=session_id,
        operator_id=asked.operator.person.person_id,
        refund_id=f"page-{fields.one('key', longest=40)}",
        amount=amount,
        reason_code=fields.one("reason_code", longest=40),
    )
    told = asked.services.reviews.refund(order)
    if isinstance(told, Missing):
        raise absent()
    if isinstance(told, Refused):
        return replace(session_page(asked), problem=f"Nothing was given back: {told.reason}.")
    return see(f"{DESK}/sessions/{told.session.id}")


def product_picture(asked: Asked) -> Response:
    """A picture of a product that a session could hold."""
    with asked.services.rows.reading() as connection:
        session = queries.find(connection, asked.operator.tenant_id, session_id=asked.part("session_id"))
    if session is None:
        raise absent()
    return picture_answer(asked, session)


def read_amount(text: str, currency: str) -> Money:
    """An amount as people type it: with point or comma, with or without all digits of the fraction.

    Args:
        text: such as `2.5` or `2,50`.
        currency: three letters.
    Returns:
        the amount.
    Raises:
        MoneyError: it is no amount, or more exact than the currency.

    >>> str(read_amount("2,5", "EUR"))
    '2.50 EUR'
    """
    whole, point, fraction = text.replace(",", ".").partition(".")
    if point:
        fraction = fraction.ljust(digits_of(currency), "0")
    return Money.parse(f"{whole}{point}{fraction} {currency}")


def digits_of(currency: str) -> int:
    """Digits of a currency's fraction.

    Args:
        currency: three letters.
    Returns:
        0, 2 or 3.
    Raises:
        MoneyError: it is no currency.
    """
    return len(str(Money(0, currency)).split(" ")[0].partition(".")[2])
