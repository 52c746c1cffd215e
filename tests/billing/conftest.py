"""A database of each kind with the tables of billing, and a clock that stands still."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from fleetsight.billing import tables
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.desk import Fault
from fleetsight.clock import VirtualClock
from fleetsight.store import chain
from fleetsight.store.append_only import protect
from fleetsight.store.crashpoint import disarm
from fleetsight.store.rows import METADATA, Rows
from tests.billing.till import Till, failing
from tests.services.postgres import Postgres

NOON_NS = 1_800_000_000_000_000_000


def with_tables(rows: Rows) -> Rows:
    """Make the tables that billing needs as the migrations do, those that only grow protected."""
    needed = [table for table in vars(tables).values() if isinstance(table, sa.Table)] + [chain.CHAIN, chain.HEADS]
    with rows.transaction() as connection:
        METADATA.create_all(connection, tables=needed)
        for table in needed:
            if table.info.get("append_only"):
                protect(connection, table.name)
    return rows


@pytest.fixture(scope="session")
def postgres_database(postgres_server: Postgres, numbers: Iterator[int]) -> str:
    """One database for all tests of billing; each has a schema of its own, which is made faster than a database."""
    name = f"billing_{next(numbers)}"
    postgres_server.run(f"create database {name}")
    return postgres_server.url(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def rows_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rows.db"
    url = str(request.getfixturevalue("postgres_database"))
    schema = f"test_{next(request.getfixturevalue('numbers'))}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create schema {schema}".encode())
    return f"{url}?options=-csearch_path%3D{schema}"


@pytest.fixture
def rows(rows_url: str) -> Iterator[Rows]:
    """A database with all tables, of each kind."""
    with closing(Rows.open(rows_url)) as rows:
        yield with_tables(rows)


@pytest.fixture
def sqlite_rows(tmp_path: Path) -> Iterator[Rows]:
    """A database with all tables, where its kind does not matter."""
    with closing(Rows.open(f"sqlite:///{tmp_path}/one.db")) as rows:
        yield with_tables(rows)


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that stands at noon."""
    return VirtualClock(NOON_NS)


@pytest.fixture
def bank(clock: VirtualClock, tmp_path: Path) -> Iterator[Bank]:
    with closing(Bank(tmp_path / "bank.db", clock)) as bank:
        yield bank


@pytest.fixture
def till(rows: Rows, clock: VirtualClock, bank: Bank) -> Till:
    return Till(rows, clock, bank)


@pytest.fixture
def quick(sqlite_rows: Rows, clock: VirtualClock, bank: Bank) -> Callable[..., Till]:
    """A till where the kind of database does not matter, with faults of its own."""

    def make(**script: Fault) -> Till:
        return Till(sqlite_rows, clock, bank, failing(**script))

    return make


@pytest.fixture(autouse=True)
def alive() -> Iterator[None]:
    yield
    disarm()
