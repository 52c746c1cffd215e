"""first tables (fleet)."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _tenants()
    _access_tokens()
    _change_access_tokens()
    _people()
    _shoppers()
    _sites()
    _devices()
    _assortments()
    _device_alerts()
    _device_boots()
    _device_claims()
    _device_commands()
    _change_device_commands()
    _device_events()
    _device_heartbeats()
    _device_keys()
    _change_device_keys()
    _spent_tokens()
    _change_spent_tokens()


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenants")),
    )


def _access_tokens() -> None:
    op.create_table(
        "access_tokens",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("holder_id", sa.String(length=36), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('person', 'shopper')", name=op.f("ck_access_tokens_kind")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_access_tokens_tenant_id")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_access_tokens")),
    )


def _change_access_tokens() -> None:
    with op.batch_alter_table("access_tokens", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_access_tokens_tenant_id_holder_id"), ["tenant_id", "holder_id"], unique=False
        )


def _people() -> None:
    op.create_table(
        "people",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("left_ns", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'reviewer', 'operator', 'admin')", name=op.f("ck_people_role")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_people_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "person_id", name=op.f("pk_people")),
    )


def _shoppers() -> None:
    op.create_table(
        "shoppers",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("shopper_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("method_kind", sa.String(length=16), nullable=False),
        sa.Column("method_id", sa.String(length=255), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_shoppers_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "shopper_id", name=op.f("pk_shoppers")),
    )


def _sites() -> None:
    op.create_table(
        "sites",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("site_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_sites_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "site_id", name=op.f("pk_sites")),
    )


def _devices() -> None:
    op.create_table(
        "devices",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("site_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("hardware", sa.String(length=200), nullable=True),
        sa.Column("enrolled_ns", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.Column("command_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("maintenance", sa.String(length=200), nullable=True),
        sa.Column("warm_since_ns", sa.BigInteger(), nullable=True),
        sa.Column("too_warm_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "site_id"], ["sites.tenant_id", "sites.site_id"], name=op.f("fk_devices_tenant_id_site_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "device_id", name=op.f("pk_devices")),
        sa.UniqueConstraint("device_id", name=op.f("uq_devices_device_id")),
    )


def _assortments() -> None:
    op.create_table(
        "assortments",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("sku_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_assortments_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "device_id", "version", name=op.f("pk_assortments")),
    )


def _device_alerts() -> None:
    op.create_table(
        "device_alerts",
        sa.Column("alert_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("first_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_ns", sa.BigInteger(), nullable=False),
        sa.Column("seen_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_device_alerts_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_device_alerts")),
        sa.UniqueConstraint(
            "tenant_id", "device_id", "kind", "subject", name=op.f("uq_device_alerts_tenant_id_device_id_kind_subject")
        ),
    )


def _device_boots() -> None:
    op.create_table(
        "device_boots",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("kid", sa.String(length=32), nullable=False),
        sa.Column("first_seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("first_beat_ns", sa.BigInteger(), nullable=True),
        sa.Column("beat_seq", sa.BigInteger(), server_default="-1", nullable=False),
        sa.Column("applied_to", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("clock_ahead_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_device_boots_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "device_id", "boot_id", name=op.f("pk_device_boots")),
    )


def _device_claims() -> None:
    op.create_table(
        "device_claims",
        sa.Column("code_sha256", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("used_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_device_claims_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("code_sha256", name=op.f("pk_device_claims")),
    )


def _device_commands() -> None:
    op.create_table(
        "device_commands",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("issued_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("acked_ns", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_device_commands_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "device_id", "seq", name=op.f("pk_device_commands")),
        sa.UniqueConstraint("session_id", "kind", name=op.f("uq_device_commands_session_id_kind")),
    )


def _change_device_commands() -> None:
    with op.batch_alter_table("device_commands", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_device_commands_device_id_expires_ns"), ["device_id", "expires_ns"], unique=False
        )


def _device_events() -> None:
    op.create_table(
        "device_events",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=True),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.Column("applied_ns", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_device_events_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "device_id", "boot_id", "seq", name=op.f("pk_device_events")),
    )


def _device_heartbeats() -> None:
    op.create_table(
        "device_heartbeats",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.Column("door", sa.String(length=16), nullable=False),
        sa.Column("camera_ok", sa.Boolean(), nullable=False),
        sa.Column("temperature_c", sa.Float(), nullable=True),
        sa.Column("spool_sessions", sa.BigInteger(), nullable=False),
        sa.Column("spool_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_device_heartbeats_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "device_id", name=op.f("pk_device_heartbeats")),
    )


def _device_keys() -> None:
    op.create_table(
        "device_keys",
        sa.Column("kid", sa.String(length=32), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("public_key_b64", sa.String(length=44), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_device_keys_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_device_keys")),
    )


def _change_device_keys() -> None:
    with op.batch_alter_table("device_keys", schema=None) as batch_op:
        batch_op.create_index("ix_devices_key_device", ["tenant_id", "device_id"], unique=False)


def _spent_tokens() -> None:
    op.create_table(
        "spent_tokens",
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "device_id"],
            ["devices.tenant_id", "devices.device_id"],
            name=op.f("fk_spent_tokens_tenant_id_device_id"),
        ),
        sa.PrimaryKeyConstraint("device_id", "jti", name=op.f("pk_spent_tokens")),
    )


def _change_spent_tokens() -> None:
    with op.batch_alter_table("spent_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_spent_tokens_expires_ns"), ["expires_ns"], unique=False)
