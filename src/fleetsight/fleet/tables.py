"""Rows of tenants, people, shoppers, sites and devices.

Every key begins with, or is bound to, a tenant, and foreign keys carry it, so that no row of one tenant can name a row of another.
Secrets are never stored: tokens and claim codes are SHA-256 digests, keys of devices are public keys. Times are UTC nanoseconds.
"""

import sqlalchemy as sa

from fleetsight.store.rows import METADATA, TimeNs

ID = sa.String(36)

TENANTS = sa.Table(
    "tenants",
    METADATA,
    sa.Column("tenant_id", ID, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("created_ns", TimeNs, nullable=False),
)

PEOPLE = sa.Table(
    "people",
    METADATA,
    sa.Column("tenant_id", ID, sa.ForeignKey("tenants.tenant_id"), primary_key=True),
    sa.Column("person_id", ID, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("created_ns", TimeNs, nullable=False),
    sa.Column("left_ns", TimeNs),
    sa.CheckConstraint("role IN ('viewer', 'reviewer', 'operator', 'admin')", name="role"),
)

SHOPPERS = sa.Table(
    "shoppers",
    METADATA,
    sa.Column("tenant_id", ID, sa.ForeignKey("tenants.tenant_id"), primary_key=True),
    sa.Column("shopper_id", ID, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("method_kind", sa.String(16), nullable=False),
    sa.Column("method_id", sa.String(255), nullable=False),
    sa.Column("created_ns", TimeNs, nullable=False),
)

ACCESS_TOKENS = sa.Table(
    "access_tokens",
    METADATA,
    sa.Column("token_sha256", sa.String(64), primary_key=True),
    sa.Column("tenant_id", ID, sa.ForeignKey("tenants.tenant_id"), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("holder_id", ID, nullable=False),
    sa.Column("created_ns", TimeNs, nullable=False),
    sa.Column("expires_ns", TimeNs),
    sa.Column("revoked_ns", TimeNs),
    sa.CheckConstraint("kind IN ('person', 'shopper')", name="kind"),
    sa.Index(None, "tenant_id", "holder_id"),
)

SITES = sa.Table(
    "sites",
    METADATA,
    sa.Column("tenant_id", ID, sa.ForeignKey("tenants.tenant_id"), primary_key=True),
    sa.Column("site_id", ID, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("created_ns", TimeNs, nullable=False),
)

DEVICES = sa.Table(
    "devices",
    METADATA,
    sa.Column("tenant_id", ID, primary_key=True),
    sa.Column("device_id", ID, primary_key=True),
    sa.Column("site_id", ID, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("created_ns", TimeNs, nullable=False),
    sa.Column("hardware", sa.String(200)),
    sa.Column("enrolled_ns", TimeNs),
    sa.Column("revoked_ns", TimeNs),
    sa.Column("command_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("maintenance", sa.String(200)),
    sa.Column("warm_since_ns", TimeNs),
    sa.Column("too_warm_ns", TimeNs),
    sa.ForeignKeyConstraint(["tenant_id", "site_id"], ["sites.tenant_id", "sites.site_id"]),
    sa.UniqueConstraint("device_id"),
)
"""`hardware` is what the device calls itself; `command_seq` the last number given to a command; `too_warm_ns` locks the device until a person clears it."""


def _of_device() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant_id", "device_id"], ["devices.tenant_id", "devices.device_id"])


DEVICE_CLAIMS = sa.Table(
    "device_claims",
    METADATA,
    sa.Column("code_sha256", sa.String(64), primary_key=True),
    sa.Column("tenant_id", ID, nullable=False),
    sa.Column("device_id", ID, nullable=False),
    sa.Column("expires_ns", TimeNs, nullable=False),
    sa.Column("used_ns", TimeNs),
    _of_device(),
)

DEVICE_KEYS = sa.Table(
    "device_keys",
    METADATA,
    sa.Column("kid", sa.String(32), primary_key=True),
    sa.Column("tenant_id", ID, nullable=False),
    sa.Column("device_id", ID, nullable=False),
    sa.Column("public_key_b64", sa.String(44), nullable=False),
    sa.Column("created_ns", TimeNs, nullable=False),
    sa.Column("expires_ns", TimeNs),
    sa.Column("revoked_ns", TimeNs),
    _of_device(),
    sa.Index("ix_devices_key_device", "tenant_id", "device_id"),
)
"""`kid` is made from the public key, so a key that was once known, even a revoked one, can never be enrolled again."""

SPENT_TOKENS = sa.Table(
    "spent_tokens",
    METADATA,
    sa.Column("device_id", ID, primary_key=True),
    sa.Column("jti", sa.String(64), primary_key=True),
    sa.Column("tenant_id", ID, nullable=False),
    sa.Column("expires_ns", TimeNs, nullable=False),
    _of_device(),
    sa.Index(None, "expires_ns"),
)

DEVICE_BOOTS = sa.Table(
    "device_boots",
    METADATA,
    sa.Column("tenant_id", ID, primary_key=True),
    sa.Column("device_id", ID, primary_key=True),
    sa.Column("boot_id", sa.String(64), primary_key=True),
    sa.Column("kid", sa.String(32), nullable=False),
    sa.Column("first_seen_ns", TimeNs, nullable=False),
    sa.Column("last_seen_ns", TimeNs, nullable=False),
    sa.Column("first_beat_ns", TimeNs),
    sa.Column("beat_seq", sa.BigInteger, nullable=False, server_default="-1"),
    sa.Column("applied_to", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("clock_ahead_ns", TimeNs),
    _of_device(),
)
"""One start of a device. `first_beat_ns`: first heartbeat, None while only events came; `applied_to`: every event up to this number took effect; `clock_ahead_ns`: device time minus server time."""

DEVICE_HEARTBEATS = sa.Table(
    "device_heartbeats",
    METADATA,
    sa.Column("tenant_id", ID, primary_key=True),
    sa.Column("device_id", ID, primary_key=True),
    sa.Column("boot_id", sa.String(64), nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    sa.Column("received_ns", TimeNs, nullable=False),
    sa.Column("door", sa.String(16), nullable=False),
    sa.Column("camera_ok", sa.Boolean, nullable=False),
    sa.Column("temperature_c", sa.Float),
    sa.Column("spool_sessions", sa.BigInteger, nullable=False),
    sa.Column("spool_bytes", sa.BigInteger, nullable=False),
    _of_device(),
)
"""The latest heartbeat of each device."""

DEVICE_EVENTS = sa.Table(
    "device_events",
    METADATA,
    sa.Column("tenant_id", ID, primary_key=True),
    sa.Column("device_id", ID, primary_key=True),
    sa.Column("boot_id", sa.String(64), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    sa.Column("session_id", ID),
    sa.Column("received_ns", TimeNs, nullable=False),
    sa.Column("applied_ns", TimeNs),
    sa.Column("outcome", sa.String(200)),
    _of_device(),
)

DEVICE_COMMANDS = sa.Table(
    "device_commands",
    METADATA,
    sa.Column("tenant_id", ID, primary_key=True),
    sa.Column("device_id", ID, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("session_id", ID, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("issued_ns", TimeNs, nullable=False),
    sa.Column("expires_ns", TimeNs, nullable=False),
    sa.Column("acked_ns", TimeNs),
    sa.Column("result", sa.String(16)),
    sa.Column("reason", sa.String(200)),
    _of_device(),
    sa.UniqueConstraint("session_id", "kind"),
    sa.Index(None, "device_id", "expires_ns"),
)
"""A session gets one unlock command, ever: asking again finds the first one."""

DEVICE_ALERTS = sa.Table(
    "device_alerts",
    METADATA,
    sa.Column("alert_id", ID, primary_key=True),
    sa.Column("tenant_id", ID, nullable=False),
    sa.Column("device_id", ID, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("detail", sa.String(500), nullable=False),
    sa.Column("first_ns", TimeNs, nullable=False),
    sa.Column("last_ns", TimeNs, nullable=False),
    sa.Column("seen_count", sa.BigInteger, nullable=False),
    _of_device(),
    sa.UniqueConstraint("tenant_id", "device_id", "kind", "subject"),
)
"""What a person should look at; the same thing again raises `seen_count` and adds no row."""

ASSORTMENTS = sa.Table(
    "assortments",
    METADATA,
    sa.Column("tenant_id", ID, primary_key=True),
    sa.Column("device_id", ID, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("sku_count", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_ns", TimeNs, nullable=False),
    _of_device(),
)
