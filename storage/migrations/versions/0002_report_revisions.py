"""Revisions of monthly reports

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "report_revision",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_report_revision"),
        sa.CheckConstraint(
            "state IN ('draft', 'review', 'signed', 'submitted', 'published')",
            name=op.f("ck_report_revision_state"),
        ),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_report_revision_revision")),
        sa.UniqueConstraint(
            "site", "month", "revision", name=op.f("uq_report_revision_site_month_revision")
        ),
    )
