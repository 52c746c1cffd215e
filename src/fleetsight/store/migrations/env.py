"""What Alembic executes: run the revisions on the connection of `fleetsight.store.rows.upgrade`, in its transaction."""

from alembic import context

from fleetsight.store.rows import METADATA


def run_revisions() -> None:
    """Run what Alembic was asked for."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        render_as_batch=True,  # SQLite changes a column by writing the table again
        transactional_ddl=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if hasattr(context, "config"):  # Alembic runs this file; whoever merely imports it has no configuration
    run_revisions()
