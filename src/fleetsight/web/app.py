"""The app put together: routers, refusals, metrics, and what runs beside the requests.

    socket -> Timed -> GuardedRoute (limits, identity, body) -> endpoint (a thread of a bounded pool) -> rows, blobs, sessions

Endpoints are plain functions in threads, because rows are read with blocking calls. Only what waits (long polls, bodies) is async.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from fleetsight.fleet.devices.signed import delete_spent
from fleetsight.fleet.tokens import delete_expired_tokens
from fleetsight.store import idempotency
from fleetsight.web.api import devices, fleet, operators, shoppers, sign_in, uploads, webhooks
from fleetsight.web.description import DescribedApp
from fleetsight.web.gate.rates import Limiter
from fleetsight.web.health import health_router, installation_checks
from fleetsight.web.listening import Listening
from fleetsight.web.metrics import CONTENT_TYPE, Metrics, Timed
from fleetsight.web.pages.answers import static_files
from fleetsight.web.pages.refusals import problem_page
from fleetsight.web.pages.views import pages_router
from fleetsight.web.problems import Refusals
from fleetsight.web.services import Services

UPLOAD_THREADS = 4
"""Uploads wait for the disk; apart from the others, so that an unlock never stands behind them."""
TIDY_S = 600.0
LOG = logging.getLogger(__name__)


def make_app(services: Services) -> FastAPI:
    """Make the app of an installation.

    Args:
        services: what it stands on; stays open as long as the app.
    Returns:
        the app.
    """
    app = DescribedApp(
        title="fleetsight",
        version="1",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_beside,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.limiter = Limiter(services.clock)
    app.state.listening = Listening(services.rows, services.clock)
    app.state.upload_threads = CapacityLimiter(UPLOAD_THREADS)
    services.redeemer.on_unlock(app.state.listening.ring)
    Refusals(problem_page).add_to(app)
    for module in (devices, uploads, shoppers, operators, fleet, sign_in, webhooks):
        app.include_router(module.router)
    app.include_router(health_router(installation_checks(services.rows, services.blobs, clock=services.clock)))
    app.include_router(pages_router(services))
    app.mount("/static", static_files())
    if services.metrics is not None:
        _add_metrics(app, services.metrics)
    return app


def tidy(services: Services) -> None:
    """Forget what nobody may ask for any more: numbers of expired tokens, old answers, uploads that were given up.

    Args:
        services: where they are.
    """
    now_ns = services.clock.now_ns()
    with services.rows.transaction() as connection:
        delete_spent(connection, now_ns)
        delete_expired_tokens(connection, now_ns)
        idempotency.delete_old(connection, now_ns)
    services.upload_desk.sweep()


@asynccontextmanager
async def _beside(app: FastAPI) -> AsyncIterator[None]:
    """What runs while the app does."""
    services: Services = app.state.services
    to_thread.current_default_thread_limiter().total_tokens = services.threads
    tidying = asyncio.create_task(_tidy_now_and_then(services))
    try:
        yield
    finally:
        tidying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tidying
        await app.state.listening.close()


async def _tidy_now_and_then(services: Services) -> None:
    while True:
        try:
            await run_in_threadpool(tidy, services)
        except Exception:  # the boundary of a loop: the next turn tries again
            LOG.exception("tidying failed")
        await asyncio.sleep(TIDY_S)


def _add_metrics(app: FastAPI, metrics: Metrics) -> None:
    app.add_middleware(Timed, metrics=metrics)

    @app.get("/metrics", include_in_schema=False)
    def exposition() -> Response:
        return Response(metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})
