"""The review inbox: the next case, and what a person decides about it."""

from dataclasses import replace
from urllib.parse import quote

import sqlalchemy as sa
from starlette.responses import Response

from fleetsight.apps.cooler.session import queries
from fleetsight.apps.cooler.session.answers import Missing
from fleetsight.apps.cooler.session.detail import SessionDetail, detail
from fleetsight.apps.cooler.session.figures import review_seconds
from fleetsight.apps.cooler.session.machine.transition import Refused
from fleetsight.apps.cooler.session.review import ReviewVerdict
from fleetsight.clock import SECOND_NS
from fleetsight.web.pages.contexts import PageContext
from fleetsight.web.pages.desk.rows import Names, choices_of, review_row, session_facts
from fleetsight.web.pages.desk.sessions import digits_of
from fleetsight.web.pages.desk_contexts import ReviewPage, ReviewRow
from fleetsight.web.pages.routing import DESK, Asked, Fields, absent, see
from fleetsight.web.problems import INVALID, Problem

INBOX = f"{DESK}/reviews"
DAY_NS = 24 * 3600 * SECOND_NS
UNITS_MAX = 99
SECONDS_MAX = 24 * 3600.0
AS_PROPOSED = "as_proposed"


def review_page(asked: Asked) -> ReviewPage:
    """The case that waits longest, or the one that is asked for by its id."""
    person, wanted = asked.operator.person, asked.request.query_params
    case = None if "session" in wanted else asked.services.reviews.next(person.tenant_id, person.person_id)
    session_id = wanted.get("session", case.session_id if case else None)
    with asked.services.rows.reading() as connection:
        found = None if session_id is None else _detail(connection, asked, session_id)
        if "session" in wanted and (found is None or not _waits(found)):
            raise absent()
        names = Names.read(connection, person.tenant_id, shopper_ids=[found.session.shopper_id] if found else [])
        return ReviewPage(
            case=session_facts(found, names, services=asked.services) if found else None,
            waiting=queries.waiting(connection, person.tenant_id),
            oldest_ns=case.oldest_ns if case else None,
            choices=choices_of(connection, found.session, services=asked.services) if found else (),
            done=_last_of(connection, asked, names),
            median_s=review_seconds(
                connection, person.tenant_id, since_ns=asked.now_ns - DAY_NS, reviewer_id=person.person_id
            ),
            now_ns=asked.now_ns,
            digits=digits_of(found.session.currency) if found else 2,
        )


def decide(asked: Asked, fields: Fields) -> PageContext | Response:
    """Take a decision; the next case follows."""
    session_id, action = fields.one("session_id", longest=40), fields.one("action", longest=10)
    version, seconds = fields.one("version", longest=9), fields.one("seconds", longest=12)
    if not version.isdecimal() or action not in ("accept", "correct", "waive"):
        raise Problem(INVALID, "the form is not one of ours")
    verdict = ReviewVerdict(
        tenant_id=asked.operator.tenant_id,
        session_id=session_id,
        reviewer_id=asked.operator.person.person_id,
        version=int(version),
        action=action,
        reason_code=AS_PROPOSED if action == "accept" else fields.one("reason_code", longest=40),
        basket=_basket(fields) if action == "correct" else None,
        seconds=_seconds(seconds),
    )
    told = asked.services.reviews.decide(verdict)
    if isinstance(told, Missing):
        raise absent()
    if isinstance(told, Refused):
        return replace(review_page(asked), problem=f"Not decided: {told.reason}.")
    return see(f"{INBOX}?after={quote(session_id, safe='')}")


def waiting(asked: Asked) -> int:
    """How many cases wait, for the badge beside every page of the desk.

    Args:
        asked: by a person.
    Returns:
        the number.
    """
    with asked.services.rows.reading() as connection:
        return queries.waiting(connection, asked.operator.tenant_id)


def _detail(connection: sa.Connection, asked: Asked, session_id: str) -> SessionDetail | None:
    return detail(connection, asked.operator.tenant_id, session_id=session_id, payments=asked.services.payments)


def _waits(found: SessionDetail) -> bool:
    return found.session.review_reason is not None or bool(found.session.contest)


def _last_of(connection: sa.Connection, asked: Asked, names: Names) -> ReviewRow | None:
    """The decision that this person just made, for the confirmation."""
    before = asked.request.query_params.get("after")
    found = None if before is None else _detail(connection, asked, before)
    mine = [row for row in found.reviews if row.reviewer_id == asked.operator.person.person_id] if found else []
    return review_row(mine[-1], names) if mine else None


def _basket(fields: Fields) -> dict[str, int]:
    skus, counts = fields.all("sku"), fields.all("count")
    if len(skus) != len(counts) or not all(count.isdecimal() and int(count) <= UNITS_MAX for count in counts):
        raise Problem(INVALID, f"each SKU needs a count of 0 to {UNITS_MAX}")
    basket: dict[str, int] = {}
    for sku, count in zip(skus, counts, strict=True):
        basket[sku] = basket.get(sku, 0) + int(count)
    return {sku: count for sku, count in basket.items() if count}


def _seconds(text: str) -> float:
    """Time on the case as the browser measured it; a browser that says nothing or nonsense spent none."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds <= SECONDS_MAX else 0.0
