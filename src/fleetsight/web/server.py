"""Answers requests on a socket that is open already."""

import socket

import uvicorn
from fastapi import FastAPI

from fleetsight.fleet.installation import Installation
from fleetsight.store.idempotency import abandon_all
from fleetsight.web.gate.patient_protocol import PatientProtocol
from fleetsight.web.gauges import gauges
from fleetsight.web.metrics import Metrics
from fleetsight.web.services import Services

CONNECTIONS_MAX = 2000
"""Beyond that the answer is 503 at once: devices that wait for commands hold a connection each, and memory has an end."""
GRACE_S = 5
"""What requests under way have when the process is told to end; the supervisor kills it after ten."""
KEEP_ALIVE_S = 75


def services_of(installation: Installation) -> Services:
    """What endpoints may use of an installation.

    Args:
        installation: the opened parts.
    Returns:
        the services of `fleetsight.web.app.make_app`.
    """
    return Services(
        rows=installation.rows,
        blobs=installation.blobs,
        clock=installation.clock,
        sessions=installation.sessions,
        work=installation.work,
        reviews=installation.reviews,
        payments=installation.payments,
        wallet=installation.wallet,
        redeemer=installation.redeemer,
        server_key=installation.server_key,
        parts_dir=installation.addresses.data_dir / "parts",
        base_url=installation.addresses.base_url,
        open_signup=installation.choices.open_signup,
        webhook=installation.webhook,
        metrics=Metrics(gauges(installation.rows, installation.clock)),
    )


def answer(app: FastAPI, listening: socket.socket) -> None:
    """Answer until the process is told to end (SIGTERM or SIGINT).

    Args:
        app: what answers.
        listening: an open socket.
    """
    services: Services = app.state.services
    with services.rows.transaction() as connection:  # nobody works on what the life before left: it may be asked again
        abandon_all(connection)
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        loop="asyncio",  # what the service was measured with; uvloop is there for fleetsight.serve
        log_config=None,
        access_log=False,
        server_header=False,  # says nothing that a caller needs; the date stays: devices set their clocks by it
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listening])
