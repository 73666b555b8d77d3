"""Bounds and counts of the quarantine, and alarms of the ledger

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("refused", "held_bytes"):
        op.add_column(
            "quarantine_entry",
            sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"),
        )
    op.execute(
        "UPDATE quarantine_entry SET refused = readings, "
        "held_bytes = length(payload) + length(topic) + length(detail)"
    )
    op.create_index(
        "ix_quarantine_entry_site_received_ms", "quarantine_entry", ["site", "received_ms"]
    )
    op.create_index(
        "ix_quarantine_entry_received_ms_held_bytes",
        "quarantine_entry",
        ["received_ms", "held_bytes"],
        sqlite_where=sa.text("held_bytes > 0"),
        postgresql_where=sa.text("held_bytes > 0"),
    )
    op.create_index("ix_rejected_entry_received_ms", "rejected_entry", ["received_ms"])
    op.create_table(
        "ledger_imbalance",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("hour_ms", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("booked", sa.BigInteger(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "site", "hour_ms", "name", name="pk_ledger_imbalance"),
    )
