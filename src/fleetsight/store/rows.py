"""Rows in SQLite or Postgres through SQLAlchemy Core.

Every package declares its tables on `METADATA`; `upgrade` brings a database to that shape. A state change is
one `Rows.transaction`: what it reads and writes is kept together or not at all.

On SQLite a transaction takes the write lock when it begins (``BEGIN IMMEDIATE``): two transactions never both read and then
collide on the write. Writers of one process queue on a lock of their own first, because SQLite waits for its lock by
sleeping up to 100 ms between tries and in no order.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from fleetsight.errors import Error

METADATA = sa.MetaData(
    naming_convention={  # Alembic needs a name for whatever it may have to drop
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""The tables of every package."""

JsonColumn: sa.types.TypeEngine[Any] = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
"""Column type for a JSON value; what is hashed is kept as text instead, since JSONB orders keys its own way."""
TimeNs = sa.BigInteger
"""Column type for UTC nanoseconds."""

BUSY_TIMEOUT_S = 30  # a writer waits this long for another before it fails
POOL_CONNECTIONS = 5
POOL_OVERFLOW = 10
MIGRATIONS = Path(__file__).parent / "migrations"
"""Alembic's folder: the revisions of the database's shape."""
_SHAPE_LOCK = 0x_F1EE_751_647  # any number that nobody else locks
_BEGIN = "fleetsight_begin"  # execution option: the word after BEGIN on SQLite


class RowsError(Error):
    """A database address that cannot be used, or a transaction inside another."""

    code = "rows"


class RowsUnavailableError(RowsError):
    """The database did not do what was asked: locked, full, read-only, or gone. Nothing of the transaction was kept."""

    code = "rows_unavailable"


class Rows:
    """One database.

    Args:
        engine: an engine as `open` makes it.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{_BEGIN: "IMMEDIATE"})
        self._queue = threading.Lock()  # writers of this process, on SQLite
        self._inside = threading.local()

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a database; SQLite makes the file when there is none.

        Args:
            url: ``sqlite:////absolute/path.db`` or ``postgresql://user:password@host:port/name``.
        Returns:
            the database, without tables until `upgrade` ran.
        Raises:
            RowsError: another kind of address, or a folder that is missing.
            RowsUnavailableError: the database cannot be reached.
        """
        return cls(_engine(url))

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.engine.dialect.name

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One write transaction: committed at the end of the block, rolled back on any exception. Nothing is retried.

        Yields:
            its connection. On Postgres the isolation is READ COMMITTED: lock what you read to decide (``with_for_update``), or
            guard the update by state and version.
        Raises:
            RowsError: this thread is inside a transaction of this database already.
            RowsUnavailableError: the database failed; nothing was kept, except that a Postgres that goes away during the commit
                leaves it unknown.
        """
        if getattr(self._inside, "writes", False):
            raise RowsError("a transaction inside a transaction", hint="hand the outer connection on")
        self._inside.writes = True
        try:
            with self._turn(), _named_failures(), self._writer.begin() as connection:
                yield connection
        finally:
            self._inside.writes = False

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Reads that see one moment on SQLite, and the newest committed rows at each statement on Postgres.

        Yields:
            a connection; whatever it writes is rolled back.
        Raises:
            RowsUnavailableError: the database failed.
        """
        with _named_failures(), self.engine.connect() as connection:
            yield connection

    def create_tables(self, tables: sa.MetaData) -> None:
        """Create tables that no revision knows, unless they are there; safe when two processes do it at once.

        Args:
            tables: of a database beside the one of `METADATA`.
        """
        with self.transaction() as connection:
            self.lock_shape(connection)
            tables.create_all(connection)

    def lock_shape(self, connection: sa.Connection) -> None:
        """Let others who change the database's shape wait until this transaction ends.

        Args:
            connection: of a write transaction, which on SQLite is lock enough.
        """
        if self.dialect == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SHAPE_LOCK)))

    def close(self) -> None:
        """Close every connection; safe to call twice."""
        self.engine.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self.dialect != "sqlite":
            yield
            return
        if not self._queue.acquire(timeout=BUSY_TIMEOUT_S):
            raise RowsUnavailableError(
                f"no turn to write within {BUSY_TIMEOUT_S} s", hint="a transaction of this process does not end"
            )
        try:
            yield
        finally:
            self._queue.release()


def upgrade(rows: Rows) -> None:
    """Bring a database to the newest shape. Two processes may do it at once: the second waits, then finds nothing to do.

    All revisions run in one transaction, so that a process that dies on the way leaves the old shape.

    Args:
        rows: the database; empty, or of an older version of this program.
    Raises:
        RowsError: the database is of a newer version of this program.
        RowsUnavailableError: the database failed, or someone else held it too long.
    """
    from alembic import command, config
    from alembic.util import CommandError

    settings = config.Config()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with rows.transaction() as connection:
        rows.lock_shape(connection)
        settings.attributes["connection"] = connection
        try:
            command.upgrade(settings, "head")
        except CommandError as error:
            raise RowsError(
                f"cannot upgrade the database: {error}", hint="install the version that wrote it"
            ) from error


def insert_if_absent(
    connection: sa.Connection, table: sa.Table, *, values: Mapping[str, Any], keys: Sequence[str] = ()
) -> bool:
    """Insert a row unless one with the same key is there; on Postgres it waits for a transaction that inserts the same key.

    Args:
        connection: of a write transaction.
        table: where to.
        values: the row, by column name.
        keys: the columns of the unique key that may be taken; every unique key of the table when empty.
    Returns:
        whether the row was inserted.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing(index_elements=list(keys) or None)
    return connection.execute(statement.returning(sa.literal_column("1"))).first() is not None


def upsert(connection: sa.Connection, table: sa.Table, *, values: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Insert a row, or give the row with the same key the other values.

    Args:
        connection: of a write transaction.
        table: where to.
        values: the row, by column name; more columns than the key.
        keys: the columns of the unique key.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**values)
    changed = {name: statement.excluded[name] for name in values if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changed))


@contextmanager
def _named_failures() -> Iterator[None]:
    """Turn the driver's operational errors into ours; broken constraints pass as they are."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
        if (
            getattr(getattr(error, "orig", None), "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
        ):  # a wrong statement: our own bug
            raise
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise RowsUnavailableError(
            f"the database failed: {reason}", hint="see that it runs, has room, and may be written; then try again"
        ) from error


def driver_url(url: str) -> str:
    """Write an address the way SQLAlchemy wants it, with the driver that is installed.

    Args:
        url: as `Rows.open` takes it.
    Returns:
        ``sqlite:////...`` or ``postgresql+psycopg://...``.
    Raises:
        RowsError: another kind of address.
    """
    if url.startswith("sqlite:////"):
        return url
    for prefix in ("postgresql://", "postgres://", "postgresql+psycopg://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    shown = url.split("://", maxsplit=1)[0]  # the rest may hold a password
    raise RowsError(
        f"{shown}:... is no database address", hint="write sqlite:////absolute/path.db or postgresql://host/name"
    )


def _engine(url: str) -> sa.Engine:
    address = driver_url(url)
    if address.startswith("sqlite:"):
        return _sqlite_engine(Path(address.removeprefix("sqlite:///")))
    return _postgres_engine(address)


def _sqlite_engine(path: Path) -> sa.Engine:
    if not path.parent.is_dir():
        raise RowsError(f"no folder {path.parent} for the database", hint=f"make it: mkdir -p {path.parent}")
    with _named_failures():
        _write_ahead(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        pool_size=POOL_CONNECTIONS,
        max_overflow=POOL_OVERFLOW,
        connect_args={"timeout": BUSY_TIMEOUT_S},
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver would begin late, and deferred; `_begin` does it
        for pragma in ("synchronous = FULL", "foreign_keys = ON", f"busy_timeout = {BUSY_TIMEOUT_S * 1000}"):
            connection.cursor().execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(_BEGIN, 'DEFERRED')}")

    return engine


def _write_ahead(path: Path) -> None:
    """Switch the file to write-ahead logging; it stays so. The switch does not wait for locks by itself, so it is tried again."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        connection = None
        try:
            connection = sqlite3.connect(path, timeout=1)
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.DatabaseError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise RowsUnavailableError(
                    f"cannot open {path}: {error}", hint="see that the file may be written and the disk has room"
                ) from error
            time.sleep(0.02)
        else:
            return
        finally:
            if connection is not None:
                connection.close()


def _postgres_engine(url: str) -> sa.Engine:
    return sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=POOL_CONNECTIONS,
        max_overflow=POOL_OVERFLOW,
        pool_pre_ping=True,  # a restarted server costs one more question, not a failed request
        connect_args={"connect_timeout": 10, "application_name": "fleetsight"},
    )
