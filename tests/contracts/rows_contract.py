"""What every database must do; the test of each kind subclasses this."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa

from fleetsight.store.rows import JsonColumn, Rows, RowsError, TimeNs, insert_if_absent, upsert

TABLES = sa.MetaData()
SHELF = sa.Table(
    "shelf",
    TABLES,
    sa.Column("sku", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("at_ns", TimeNs),
    sa.Column("notes", JsonColumn),
)
LABEL = sa.Table("label", TABLES, sa.Column("sku", sa.ForeignKey("shelf.sku"), primary_key=True))


class UnluckyError(Exception):
    """Raised inside of a transaction."""


class PlugError(BaseException):
    """The plug was pulled inside of a transaction."""


def insert_and_raise(rows: Rows, error: BaseException) -> None:
    with rows.transaction() as connection:
        connection.execute(sa.insert(SHELF).values(sku="cola", count=3))
        connection.execute(sa.text("CREATE TABLE draft (a INTEGER)"))
        raise error


def counts(rows: Rows) -> dict[str, int]:
    with rows.reading() as connection:
        return dict(connection.execute(sa.select(SHELF.c.sku, SHELF.c.count)).all())


class RowsContract(ABC):
    """One subclass per kind of database."""

    @abstractmethod
    def test_is_of_its_kind(self, rows: Rows) -> None:
        """The subclass opened what it says."""

    @pytest.fixture
    def rows(self, url: str) -> Iterator[Rows]:
        with closing(Rows.open(url)) as rows:
            rows.create_tables(TABLES)
            yield rows

    def test_what_a_transaction_wrote_is_there_for_others(self, rows: Rows, url: str) -> None:
        with rows.transaction() as connection:
            connection.execute(sa.insert(SHELF).values(sku="cola", count=3))
        with closing(Rows.open(url)) as other:
            assert counts(other) == {"cola": 3}

    @pytest.mark.parametrize("error", [UnluckyError(), PlugError()])
    def test_a_transaction_that_raises_leaves_nothing(self, rows: Rows, error: BaseException) -> None:
        with pytest.raises(type(error)):
            insert_and_raise(rows, error)
        assert counts(rows) == {}
        with rows.reading() as connection:
            assert "draft" not in sa.inspect(connection).get_table_names()
        with rows.transaction() as connection:  # and the next one is not kept waiting
            connection.execute(sa.insert(SHELF).values(sku="water", count=1))
        assert counts(rows) == {"water": 1}

    def test_a_transaction_inside_a_transaction_is_refused(self, rows: Rows) -> None:
        with rows.transaction() as outer:
            with pytest.raises(RowsError, match="inside a transaction"), rows.transaction():
                pass
            outer.execute(sa.insert(SHELF).values(sku="cola", count=3))
        assert counts(rows) == {"cola": 3}

    def test_reading_keeps_no_writes(self, rows: Rows) -> None:
        with rows.reading() as connection:
            connection.execute(sa.insert(SHELF).values(sku="cola", count=3))
        assert counts(rows) == {}

    def test_readers_do_not_wait_for_a_writer(self, rows: Rows) -> None:
        with rows.transaction() as connection:
            connection.execute(sa.insert(SHELF).values(sku="cola", count=3))
            with ThreadPoolExecutor(1) as other:
                assert other.submit(counts, rows).result(timeout=20) == {}
        assert counts(rows) == {"cola": 3}

    def test_no_update_is_lost_between_threads(self, rows: Rows, url: str) -> None:
        with rows.transaction() as connection:
            connection.execute(sa.insert(SHELF).values(sku="cola", count=0))

        def take(handle: Rows) -> None:
            for _ in range(10):
                with handle.transaction() as connection:
                    question = sa.select(SHELF.c.count).where(SHELF.c.sku == "cola").with_for_update()
                    count = connection.execute(question).scalar_one()
                    connection.execute(sa.update(SHELF).values(count=count + 1))

        with closing(Rows.open(url)) as other, ThreadPoolExecutor(4) as threads:  # two handles stand for two processes
            for done in [threads.submit(take, handle) for handle in (rows, rows, other, other)]:
                done.result(timeout=60)
        assert counts(rows) == {"cola": 40}

    def test_insert_if_absent_says_whether_it_did(self, rows: Rows) -> None:
        with rows.transaction() as connection:
            assert insert_if_absent(connection, SHELF, values={"sku": "cola", "count": 3}, keys=["sku"])
            assert not insert_if_absent(connection, SHELF, values={"sku": "cola", "count": 9}, keys=["sku"])
            assert not insert_if_absent(connection, SHELF, values={"sku": "cola", "count": 9})
        assert counts(rows) == {"cola": 3}

    def test_of_many_who_insert_the_same_key_one_did(self, rows: Rows) -> None:
        def insert(count: int) -> bool:
            with rows.transaction() as connection:
                return insert_if_absent(connection, SHELF, values={"sku": "cola", "count": count}, keys=["sku"])

        with ThreadPoolExecutor(8) as threads:
            assert sorted(threads.map(insert, range(16))) == [False] * 15 + [True]

    def test_upsert_changes_what_is_there(self, rows: Rows) -> None:
        with rows.transaction() as connection:
            upsert(connection, SHELF, values={"sku": "cola", "count": 3}, keys=["sku"])
            upsert(connection, SHELF, values={"sku": "cola", "count": 4}, keys=["sku"])
        assert counts(rows) == {"cola": 4}

    def test_nanoseconds_and_json_come_back_as_they_went_in(self, rows: Rows) -> None:
        notes = {"text": "Käse 🧀", "list": [1, -2.5, True, None], "big": 2**60}
        with rows.transaction() as connection:
            connection.execute(sa.insert(SHELF).values(sku="cola", count=1, at_ns=2**63 - 1, notes=notes))
            connection.execute(sa.insert(SHELF).values(sku="water", count=1))
        with rows.reading() as connection:
            found = {row.sku: row for row in connection.execute(sa.select(SHELF))}
        assert (found["cola"].at_ns, found["cola"].notes) == (2**63 - 1, notes)
        assert (found["water"].at_ns, found["water"].notes) == (None, None)

    def test_broken_constraints_stay_what_they_are(self, rows: Rows) -> None:
        for wrong in (sa.insert(LABEL).values(sku="nowhere"), sa.insert(SHELF).values(sku="cola")):
            with pytest.raises(sa.exc.IntegrityError), rows.transaction() as connection:
                connection.execute(wrong)

    def test_making_tables_twice_at_once_is_harmless(self, url: str) -> None:
        def make(_: int) -> None:
            with closing(Rows.open(url)) as rows:
                rows.create_tables(TABLES)

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(make, range(4))) == [None] * 4

    def test_closing_twice_is_harmless(self, url: str) -> None:
        rows = Rows.open(url)
        rows.close()
        rows.close()
