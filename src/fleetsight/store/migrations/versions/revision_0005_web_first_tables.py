"""first tables (web)."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _uploads()
    _change_uploads()


def _uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("upload_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("camera", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("pieces", sa.Integer(), nullable=False),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("quarantine", sa.String(length=71), nullable=True),
        sa.Column("touched_ns", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'stored', 'quarantined')", name=op.f("ck_uploads_state")),
        sa.CheckConstraint("received >= 0 AND received <= length", name=op.f("ck_uploads_received")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_uploads_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "upload_id", name=op.f("pk_uploads")),
        sa.UniqueConstraint(
            "tenant_id",
            "session_id",
            "camera",
            "position",
            "sha256",
            "length",
            name=op.f("uq_uploads_tenant_id_session_id_camera_position_sha256_length"),
        ),
    )


def _change_uploads() -> None:
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_uploads_state_touched_ns"), ["state", "touched_ns"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_uploads_tenant_id_device_id_state"), ["tenant_id", "device_id", "state"], unique=False
        )
