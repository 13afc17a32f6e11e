"""Texts whose answer is known, shown to people among others; and a person's newest act found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "honey_pots",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("text_id", sa.Text(), nullable=False),
        sa.Column("known", sa.Text(), nullable=False),
        sa.Column("beside", sa.Text(), nullable=False),
        sa.Column("probability", sa.Float(53), nullable=False),
        sa.Column("among", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job", "text_id"], ["texts.job", "texts.text_id"], name="fk_honey_pots_job_text_id"),
        sa.PrimaryKeyConstraint("job", "person", "text_id", name="pk_honey_pots"),
    )
    op.create_index("ix_reviews_job_person_id", "reviews", ["job", "person", "id"])
