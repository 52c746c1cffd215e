"""Rows on SQLite and on Postgres."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetsight.store import rows as rows_module
from fleetsight.store.rows import Rows, RowsError, RowsUnavailableError, driver_url, upgrade
from tests.contracts.rows_contract import SHELF, TABLES, RowsContract, counts


class TestSqlite(RowsContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/rows.db"

    def test_is_of_its_kind(self, rows: Rows) -> None:
        assert rows.dialect == "sqlite"

    def test_each_connection_waits_logs_ahead_and_syncs_at_each_commit(self, rows: Rows) -> None:
        expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
        with rows.reading() as one, rows.reading() as two:
            for connection in (one, two):
                found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}
                assert found == expected

    def test_a_transaction_holds_the_write_lock_from_its_begin(self, rows: Rows, tmp_path: Path) -> None:
        with (
            rows.transaction(),
            closing(sqlite3.connect(tmp_path / "rows.db", timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("BEGIN IMMEDIATE")

    @pytest.mark.bad_input(63)
    def test_a_lock_that_does_not_end_is_a_clear_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows_module, "BUSY_TIMEOUT_S", 0)
        path = tmp_path / "rows.db"
        with closing(Rows.open(f"sqlite:///{path}")) as rows, closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RowsUnavailableError, match="locked"), rows.transaction():
                pass
            other.rollback()
            rows.create_tables(TABLES)  # it goes on when the lock is gone

    def test_a_turn_that_does_not_come_is_a_clear_error(self, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows_module, "BUSY_TIMEOUT_S", 0.01)

        def write() -> None:
            with rows.transaction():
                pass

        with (
            rows.transaction(),
            ThreadPoolExecutor(1) as other,
            pytest.raises(RowsUnavailableError, match="no turn to write"),
        ):
            other.submit(write).result(timeout=20)

    @pytest.mark.bad_input(63)
    def test_a_full_disk_is_a_clear_error_and_keeps_nothing(self, rows: Rows) -> None:
        def fill() -> None:
            with rows.transaction() as connection:
                connection.exec_driver_sql("PRAGMA max_page_count = 1")
                for number in range(1000):
                    connection.execute(sa.insert(SHELF).values(sku=f"{number}" * 50, count=1))

        with pytest.raises(RowsUnavailableError, match="full"):
            fill()
        rows.close()  # the limit was the connection's own
        assert counts(rows) == {}

    @pytest.mark.bad_input(63)
    def test_a_file_that_may_not_be_written_is_a_clear_error(self, rows: Rows) -> None:
        with rows.reading() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        with pytest.raises(RowsUnavailableError, match="readonly"), rows.transaction() as connection:
            connection.execute(sa.insert(SHELF).values(sku="cola", count=1))

    def test_a_file_that_is_no_database_is_a_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "rows.db").write_bytes(b"no database" * 1000)
        with pytest.raises(RowsUnavailableError, match="not a database"):
            Rows.open(f"sqlite:///{tmp_path}/rows.db")

    def test_a_missing_folder_is_a_clear_error(self, tmp_path: Path) -> None:
        with pytest.raises(RowsError, match="no folder") as caught:
            Rows.open(f"sqlite:///{tmp_path}/absent/rows.db")
        assert "mkdir" in caught.value.hint


class TestPostgres(RowsContract):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    def test_is_of_its_kind(self, rows: Rows) -> None:
        assert rows.dialect == "postgresql"

    def test_isolation_is_read_committed_through_psycopg_3(self, rows: Rows) -> None:
        assert rows.engine.driver == "psycopg"
        with rows.reading() as connection:
            assert connection.execute(sa.text("SHOW transaction_isolation")).scalar() == "read committed"

    def test_a_server_that_dropped_the_connection_is_asked_again(self, rows: Rows, url: str) -> None:
        with rows.reading() as connection:
            number = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        with closing(Rows.open(url)) as other, other.reading() as connection:
            connection.execute(sa.text(f"SELECT pg_terminate_backend({number}, 5000)"))
        assert counts(rows) == {}

    @pytest.mark.bad_input(63)
    def test_a_connection_that_goes_away_in_a_transaction_is_a_clear_error(self, rows: Rows, url: str) -> None:
        def cut() -> None:
            with rows.transaction() as connection:
                number = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
                with closing(Rows.open(url)) as other, other.reading() as asking:
                    asking.execute(sa.text(f"SELECT pg_terminate_backend({number}, 5000)"))
                connection.execute(sa.insert(SHELF).values(sku="cola", count=1))

        with pytest.raises(RowsUnavailableError):
            cut()
        assert counts(rows) == {}

    def test_a_server_that_is_not_there_is_a_clear_error(self) -> None:
        with (
            closing(Rows.open("postgresql://tester@127.0.0.1:1/none")) as rows,
            pytest.raises(RowsUnavailableError, match="failed") as caught,
            rows.reading(),
        ):
            pass
        assert caught.value.hint


@pytest.mark.parametrize(
    "url", ["", "rows.db", "sqlite://", "sqlite:///relative.db", "sqlite:///:memory:", "mysql://h/d"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(RowsError, match="no database address"):
        Rows.open(url)


def test_a_refused_address_does_not_show_its_password() -> None:
    with pytest.raises(RowsError) as caught:
        Rows.open("postgres+other://me:secret@host/name")
    assert "secret" not in str(caught.value)


def test_postgres_addresses_get_the_driver_that_is_installed() -> None:
    for url in ("postgresql://a@b/c", "postgres://a@b/c", "postgresql+psycopg://a@b/c"):
        assert driver_url(url) == "postgresql+psycopg://a@b/c"


def test_two_processes_may_upgrade_at_once(rows_url: str) -> None:
    code = (
        "import sys; from contextlib import closing; from fleetsight.store.rows import Rows, upgrade\n"
        "with closing(Rows.open(sys.argv[1])) as rows: upgrade(rows)"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, rows_url], stderr=subprocess.PIPE) for _ in range(3)]
    for child in children:
        _, talk = child.communicate(timeout=60)
        assert (child.returncode, talk) == (0, b"")


def test_upgrading_twice_changes_nothing(rows: Rows) -> None:
    with rows.reading() as connection:
        before = sorted(sa.inspect(connection).get_table_names())
    upgrade(rows)
    with rows.reading() as connection:
        assert sorted(sa.inspect(connection).get_table_names()) == before
    assert "alembic_version" in before


def test_a_database_of_a_newer_version_is_refused(rows: Rows) -> None:
    with rows.transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RowsError, match="9999") as caught:
        upgrade(rows)
    assert "version" in caught.value.hint


@pytest.mark.bad_input(63)
def test_an_upgrade_that_is_cut_leaves_the_old_shape(rows_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Rows.open(rows_url)) as rows:
        with monkeypatch.context() as patch:
            patch.setattr("fleetsight.store.append_only._SQLITE", "no {table} {verb}")
            patch.setattr("fleetsight.store.append_only._POSTGRES", "no {table}")
            with pytest.raises(sa.exc.DBAPIError):
                upgrade(rows)
        with rows.reading() as connection:
            assert sa.inspect(connection).get_table_names() == []
        upgrade(rows)


def test_the_tables_of_all_packages_are_what_the_revisions_make(rows_url: str, checkout: Path) -> None:
    command = [sys.executable, str(checkout / "tools/make_migration.py"), "--check", "--database", rows_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "migrations: 0 faults")
