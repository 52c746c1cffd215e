"""The tables of billing. Entries, postings, prices and webhook events are only ever inserted."""

import sqlalchemy as sa

from fleetsight.store.append_only import APPEND_ONLY
from fleetsight.store.rows import METADATA, JsonColumn, TimeNs

PRICE_LISTS = sa.Table(
    "price_lists",
    METADATA,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("site_id", sa.Text, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("valid_from_ns", TimeNs, nullable=False),
    sa.Column("valid_to_ns", TimeNs),
    sa.Index("ix_price_lists_site", "tenant_id", "site_id", "valid_from_ns"),
    info=APPEND_ONLY,
)
PRICES = sa.Table(
    "prices",
    METADATA,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("list_id", sa.Text, primary_key=True),
    sa.Column("sku", sa.Text, primary_key=True),
    sa.Column("gross_minor", sa.BigInteger, nullable=False),
    sa.Column("tax_rate_bp", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(["tenant_id", "list_id"], ["price_lists.tenant_id", "price_lists.id"]),
    sa.CheckConstraint("gross_minor >= 0", name="gross"),
    info=APPEND_ONLY,
)

BOOKS = sa.Table(
    "ledger_books",  # one row to lock, so that two writers of a book do not decide on the same past
    METADATA,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("book", sa.Text, primary_key=True),
)
ENTRIES = sa.Table(
    "ledger_entries",
    METADATA,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("book", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("of_key", sa.Text, nullable=False),
    sa.Column("ends_hold", sa.Text),  # the hold's key when this entry ends it: at most one may
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    sa.UniqueConstraint("tenant_id", "book", "position"),
    sa.UniqueConstraint("tenant_id", "book", "ends_hold"),
    sa.CheckConstraint("amount_minor > 0", name="amount"),
    sa.ForeignKeyConstraint(["tenant_id", "book"], ["ledger_books.tenant_id", "ledger_books.book"]),
    sa.Index("ix_ledger_entries_session", "tenant_id", "session_id"),
    info=APPEND_ONLY,
)
POSTINGS = sa.Table(
    "ledger_postings",
    METADATA,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("book", sa.Text, primary_key=True),
    sa.Column("entry_key", sa.Text, primary_key=True),
    sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.ForeignKeyConstraint(
        ["tenant_id", "book", "entry_key"], ["ledger_entries.tenant_id", "ledger_entries.book", "ledger_entries.key"]
    ),
    sa.CheckConstraint("amount_minor <> 0", name="amount"),
    info=APPEND_ONLY,
)
BALANCES = sa.Table(
    "ledger_balances",  # follows from the postings, zeros left out; kept because a wallet is asked before each hold
    METADATA,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("book", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("currency", sa.String(3), primary_key=True),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
)

OPERATIONS = sa.Table(
    "payment_operations",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("shopper_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("method_id", sa.Text, nullable=False),
    sa.Column("of_key", sa.Text, nullable=False),
    sa.Column("root_key", sa.Text, nullable=False),  # the hold or charge that made the intent
    sa.Column("debt_key", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("provider_ref", sa.Text, nullable=False),
    sa.Column("capture_before_ns", TimeNs),
    sa.Column("outcome", JsonColumn),
    sa.Column("created_ns", TimeNs, nullable=False),
    sa.Column("touched_ns", TimeNs, nullable=False),
    sa.CheckConstraint("state IN ('requested', 'unknown', 'done', 'failed', 'frozen')", name="state"),
    sa.Index("ix_payment_operations_session", "tenant_id", "session_id"),
    sa.Index("ix_payment_operations_root", "root_key"),
    sa.Index("ix_payment_operations_ref", "provider", "provider_ref"),
    sa.Index("ix_payment_operations_state", "state", "touched_ns"),
)
EVENTS = sa.Table(
    "provider_events",
    METADATA,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("ref", sa.Text, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    info=APPEND_ONLY,
)
RECONCILIATIONS = sa.Table(
    "reconciliations",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False, index=True),
    sa.Column("since_ns", TimeNs, nullable=False),
    sa.Column("matched", sa.Integer, nullable=False),
    sa.Column("differences", JsonColumn, nullable=False),
)
