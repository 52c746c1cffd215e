"""The tables of sessions. What was decided, booked, issued or seen is only ever inserted.

A session is one row: its columns are what is searched and what the database itself guards; `body` holds all of it but the
segments, which have rows of their own.
"""

import sqlalchemy as sa

from fleetsight.store.append_only import APPEND_ONLY
from fleetsight.store.rows import METADATA, JsonColumn, TimeNs

_OCCUPIES = sa.text("occupies = 1")
_DUE = sa.text("deadline_ns IS NOT NULL")

SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("site_id", sa.Text, nullable=False),
    sa.Column("device_id", sa.Text, nullable=False),
    sa.Column("shopper_id", sa.Text, nullable=False),
    sa.Column("jti", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("door", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("payment", sa.Text, nullable=False),
    sa.Column("review_reason", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("wants_person", sa.Integer, nullable=False),  # in review, or contested, or changed after the decision
    sa.Column("occupies", sa.Integer, nullable=False),  # the device is this session's
    sa.Column("ajar", sa.Integer, nullable=False),
    sa.Column("created_ns", TimeNs, nullable=False),
    sa.Column("entered_ns", TimeNs, nullable=False),
    sa.Column("opened_ns", TimeNs),
    sa.Column("closed_ns", TimeNs),
    sa.Column("complete_ns", TimeNs),  # when the last awaited segment came
    sa.Column("ended_ns", TimeNs),
    sa.Column("deadline_ns", TimeNs),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("held_minor", sa.BigInteger, nullable=False),
    sa.Column("authorized_minor", sa.BigInteger, nullable=False),
    sa.Column("captured_minor", sa.BigInteger, nullable=False),
    sa.Column("charged_minor", sa.BigInteger, nullable=False),
    sa.Column("refunded_minor", sa.BigInteger, nullable=False),
    sa.Column("owed_minor", sa.BigInteger, nullable=False),
    sa.Column("waived_minor", sa.BigInteger, nullable=False),
    sa.Column("decided_minor", sa.BigInteger, nullable=False),
    sa.Column("body", JsonColumn, nullable=False),
    sa.UniqueConstraint("tenant_id", "id"),
    sa.UniqueConstraint("tenant_id", "jti"),
    sa.CheckConstraint("captured_minor <= authorized_minor", name="captured_within_hold"),
    sa.CheckConstraint("refunded_minor <= charged_minor", name="refunded_within_charged"),
    sa.CheckConstraint("held_minor >= 0 AND owed_minor >= 0 AND waived_minor >= 0", name="not_negative"),
    sa.CheckConstraint(
        "state NOT IN ('denied', 'aborted', 'released') OR charged_minor = 0", name="ends_without_a_charge"
    ),
    sa.CheckConstraint("state <> 'settled' OR charged_minor > refunded_minor", name="settled_is_charged"),
    sa.Index(
        "uq_sessions_device_in_use",
        "tenant_id",
        "device_id",
        unique=True,
        sqlite_where=_OCCUPIES,
        postgresql_where=_OCCUPIES,
    ),
    sa.Index("ix_sessions_deadline", "deadline_ns", sqlite_where=_DUE, postgresql_where=_DUE),
    sa.Index("ix_sessions_newest", "tenant_id", "created_ns", "id"),
    sa.Index("ix_sessions_state", "tenant_id", "state", "created_ns"),
    sa.Index("ix_sessions_device", "tenant_id", "device_id", "created_ns"),
    sa.Index("ix_sessions_shopper", "tenant_id", "shopper_id", "created_ns"),
)


def _of_session() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant_id", "session_id"], ["sessions.tenant_id", "sessions.id"])


EVENTS = sa.Table(
    "session_events",  # the facts of each event lie in the chain `session:<id>`, at position version + 1
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    sa.UniqueConstraint("session_id", "key"),
    _of_session(),
    info=APPEND_ONLY,
)
SEGMENTS = sa.Table(
    "session_segments",
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("length", sa.BigInteger, nullable=False),
    sa.Column("pts_start_ns", TimeNs, nullable=False),
    sa.Column("pts_end_ns", TimeNs, nullable=False),
    sa.Column("stored", sa.Integer, nullable=False),
    sa.Column("declared", sa.Integer, nullable=False),
    _of_session(),
    sa.Index("ix_session_segments_sha256", "sha256"),
)
DEVICE_EVENTS = sa.Table(
    "session_device_events",  # each event of a device once, in one session or in none
    METADATA,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("device_id", sa.Text, primary_key=True),
    sa.Column("boot_id", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text),  # None: an incident
    sa.Column("claimed_session_id", sa.Text),  # what the device said
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("device_at_ns", TimeNs, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    sa.Index("ix_session_device_events_at", "tenant_id", "at_ns"),
    info=APPEND_ONLY,
)
DECISIONS = sa.Table(
    "session_decisions",
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("basket", JsonColumn, nullable=False),
    sa.Column("total_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("price_list_id", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    sa.CheckConstraint("total_minor >= 0", name="total"),
    _of_session(),
    info=APPEND_ONLY,
)
STOCK_MOVES = sa.Table(
    "session_stock_moves",
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sku", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("site_id", sa.Text, nullable=False),
    sa.Column("device_id", sa.Text, nullable=False),
    sa.Column("delta", sa.Integer, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    sa.CheckConstraint("delta <> 0", name="delta"),
    _of_session(),
    info=APPEND_ONLY,
)
RUNS = sa.Table(
    "session_analyses",
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("report", JsonColumn, nullable=False),
    sa.Column("elapsed_s", sa.Float, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    _of_session(),
    info=APPEND_ONLY,
)
EVIDENCE = sa.Table(
    "session_evidence",  # files that show what a run saw; `digest` names the bytes in the blobs
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("event", sa.Integer),  # index of the event in the report; None: the whole clip
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("deleted_ns", TimeNs),
    _of_session(),
    sa.Index("ix_session_evidence_digest", "digest"),
)
RECEIPTS = sa.Table(
    "session_receipts",
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),  # of the session when it was issued
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("body", JsonColumn, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    _of_session(),
    info=APPEND_ONLY,
)
CONTESTS = sa.Table(
    "session_contests",
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("contest_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("shopper_id", sa.Text, nullable=False),
    sa.Column("skus", JsonColumn, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    _of_session(),
    info=APPEND_ONLY,
)
REVIEWS = sa.Table(
    "session_reviews",  # what people decided, with the time that the case was before them
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),  # of the session before the decision
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("reviewer_id", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("reason_code", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("basket_before", JsonColumn, nullable=False),
    sa.Column("basket", JsonColumn, nullable=False),
    sa.Column("at_ns", TimeNs, nullable=False),
    _of_session(),
    sa.Index("ix_session_reviews_reviewer", "tenant_id", "reviewer_id", "at_ns"),
    info=APPEND_ONLY,
)
CLAIMS = sa.Table(
    "session_claims",  # who has a case on the screen
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("reviewer_id", sa.Text, nullable=False),
    sa.Column("until_ns", TimeNs, nullable=False),
    _of_session(),
)
