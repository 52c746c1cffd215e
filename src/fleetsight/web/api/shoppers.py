"""What phones call: sign-up, top-up, opening a door, the session's course, its receipt, and "this is wrong"."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response

from fleetsight.apps.cooler.session import queries
from fleetsight.apps.cooler.session.answers import Missing
from fleetsight.apps.cooler.session.machine.transition import Refused
from fleetsight.apps.cooler.session.review import Contest
from fleetsight.fleet.redeem import NotRedeemed, Redeemed
from fleetsight.fleet.shoppers import Method, add_shopper
from fleetsight.fleet.tenants import tenants
from fleetsight.money import Money
from fleetsight.store.idempotency import Answer
from fleetsight.web.api import shopper_bodies as body
from fleetsight.web.api.fields import Amount, IdInPath
from fleetsight.web.gate.guarded import GuardedRoute, allow, services_here, shopper
from fleetsight.web.gate.principal import Access, ShopperCaller
from fleetsight.web.idempotent import Asked, IdempotencyKey, asked, once, once_within
from fleetsight.web.problems import NOT_FOUND, Kind, Problem, conflict, problem_responses
from fleetsight.web.services import Services

Here = Annotated[Services, Depends(services_here)]
Who = Annotated[ShopperCaller, Depends(shopper)]
CLOSED = Kind(
    403, "closed", "this installation takes no strangers and gives no money away", "ask the operator for an account"
)
QR_EXPIRED = Kind(
    410, "qr_expired", "the code is no longer, or not yet, valid", "scan the code that the door shows now"
)
HINTS = {
    "offline": "the cooler does not answer; try another one, or again in a minute",
    "maintenance": "the cooler is being looked after",
    "too_warm": "the cooler is too warm; its food must not be sold",
    "camera_dead": "the cooler cannot see; try another one",
    "no_prices": "the operator has to set prices for this site",
    "no_assortment": "the operator has to say what this cooler holds",
    "redeemed": "somebody else scanned this code; scan the one that the door shows now",
    "device_busy": "somebody is shopping; wait until the door is closed",
    "door_open": "the door stands open; close it first",
    "arrears": "an earlier purchase is not paid; top up first",
}
router = APIRouter(route_class=GuardedRoute, tags=["shoppers"])


async def _asked(request: Request, who: Who, idempotency_key: IdempotencyKey) -> Asked:
    return asked(request, who, key=idempotency_key)


Once = Annotated[Asked, Depends(_asked)]


@router.post("/v1/shoppers", status_code=201, responses=problem_responses(403))
@allow(Access.PUBLIC, rate="sign_up")
def sign_up(sent: body.SignUp, services: Here) -> body.SignedUp:
    """Register as a shopper, where the installation lets strangers do so."""
    now_ns = services.clock.now_ns()
    with services.rows.transaction() as connection:
        known = tenants(connection)
        if not services.open_signup or not known:
            raise Problem(CLOSED)
        made, token = add_shopper(
            connection, known[0].tenant_id, name=sent.name, now_ns=now_ns, method=Method(sent.method.kind)
        )
    return body.SignedUp(shopper_id=made.shopper_id, token=token)


@router.post("/v1/shopper/top-ups", status_code=201, responses=problem_responses(403, 409))
@allow(Access.SHOPPER)
def top_up(sent: body.TopUp, who: Who, *, services: Here, request: Once) -> body.ToppedUp:
    """Put money into the own wallet, where the installation gives it away."""
    wallet = services.wallet
    if not services.open_signup or wallet is None:
        raise Problem(CLOSED)

    def act() -> Answer:
        here = who.shopper
        balance = wallet.top_up(
            here.tenant_id,
            here.shopper_id,
            amount=Money(sent.amount_minor, sent.currency),
            key=f"top_up:{request.effect_id}",
        )
        return Answer(201, {"minor": balance.minor, "currency": balance.currency})

    return body.ToppedUp(balance=Amount.model_validate(once(services, request, act=act).body))


@router.post(
    "/v1/shopper/sessions",
    status_code=201,
    responses={
        200: {"model": body.Opened, "description": "the same session again"},
        **problem_responses(404, 409, 410),
    },
)
@allow(Access.SHOPPER, rate="redeem")
def redeem(sent: body.Redeem, who: Who, *, services: Here, request: Once, response: Response) -> body.Opened:
    """Open the door whose code was scanned: holds money, then unlocks. The same code gives the same session."""

    def act() -> Answer:
        found = services.redeemer.redeem(who.shopper, sent.qr_token)
        if isinstance(found, NotRedeemed):
            raise _not_redeemed(found)
        return Answer(201 if found.fresh else 200, _opened(found).model_dump(mode="json"))

    answer = once(services, request, act=act)
    response.status_code = answer.status
    return body.Opened.model_validate(answer.body)


@router.get("/v1/shopper/sessions/{session_id}")
@allow(Access.SHOPPER)
def session(session_id: IdInPath, who: Who, *, services: Here) -> queries.ShopperSession:
    """How a session of one's own goes."""
    return _own(services, who, session_id)


@router.get("/v1/shopper/sessions/{session_id}/receipt", responses=problem_responses(409))
@allow(Access.SHOPPER)
def receipt(session_id: IdInPath, who: Who, *, services: Here) -> queries.ReceiptView:
    """The receipt of a session of one's own."""
    found = _own(services, who, session_id).receipt
    if found is None:
        raise conflict(
            "no_receipt", "the session has no receipt, or none yet", hint="ask for the session's stage first"
        )
    return found


@router.post("/v1/shopper/sessions/{session_id}/contest", status_code=201, responses=problem_responses(409))
@allow(Access.SHOPPER)
def contest(
    session_id: IdInPath, sent: body.Objection, *, who: Who, services: Here, request: Once
) -> body.ObjectionTaken:
    """Say that a receipt is wrong; a person decides."""

    def act(connection: sa.Connection) -> Answer:
        told = services.reviews.contest(
            Contest(
                tenant_id=who.tenant_id,
                session_id=session_id,
                shopper_id=who.shopper.shopper_id,
                contest_id=request.effect_id,
                skus=tuple(sent.lines),
                reason=sent.reason,
                text=sent.text,
            ),
            connection=connection,
        )
        if isinstance(told, Missing):
            raise Problem(NOT_FOUND)
        if isinstance(told, Refused):
            raise conflict(told.code.value, told.reason, hint="a session can be contested once, after its receipt")
        return Answer(201, {"session_id": session_id, "contest_id": request.effect_id})

    return body.ObjectionTaken.model_validate(once_within(services, request, act=act).body)


def _opened(found: Redeemed) -> body.Opened:
    session_now = found.session
    hold = Amount(minor=session_now.hold_minor, currency=session_now.currency)
    return body.Opened(session_id=session_now.id, state=session_now.state.value, hold=hold)


def _not_redeemed(found: NotRedeemed) -> Problem:
    if found.reason == "unknown":
        return Problem(NOT_FOUND)
    if found.reason == "expired":
        return Problem(QR_EXPIRED)
    detail = f"the door stays closed: {found.reason.replace('_', ' ')}"
    return conflict(found.reason, detail, hint=HINTS[found.reason])


def _own(services: Services, who: ShopperCaller, session_id: str) -> queries.ShopperSession:
    with services.rows.reading() as connection:
        found = queries.shopper_session(
            connection, who.tenant_id, shopper_id=who.shopper.shopper_id, session_id=session_id
        )
    if found is None:
        raise Problem(NOT_FOUND)
    return found
