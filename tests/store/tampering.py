"""What someone with the database's password could do to an append-only table."""

import sqlalchemy as sa


def lift_protection(connection: sa.Connection, table: str) -> None:
    """Let an append-only table be changed again, in this transaction and after it."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"DROP TRIGGER {table}_refuses_change ON {table}")
        return
    for verb in ("UPDATE", "DELETE"):
        connection.exec_driver_sql(f"DROP TRIGGER {table}_refuses_{verb}")
