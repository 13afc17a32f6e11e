"""Audits: which labels were drawn for people to judge blind, and with which chance."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "audits",
        sa.Column("id", ID, nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("design", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("closed_at", TIME),
        sa.ForeignKeyConstraint(["job"], ["jobs.name"], name="fk_audits_job"),
        sa.PrimaryKeyConstraint("id", name="pk_audits"),
    )
    op.create_index("ix_audits_job", "audits", ["job"])
    op.create_table(
        "audit_items",
        sa.Column("audit_id", ID, nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("text_id", sa.Text(), nullable=False),
        sa.Column("label_id", ID, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Float(53), nullable=False),
        sa.Column("stratum", sa.Integer(), nullable=False),
        sa.Column("probability", sa.Float(53), nullable=False),
        sa.Column("foretold", sa.Float(53), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["audit_id"], ["audits.id"], name="fk_audit_items_audit_id"),
        sa.ForeignKeyConstraint(["label_id"], ["labels.id"], name="fk_audit_items_label_id"),
        sa.ForeignKeyConstraint(
            ["job", "text_id"], ["texts.job", "texts.text_id"], name="fk_audit_items_job_text_id"
        ),
        sa.PrimaryKeyConstraint("audit_id", "text_id", name="pk_audit_items"),
    )
    op.create_index("ix_audit_items_job_text_id", "audit_items", ["job", "text_id"])
