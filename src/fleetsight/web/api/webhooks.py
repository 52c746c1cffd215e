"""What payment providers call. The signature covers the raw bytes, so these are read as they came and not as JSON of ours."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from fleetsight.billing.provider import BadWebhook
from fleetsight.fleet.provider_news import ProviderSilentError
from fleetsight.web.api.fields import Says
from fleetsight.web.gate.guarded import GuardedRoute, allow, services_here
from fleetsight.web.gate.principal import Access
from fleetsight.web.problems import NOT_FOUND, UNAVAILABLE, Kind, Problem, problem_responses
from fleetsight.web.services import Services

WEBHOOK_BYTES_MAX = 256 << 10
Here = Annotated[Services, Depends(services_here)]
router = APIRouter(route_class=GuardedRoute, tags=["providers"])


class HintTaken(Says):
    """The event was noted, now or before."""

    fresh: bool = Field(description="false when it came before")


@router.post(
    "/v1/webhooks/stripe",
    responses=problem_responses(400, 404),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
)
@allow(Access.PUBLIC, body_bytes_max=WEBHOOK_BYTES_MAX, raw=True)
async def stripe(
    request: Request,
    services: Here,
    *,
    signature: Annotated[str | None, Header(alias="Stripe-Signature", max_length=1000)] = None,
) -> HintTaken:
    """Take a web hook of Stripe; the object it names is read before anything is believed."""
    reader = services.webhook
    if reader is None:
        raise Problem(NOT_FOUND)
    hint = reader.read(await request.body(), signature)
    if isinstance(hint, BadWebhook):
        raise Problem(Kind(400, "bad_webhook", f"refused: {hint.reason}", "check the endpoint's secret and account"))
    try:
        return HintTaken(fresh=await run_in_threadpool(services.provider_news.take, hint))
    except ProviderSilentError as error:
        raise Problem(UNAVAILABLE, error.message, headers={"Retry-After": "60"}) from error
