"""Tables to which rows are added and nothing else: the database itself refuses to change or delete what was written.

A table asks for it with ``info=APPEND_ONLY``; the revision that makes the table calls `protect`, and
``tools/make_migration.py --check`` finds one that was forgotten.
"""

import sqlalchemy as sa

APPEND_ONLY = {"append_only": True}
"""What such a table carries as its ``info``."""

_SQLITE = """
CREATE TRIGGER {table}_refuses_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""
_POSTGRES_FUNCTION = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$
"""
_POSTGRES = """
CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""


def protect(connection: sa.Connection, table: str) -> None:
    """Let a table refuse UPDATE and DELETE, which then raise `sqlalchemy.exc.IntegrityError`.

    Args:
        connection: of the transaction that makes the table.
        table: its name.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_POSTGRES_FUNCTION.replace("%", "%%"))
        connection.exec_driver_sql(_POSTGRES.format(table=table))
        return
    for verb in ("UPDATE", "DELETE"):
        connection.exec_driver_sql(_SQLITE.format(table=table, verb=verb))


def protected(connection: sa.Connection) -> set[str]:
    """Find the tables that refuse changes.

    Args:
        connection: reads the database.
    Returns:
        their names.
    """
    if connection.dialect.name == "postgresql":
        question = "SELECT DISTINCT event_object_table FROM information_schema.triggers WHERE trigger_name LIKE '%%_refuses_change'"
    else:
        question = "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_refuses_UPDATE'"
    return set(connection.exec_driver_sql(question).scalars())
