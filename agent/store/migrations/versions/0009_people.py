"""Several people at one queue: who they are, what each has before them, and how many have to label a text."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "reviewers",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["job"], ["jobs.name"], name="fk_reviewers_job"),
        sa.PrimaryKeyConstraint("job", "name", name="pk_reviewers"),
        sa.UniqueConstraint("token_hash", name="uq_reviewers_token_hash"),
    )
    op.create_table(
        "leases",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("text_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job", "text_id"], ["texts.job", "texts.text_id"], name="fk_leases_job_text_id"),
        sa.PrimaryKeyConstraint("job", "text_id", "person", name="pk_leases"),
    )
    op.create_index("ix_leases_job_person", "leases", ["job", "person"])
    op.add_column("jobs", sa.Column("votes", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("reviews", sa.Column("note", sa.Text()))
    op.add_column("waiting", sa.Column("votes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("waiting", sa.Column("torn", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_waiting_torn",
        "waiting",
        ["job"],
        sqlite_where=sa.text("torn IS 1"),
        postgresql_where=sa.text("torn IS true"),
    )
