"""What stood beside a text in the question about it: its likely classes, and worked examples like it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "frames",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("text_id", sa.Text(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("examples", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.name"], name="fk_frames_job"),
        sa.PrimaryKeyConstraint("job", "text_id", name="pk_frames"),
    )
