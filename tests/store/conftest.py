"""A database of each kind, brought to the newest shape."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fleetsight.clock import VirtualClock
from fleetsight.store.rows import Rows, upgrade

NOON_NS = 1_800_000_000_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def rows_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/rows.db"


@pytest.fixture
def rows(rows_url: str) -> Iterator[Rows]:
    """A database with all tables."""
    with closing(Rows.open(rows_url)) as rows:
        upgrade(rows)
        yield rows


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that stands at noon."""
    return VirtualClock(NOON_NS)
