"""What people call to watch, decide and refund. Running sites and devices has a module of its own."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from fleetsight.apps.cooler.session import figures, queries
from fleetsight.apps.cooler.session.answers import Applied, Missing, Repeated
from fleetsight.apps.cooler.session.detail import detail
from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.machine.transition import Refused
from fleetsight.apps.cooler.session.queries import Filter, Place
from fleetsight.apps.cooler.session.review import Case, RefundOrder, ReviewVerdict
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.devices.alerts import alerts_of
from fleetsight.fleet.devices.heartbeats import latest_beats
from fleetsight.fleet.devices.registry import devices_of
from fleetsight.fleet.sites import sites_of
from fleetsight.money import Money
from fleetsight.store.blobs import parse_digest
from fleetsight.store.idempotency import Answer
from fleetsight.web.api import operator_bodies as body
from fleetsight.web.api import operator_views as views
from fleetsight.web.api.fields import IdInPath
from fleetsight.web.blob_response import blob_response
from fleetsight.web.cursors import read_cursor, write_cursor
from fleetsight.web.gate.guarded import GuardedRoute, allow, operator, services_here
from fleetsight.web.gate.principal import Access, OperatorCaller
from fleetsight.web.idempotent import Asked, IdempotencyKey, asked, once_within
from fleetsight.web.problems import NOT_FOUND, Kind, Problem, conflict, problem_responses
from fleetsight.web.services import Services

HOURS_MAX = 24 * 31
Here = Annotated[Services, Depends(services_here)]
Who = Annotated[OperatorCaller, Depends(operator)]
Hours = Annotated[int, Query(ge=1, le=HOURS_MAX, description="figures of so many hours up to now")]
NO_PLACE = Kind(404, "unknown_cursor", "the cursor leads nowhere", "begin without one")
NO_CASE = Kind(404, "no_case", "no case waits that nobody else has before them", "ask again later")
EvidenceName = Annotated[str, Path(min_length=1, max_length=200, description="as the session lists it")]
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FILE = {
    "content": dict.fromkeys(("image/jpeg", "image/png", "image/webp", "video/mp4", "video/mp2t"), _BYTES)
    | {"application/octet-stream": _BYTES, "application/json": {}}
}
router = APIRouter(route_class=GuardedRoute, tags=["operators"])


async def _asked(request: Request, who: Who, idempotency_key: IdempotencyKey) -> Asked:
    return asked(request, who, key=idempotency_key)


Once = Annotated[Asked, Depends(_asked)]


@router.get("/v1/operator/sessions")
@allow(Access.VIEWER)
def sessions(
    who: Who,
    services: Here,
    *,
    state: Annotated[State | None, Query(description="one state only")] = None,
    cursor: Annotated[str | None, Query(max_length=200, description="of the piece before")] = None,
    limit: Annotated[int, Query(ge=1, le=queries.PAGE_MAX)] = 50,
) -> views.SessionList:
    """List sessions, newest first."""
    after = None
    if cursor is not None:
        place = read_cursor(cursor)
        if place is None:
            raise Problem(NO_PLACE)
        after = Place(*place)
    query = queries.Query(filter=Filter.ALL, state=state, after=after, limit=limit)
    with services.rows.reading() as connection:
        found = queries.page(connection, who.tenant_id, query=query)
    following = None if found.after is None else write_cursor(found.after.created_ns, found.after.session_id)
    return views.SessionList(sessions=found.rows, cursor=following)


@router.get("/v1/operator/sessions/{session_id}")
@allow(Access.VIEWER)
def session(session_id: IdInPath, who: Who, *, services: Here) -> views.SessionShown:
    """Everything about one session."""
    with services.rows.reading() as connection:
        found = detail(connection, who.tenant_id, session_id=session_id, payments=services.payments)
    if found is None:
        raise Problem(NOT_FOUND)
    return views.session_shown(found)


@router.get(
    "/v1/operator/sessions/{session_id}/evidence/{name}",
    response_class=Response,
    responses={
        200: _FILE | {"description": "the whole file"},
        206: _FILE | {"description": "the range that was asked for"},
        304: {"description": "the caller has it"},
        **problem_responses(416),
    },
)
@allow(Access.VIEWER)
def evidence(session_id: IdInPath, name: EvidenceName, *, who: Who, services: Here, request: Request) -> Response:
    """A picture or a clip that shows why; one range of bytes may be asked for."""
    with services.rows.reading() as connection:
        found = queries.evidence_file(connection, who.tenant_id, session_id=session_id, name=name)
    if found is None:
        raise Problem(NOT_FOUND)
    return blob_response(services.blobs, parse_digest(found.digest), name=found.name, headers=request.headers)


@router.get("/v1/operator/reviews/next", responses=problem_responses(404))
@allow(Access.REVIEWER)
def next_review(who: Who, services: Here) -> Case:
    """Take the case that waits longest; it is this person's for five minutes."""
    case = services.reviews.next(who.tenant_id, who.person.person_id)
    if case is None:
        raise Problem(NO_CASE)
    return case


@router.post("/v1/operator/sessions/{session_id}/decision", responses=problem_responses(409))
@allow(Access.REVIEWER)
def decide(session_id: IdInPath, sent: body.Verdict, *, who: Who, services: Here, request: Once) -> body.VerdictTaken:
    """Decide a session in review, or one that was contested; of two people, the first."""
    verdict = ReviewVerdict(
        tenant_id=who.tenant_id,
        session_id=session_id,
        reviewer_id=who.person.person_id,
        version=sent.version,
        action=sent.action,
        reason_code=sent.reason_code,
        basket=sent.basket if isinstance(sent, body.Corrected) else None,
        seconds=sent.seconds,
    )

    def act(connection: sa.Connection) -> Answer:
        told = _done(services.reviews.decide(verdict, connection=connection))
        after = told.session
        return Answer(200, {"session_id": after.id, "state": after.state.value, "version": after.version})

    return body.VerdictTaken.model_validate(once_within(services, request, act=act).body)


@router.post("/v1/operator/sessions/{session_id}/refunds", status_code=201, responses=problem_responses(409))
@allow(Access.OPERATOR)
def refund(
    session_id: IdInPath, sent: body.RefundOrder, *, who: Who, services: Here, request: Once
) -> body.RefundTaken:
    """Give money back without another decision."""
    order = RefundOrder(
        tenant_id=who.tenant_id,
        session_id=session_id,
        operator_id=who.person.person_id,
        refund_id=request.effect_id,
        amount=Money(sent.amount_minor, sent.currency),
        reason_code=sent.reason_code,
    )

    def act(connection: sa.Connection) -> Answer:
        after = _done(services.reviews.refund(order, connection=connection)).session
        return Answer(201, {"session_id": after.id, "refund_id": order.refund_id, "state": after.state.value})

    return body.RefundTaken.model_validate(once_within(services, request, act=act).body)


@router.get("/v1/operator/fleet")
@allow(Access.VIEWER)
def fleet(who: Who, services: Here, *, hours: Hours = 24) -> views.FleetShown:
    """Every cooler: whether it is online, how it does, and what a person should look at."""
    now_ns = services.clock.now_ns()
    since_ns = now_ns - hours * 3600 * SECOND_NS
    with services.rows.reading() as connection:
        counted = figures.fleet(connection, who.tenant_id, since_ns=since_ns)
        beats = latest_beats(connection, who.tenant_id)
        sites = sites_of(connection, who.tenant_id)
        devices = devices_of(connection, who.tenant_id)
        alerts = alerts_of(connection, who.tenant_id)
    shown = [
        views.device_shown(
            device,
            sites=sites,
            beaten=beats.get(device.device_id),
            figures=counted.devices.get(device.device_id),
            now_ns=now_ns,
        )
        for device in devices
    ]
    return views.FleetShown(
        since_ns=since_ns,
        devices=shown,
        alerts=[views.alert_shown(raised) for raised in alerts],
        **views.totals_of(counted),
    )


@router.get("/v1/operator/money")
@allow(Access.OPERATOR)
def money(who: Who, services: Here, *, hours: Hours = 24) -> figures.MoneyFigures:
    """Where the money is: holds, debts, differences with the providers, the latest calls, and whether the books balance."""
    since_ns = services.clock.now_ns() - hours * 3600 * SECOND_NS
    with services.rows.reading() as connection:
        return figures.money(connection, who.tenant_id, since_ns=since_ns)


def _done(told: Applied | Repeated | Refused | Missing) -> Applied | Repeated:
    if isinstance(told, Missing):
        raise Problem(NOT_FOUND)
    if isinstance(told, Refused):
        raise conflict(told.code.value, told.reason, hint="look at the session again; it may have changed")
    return told
