"""A watcher learns whether the process lives and whether the installation can serve."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from fastapi import FastAPI

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.store.blobs import Blobs
from fleetsight.store.lease import LEASE_S, Executors
from fleetsight.store.rows import Rows, RowsUnavailableError, upgrade
from fleetsight.web.health import Check, health_router, installation_checks
from tests.web.asking import ask


def service(checks: Mapping[str, Check]) -> FastAPI:
    app = FastAPI()
    app.include_router(health_router(checks))
    return app


def broken() -> str:
    raise RowsUnavailableError("the database failed: disk I/O error", hint="look at it")


def test_a_process_lives_even_when_it_cannot_serve() -> None:
    app = service({"database": broken})
    assert ask(app, "GET", "/healthz").json() == {"status": "ok"}
    answer = ask(app, "GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not_ready", "database": "the database failed: disk I/O error"}


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    found = Rows.open(f"sqlite:///{tmp_path / 'rows.db'}")
    upgrade(found)
    return found


def test_an_installation_is_ready_while_a_worker_holds_its_lease(rows: Rows, tmp_path: Path) -> None:
    clock = VirtualClock(1_700_000_000 * SECOND_NS)
    app = service(installation_checks(rows, Blobs.open(f"file://{tmp_path / 'blobs'}"), clock=clock))
    assert ask(app, "GET", "/readyz").json()["worker"] == "no worker holds a lease"
    assert Executors(rows, clock).acquire("worker-0") is not None
    answer = ask(app, "GET", "/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "database": "ok", "blobs": "ok", "worker": "ok"}
    clock.advance((LEASE_S + 1) * SECOND_NS)
    assert ask(app, "GET", "/readyz").status_code == 503
    rows.close()
