"""Ledger, quarantine, dirty spans, events, accounts, sessions, audit

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _words(name: str) -> sa.Column:
    return sa.Column(name, sa.Text(), nullable=False)


def _big(name: str) -> sa.Column:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "ledger_hour",
        _words("site"),
        _big("hour_ms"),
        *[
            sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
            for name in (
                "received",
                "stored",
                "duplicate",
                "quarantined",
                "rejected",
                "late",
                "discarded",
            )
        ],
        sa.PrimaryKeyConstraint("site", "hour_ms", name="pk_ledger_hour"),
        sa.CheckConstraint(
            "received = stored + duplicate + quarantined + rejected",
            name=op.f("ck_ledger_hour_every_reading_once"),
        ),
        sa.CheckConstraint(
            "stored >= 0 AND duplicate >= 0 AND quarantined >= 0 AND rejected >= 0 AND late >= 0",
            name=op.f("ck_ledger_hour_not_negative"),
        ),
        sa.CheckConstraint(
            "discarded >= 0 AND discarded <= quarantined", name=op.f("ck_ledger_hour_discarded")
        ),
    )
    op.create_table(
        "applied_commit",
        sa.Column("partition", sa.Integer(), nullable=False, autoincrement=False),
        _big("number"),
        sa.PrimaryKeyConstraint("partition", name="pk_applied_commit"),
    )
    op.create_table(
        "quarantine_entry",
        sa.Column("number", _number, nullable=False),
        _big("received_ms"),
        _words("site"),
        _words("topic"),
        _words("reason"),
        _words("detail"),
        _big("readings"),
        _words("rows"),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        _words("state"),
        sa.Column("closed_us", sa.BigInteger()),
        sa.Column("closed_by", sa.Text()),
        sa.Column("closed_note", sa.Text()),
        sa.PrimaryKeyConstraint("number", name="pk_quarantine_entry"),
        sa.CheckConstraint(
            "state IN ('open', 'replayed', 'discarded')", name=op.f("ck_quarantine_entry_state")
        ),
        sa.CheckConstraint("readings >= 0", name=op.f("ck_quarantine_entry_readings")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_quarantine_entry_state_received_ms", "quarantine_entry", ["state", "received_ms"]
    )
    op.create_table(
        "rejected_entry",
        sa.Column("number", _number, nullable=False),
        _big("received_ms"),
        _words("site"),
        _words("topic"),
        _words("reason"),
        _words("detail"),
        _big("readings"),
        _words("sha256"),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_rejected_entry"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "quarantine_request",
        sa.Column("id", _number, nullable=False),
        _words("action"),
        _words("entry_ids"),
        sa.Column("as_correction", sa.Boolean(), nullable=False),
        _words("requested_by"),
        _words("note"),
        _big("requested_us"),
        _words("state"),
        _words("outcome"),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine_request"),
        sa.CheckConstraint(
            "action IN ('replay', 'discard')", name=op.f("ck_quarantine_request_action")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'done')", name=op.f("ck_quarantine_request_state")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_quarantine_request_state", "quarantine_request", ["state"])
    op.create_table(
        "ignored_member",
        _words("name"),
        _big("seen"),
        sa.PrimaryKeyConstraint("name", name="pk_ignored_member"),
    )
    op.create_table(
        "last_message",
        _words("site"),
        _big("received_ms"),
        sa.PrimaryKeyConstraint("site", name="pk_last_message"),
    )
    op.create_table(
        "dirty_span",
        sa.Column("id", _number, nullable=False),
        _words("site"),
        _words("family"),
        _words("device"),
        _big("start_ms"),
        _big("end_ms"),
        sa.Column("taken", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dirty_span"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dirty_span_site_family_device", "dirty_span", ["site", "family", "device"])
    op.create_table(
        "series_event",
        sa.Column("number", _number, nullable=False),
        _words("site"),
        _words("family"),
        _words("device"),
        _words("metric"),
        _words("kind"),
        _big("start_ms"),
        _big("end_ms"),
        sa.Column("before", sa.Double(), nullable=False),
        sa.Column("after", sa.Double(), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_series_event"),
    )
    op.create_index(
        "ix_series_event_site_family_device_end_ms",
        "series_event",
        ["site", "family", "device", "end_ms"],
    )
    op.create_index("ix_series_event_site_end_ms", "series_event", ["site", "end_ms"])
    op.create_table(
        "account",
        _words("username"),
        _words("password_hash"),
        _words("roles"),
        _words("language"),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("username", name="pk_account"),
    )
    op.create_table(
        "session",
        _words("token_sha256"),
        _words("username"),
        _words("csrf"),
        _big("created_us"),
        _big("last_seen_us"),
        _big("expires_us"),
        sa.PrimaryKeyConstraint("token_sha256", name="pk_session"),
    )
    op.create_index("ix_session_username", "session", ["username"])
    op.create_table(
        "sign_in_failure",
        sa.Column("number", _number, nullable=False),
        _words("key"),
        _big("at_us"),
        sa.PrimaryKeyConstraint("number", name="pk_sign_in_failure"),
    )
    op.create_index("ix_sign_in_failure_key_at_us", "sign_in_failure", ["key", "at_us"])
    op.create_index("ix_sign_in_failure_at_us", "sign_in_failure", ["at_us"])
    op.create_table(
        "audit_entry",
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        _big("at_us"),
        _words("actor"),
        _words("address"),
        _words("action"),
        _words("target"),
        _words("outcome"),
        _words("previous_sha256"),
        _words("sha256"),
        sa.PrimaryKeyConstraint("number", name="pk_audit_entry"),
    )
