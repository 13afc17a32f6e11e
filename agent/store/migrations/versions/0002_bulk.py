"""Batches that a provider works through by itself, answers that another purchase saved, and which run owns a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", ID, nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("oracle", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.name"], name="fk_batches_job"),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    op.create_index("ix_batches_job", "batches", ["job"])
    op.create_table(
        "reuses",
        sa.Column("id", ID, nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("text_id", sa.Text(), nullable=False),
        sa.Column("answer_id", ID, nullable=False),
        sa.Column("saved", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.name"], name="fk_reuses_job"),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.id"], name="fk_reuses_answer_id"),
        sa.PrimaryKeyConstraint("id", name="pk_reuses"),
        sa.UniqueConstraint("job", "text_id", "answer_id", name="uq_reuses_job_text_id_answer_id"),
    )
    # no foreign key: SQLite would have to copy the whole table for one
    op.add_column("attempts", sa.Column("batch_id", ID))
    op.create_index("ix_attempts_batch_id", "attempts", ["batch_id"])
    op.add_column("jobs", sa.Column("owner", sa.String()))
