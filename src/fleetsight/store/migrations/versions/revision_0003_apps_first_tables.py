"""first tables (apps)."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from fleetsight.store.append_only import protect

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _session_device_events()
    _change_session_device_events()
    _sessions()
    _change_sessions()
    _session_analyses()
    _session_claims()
    _session_contests()
    _session_decisions()
    _session_events()
    _session_evidence()
    _change_session_evidence()
    _session_receipts()
    _session_reviews()
    _change_session_reviews()
    _session_segments()
    _change_session_segments()
    _session_stock_moves()


def _session_device_events() -> None:
    op.create_table(
        "session_device_events",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("claimed_session_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("device_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "device_id", "boot_id", "seq", name=op.f("pk_session_device_events")),
    )
    protect(op.get_bind(), "session_device_events")


def _change_session_device_events() -> None:
    with op.batch_alter_table("session_device_events", schema=None) as batch_op:
        batch_op.create_index("ix_session_device_events_at", ["tenant_id", "at_ns"], unique=False)


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("shopper_id", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("payment", sa.Text(), nullable=False),
        sa.Column("review_reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("wants_person", sa.Integer(), nullable=False),
        sa.Column("occupies", sa.Integer(), nullable=False),
        sa.Column("ajar", sa.Integer(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("entered_ns", sa.BigInteger(), nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), nullable=True),
        sa.Column("closed_ns", sa.BigInteger(), nullable=True),
        sa.Column("complete_ns", sa.BigInteger(), nullable=True),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("deadline_ns", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("held_minor", sa.BigInteger(), nullable=False),
        sa.Column("authorized_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("charged_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("owed_minor", sa.BigInteger(), nullable=False),
        sa.Column("waived_minor", sa.BigInteger(), nullable=False),
        sa.Column("decided_minor", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.CheckConstraint(
            "state <> 'settled' OR charged_minor > refunded_minor", name=op.f("ck_sessions_settled_is_charged")
        ),
        sa.CheckConstraint(
            "state NOT IN ('denied', 'aborted', 'released') OR charged_minor = 0",
            name=op.f("ck_sessions_ends_without_a_charge"),
        ),
        sa.CheckConstraint("captured_minor <= authorized_minor", name=op.f("ck_sessions_captured_within_hold")),
        sa.CheckConstraint(
            "held_minor >= 0 AND owed_minor >= 0 AND waived_minor >= 0", name=op.f("ck_sessions_not_negative")
        ),
        sa.CheckConstraint("refunded_minor <= charged_minor", name=op.f("ck_sessions_refunded_within_charged")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_sessions_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "jti", name=op.f("uq_sessions_tenant_id_jti")),
    )


def _change_sessions() -> None:
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(
            "ix_sessions_deadline",
            ["deadline_ns"],
            unique=False,
            sqlite_where=sa.text("deadline_ns IS NOT NULL"),
            postgresql_where=sa.text("deadline_ns IS NOT NULL"),
        )
        batch_op.create_index("ix_sessions_device", ["tenant_id", "device_id", "created_ns"], unique=False)
        batch_op.create_index("ix_sessions_newest", ["tenant_id", "created_ns", "id"], unique=False)
        batch_op.create_index("ix_sessions_shopper", ["tenant_id", "shopper_id", "created_ns"], unique=False)
        batch_op.create_index("ix_sessions_state", ["tenant_id", "state", "created_ns"], unique=False)
        batch_op.create_index(
            "uq_sessions_device_in_use",
            ["tenant_id", "device_id"],
            unique=True,
            sqlite_where=sa.text("occupies = 1"),
            postgresql_where=sa.text("occupies = 1"),
        )


def _session_analyses() -> None:
    op.create_table(
        "session_analyses",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("report", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("elapsed_s", sa.Float(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_analyses_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", "run_id", name=op.f("pk_session_analyses")),
    )
    protect(op.get_bind(), "session_analyses")


def _session_claims() -> None:
    op.create_table(
        "session_claims",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("reviewer_id", sa.Text(), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_claims_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_session_claims")),
    )


def _session_contests() -> None:
    op.create_table(
        "session_contests",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("contest_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("shopper_id", sa.Text(), nullable=False),
        sa.Column("skus", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_contests_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", "contest_id", name=op.f("pk_session_contests")),
    )
    protect(op.get_bind(), "session_contests")


def _session_decisions() -> None:
    op.create_table(
        "session_decisions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("basket", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("price_list_id", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("total_minor >= 0", name=op.f("ck_session_decisions_total")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_decisions_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", "version", name=op.f("pk_session_decisions")),
    )
    protect(op.get_bind(), "session_decisions")


def _session_events() -> None:
    op.create_table(
        "session_events",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_events_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", "version", name=op.f("pk_session_events")),
        sa.UniqueConstraint("session_id", "key", name=op.f("uq_session_events_session_id_key")),
    )
    protect(op.get_bind(), "session_events")


def _session_evidence() -> None:
    op.create_table(
        "session_evidence",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("event", sa.Integer(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_evidence_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", "name", name=op.f("pk_session_evidence")),
    )


def _change_session_evidence() -> None:
    with op.batch_alter_table("session_evidence", schema=None) as batch_op:
        batch_op.create_index("ix_session_evidence_digest", ["digest"], unique=False)


def _session_receipts() -> None:
    op.create_table(
        "session_receipts",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_receipts_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", "version", name=op.f("pk_session_receipts")),
    )
    protect(op.get_bind(), "session_receipts")


def _session_reviews() -> None:
    op.create_table(
        "session_reviews",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("reviewer_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("basket_before", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("basket", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_reviews_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", "version", name=op.f("pk_session_reviews")),
    )
    protect(op.get_bind(), "session_reviews")


def _change_session_reviews() -> None:
    with op.batch_alter_table("session_reviews", schema=None) as batch_op:
        batch_op.create_index("ix_session_reviews_reviewer", ["tenant_id", "reviewer_id", "at_ns"], unique=False)


def _session_segments() -> None:
    op.create_table(
        "session_segments",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("camera", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("pts_start_ns", sa.BigInteger(), nullable=False),
        sa.Column("pts_end_ns", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.Integer(), nullable=False),
        sa.Column("declared", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_segments_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", "camera", "index", name=op.f("pk_session_segments")),
    )


def _change_session_segments() -> None:
    with op.batch_alter_table("session_segments", schema=None) as batch_op:
        batch_op.create_index("ix_session_segments_sha256", ["sha256"], unique=False)


def _session_stock_moves() -> None:
    op.create_table(
        "session_stock_moves",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("delta <> 0", name=op.f("ck_session_stock_moves_delta")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name=op.f("fk_session_stock_moves_tenant_id_session_id"),
        ),
        sa.PrimaryKeyConstraint("session_id", "version", "sku", name=op.f("pk_session_stock_moves")),
    )
    protect(op.get_bind(), "session_stock_moves")
