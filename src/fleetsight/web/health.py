"""Whether this process lives (``/healthz``), and whether the installation can serve (``/readyz``)."""

import logging
from collections.abc import Callable, Mapping

import sqlalchemy as sa
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from fleetsight.clock import Clock
from fleetsight.errors import Error
from fleetsight.store.blobs import Blobs, Digest
from fleetsight.store.lease import Executors
from fleetsight.store.rows import Rows

LOG = logging.getLogger(__name__)

OK = "ok"
_PROBE = Digest(f"sha256:{0:064x}")  # asked for, never put

Check = Callable[[], str]


def health_router(checks: Mapping[str, Check]) -> APIRouter:
    """Make the two pages that watchers of processes ask.

    Args:
        checks: by name; each says `OK` or what is wrong.
    Returns:
        routes ``/healthz``, 200 while the process answers, and ``/readyz``, 200 when every check is ok and 503 otherwise.
    """
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that this process answers."""
        return {"status": OK}

    @router.get("/readyz", responses={503: {"description": "Something that is needed is missing."}})
    def readyz() -> JSONResponse:
        """Say whether database, blobs and a worker are there."""
        found = {name: _outcome(name, check) for name, check in checks.items()}
        ready = all(outcome == OK for outcome in found.values())
        return JSONResponse({"status": OK if ready else "not_ready", **found}, status_code=200 if ready else 503)

    return router


def installation_checks(rows: Rows, blobs: Blobs, *, clock: Clock) -> dict[str, Check]:
    """What an installation needs to serve.

    Args:
        rows: the database.
        blobs: clips and pictures.
        clock: the time.
    Returns:
        checks of the database, the blobs, and that a worker holds its lease.
    """
    executors = Executors(rows, clock)

    def database() -> str:
        with rows.reading() as connection:
            connection.execute(sa.text("SELECT 1"))
        return OK

    def bytes_place() -> str:
        blobs.size(_PROBE)
        return OK

    def worker() -> str:
        return OK if executors.live() else "no worker holds a lease"

    return {"database": database, "blobs": bytes_place, "worker": worker}


def _outcome(name: str, check: Check) -> str:
    try:
        return check()
    except Error as error:
        LOG.warning("not ready check=%s reason=%s", name, error)
        return error.message
