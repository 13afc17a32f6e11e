"""Texts that were accepted many at once: what was asked for, in which order it was drawn, and what was accepted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "bulks",
        sa.Column("id", ID, nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("population", sa.Integer(), nullable=False),
        sa.Column("drawn", sa.Integer(), nullable=False),
        sa.Column("most_wrong", sa.Float(53), nullable=False),
        sa.Column("alpha", sa.Float(53), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.name"], name="fk_bulks_job"),
        sa.PrimaryKeyConstraint("id", name="pk_bulks"),
    )
    op.create_index("ix_bulks_job", "bulks", ["job"])
    op.create_table(
        "bulk_items",
        sa.Column("bulk_id", ID, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("route_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["bulk_id"], ["bulks.id"], name="fk_bulk_items_bulk_id"),
        sa.ForeignKeyConstraint(["route_id"], ["routes.id"], name="fk_bulk_items_route_id"),
        sa.PrimaryKeyConstraint("bulk_id", "place", name="pk_bulk_items"),
    )
    op.create_index("ix_bulk_items_route_id", "bulk_items", ["route_id"])
    op.create_table(
        "bulk_accepts",
        sa.Column("review_id", ID, nullable=False),
        sa.Column("route_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["review_id"], ["reviews.id"], name="fk_bulk_accepts_review_id"),
        sa.ForeignKeyConstraint(["route_id"], ["routes.id"], name="fk_bulk_accepts_route_id"),
        sa.PrimaryKeyConstraint("review_id", "route_id", name="pk_bulk_accepts"),
    )
    op.create_index("ix_bulk_accepts_route_id", "bulk_accepts", ["route_id"])
    op.add_column("reviews", sa.Column("bulk_id", ID))
