"""A shop on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetsight.store.rows import Rows
from tests.apps.cooler.session.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop on SQLite."""
    made = Shop.open(Rows.open(f"sqlite:///{tmp_path}/rows.db"))
    yield made
    made.close()


@pytest.fixture
def postgres_shop(postgres_url: str) -> Iterator[Shop]:
    """A shop on Postgres."""
    made = Shop.open(Rows.open(postgres_url))
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def any_shop(request: pytest.FixtureRequest) -> Shop:
    """A shop on either."""
    made = request.getfixturevalue("shop" if request.param == "sqlite" else "postgres_shop")
    assert isinstance(made, Shop)
    return made
