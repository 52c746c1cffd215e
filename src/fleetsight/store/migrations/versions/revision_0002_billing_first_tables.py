"""first tables (billing)."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from fleetsight.store.append_only import protect

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _ledger_balances()
    _ledger_books()
    _payment_operations()
    _change_payment_operations()
    _price_lists()
    _change_price_lists()
    _provider_events()
    _reconciliations()
    _change_reconciliations()
    _ledger_entries()
    _change_ledger_entries()
    _prices()
    _ledger_postings()


def _ledger_balances() -> None:
    op.create_table(
        "ledger_balances",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "book", "account", "currency", name=op.f("pk_ledger_balances")),
    )


def _ledger_books() -> None:
    op.create_table(
        "ledger_books",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "book", name=op.f("pk_ledger_books")),
    )


def _payment_operations() -> None:
    op.create_table(
        "payment_operations",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("shopper_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("method_id", sa.Text(), nullable=False),
        sa.Column("of_key", sa.Text(), nullable=False),
        sa.Column("root_key", sa.Text(), nullable=False),
        sa.Column("debt_key", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("provider_ref", sa.Text(), nullable=False),
        sa.Column("capture_before_ns", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("touched_ns", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('requested', 'unknown', 'done', 'failed', 'frozen')", name=op.f("ck_payment_operations_state")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_payment_operations")),
    )


def _change_payment_operations() -> None:
    with op.batch_alter_table("payment_operations", schema=None) as batch_op:
        batch_op.create_index("ix_payment_operations_ref", ["provider", "provider_ref"], unique=False)
        batch_op.create_index("ix_payment_operations_root", ["root_key"], unique=False)
        batch_op.create_index("ix_payment_operations_session", ["tenant_id", "session_id"], unique=False)
        batch_op.create_index("ix_payment_operations_state", ["state", "touched_ns"], unique=False)


def _price_lists() -> None:
    op.create_table(
        "price_lists",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("valid_from_ns", sa.BigInteger(), nullable=False),
        sa.Column("valid_to_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_price_lists")),
    )
    protect(op.get_bind(), "price_lists")


def _change_price_lists() -> None:
    with op.batch_alter_table("price_lists", schema=None) as batch_op:
        batch_op.create_index("ix_price_lists_site", ["tenant_id", "site_id", "valid_from_ns"], unique=False)


def _provider_events() -> None:
    op.create_table(
        "provider_events",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "event_id", name=op.f("pk_provider_events")),
    )
    protect(op.get_bind(), "provider_events")


def _reconciliations() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("differences", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
    )


def _change_reconciliations() -> None:
    with op.batch_alter_table("reconciliations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reconciliations_at_ns"), ["at_ns"], unique=False)


def _ledger_entries() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("of_key", sa.Text(), nullable=False),
        sa.Column("ends_hold", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_ledger_entries_amount")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "book"],
            ["ledger_books.tenant_id", "ledger_books.book"],
            name=op.f("fk_ledger_entries_tenant_id_book"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "book", "key", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint("tenant_id", "book", "ends_hold", name=op.f("uq_ledger_entries_tenant_id_book_ends_hold")),
        sa.UniqueConstraint("tenant_id", "book", "position", name=op.f("uq_ledger_entries_tenant_id_book_position")),
    )
    protect(op.get_bind(), "ledger_entries")


def _change_ledger_entries() -> None:
    with op.batch_alter_table("ledger_entries", schema=None) as batch_op:
        batch_op.create_index("ix_ledger_entries_session", ["tenant_id", "session_id"], unique=False)


def _prices() -> None:
    op.create_table(
        "prices",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("gross_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_rate_bp", sa.Integer(), nullable=False),
        sa.CheckConstraint("gross_minor >= 0", name=op.f("ck_prices_gross")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "list_id"],
            ["price_lists.tenant_id", "price_lists.id"],
            name=op.f("fk_prices_tenant_id_list_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "list_id", "sku", name=op.f("pk_prices")),
    )
    protect(op.get_bind(), "prices")


def _ledger_postings() -> None:
    op.create_table(
        "ledger_postings",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("entry_key", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_ledger_postings_amount")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "book", "entry_key"],
            ["ledger_entries.tenant_id", "ledger_entries.book", "ledger_entries.key"],
            name=op.f("fk_ledger_postings_tenant_id_book_entry_key"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "book", "entry_key", "line", name=op.f("pk_ledger_postings")),
    )
    protect(op.get_bind(), "ledger_postings")
