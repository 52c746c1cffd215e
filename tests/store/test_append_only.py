"""Rows of an append-only table stay as they were written, whoever asks."""

import pytest
import sqlalchemy as sa

from fleetsight.store.append_only import protected
from fleetsight.store.chain import CHAIN, append
from fleetsight.store.rows import Rows
from tests.store.tampering import lift_protection


@pytest.fixture(autouse=True)
def one_record(rows: Rows) -> None:
    with rows.transaction() as connection:
        append(connection, "log", record={"n": 1})


@pytest.mark.parametrize(
    "change", [sa.update(CHAIN).values(record="{}"), sa.delete(CHAIN), sa.delete(CHAIN).where(CHAIN.c.scope == "log")]
)
def test_a_change_is_refused_by_the_database(rows: Rows, change: sa.Update | sa.Delete) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="chain is append-only"), rows.transaction() as connection:
        connection.execute(change)
    with rows.reading() as connection:
        assert connection.execute(sa.select(CHAIN.c.record)).scalars().all() == ['{"n":1}']


@pytest.mark.parametrize("rows_url", ["postgresql"], indirect=True)  # SQLite knows no TRUNCATE
def test_emptying_the_table_is_refused_too(rows: Rows) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), rows.transaction() as connection:
        connection.execute(sa.text("TRUNCATE chain"))


def test_rows_are_still_added(rows: Rows) -> None:
    with rows.transaction() as connection:
        append(connection, "log", record={"n": 2})
    with rows.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(CHAIN)).scalar() == 2


def test_it_is_known_which_tables_are_protected(rows: Rows) -> None:
    with rows.transaction() as connection:
        assert "chain" in protected(connection)
        lift_protection(connection, "chain")
        assert "chain" not in protected(connection)
