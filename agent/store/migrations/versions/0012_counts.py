"""How many texts of a job wait for people, kept beside the job; and what one person did is found by the person first,
which PostgreSQL took for the way to what was done with a text."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("waiting", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("torn", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE jobs SET waiting = (SELECT count(*) FROM waiting WHERE waiting.job = jobs.name)")
    op.execute("UPDATE jobs SET torn = (SELECT count(*) FROM waiting WHERE waiting.job = jobs.name AND waiting.torn)")
    for last in ("action", "id"):
        op.drop_index(f"ix_reviews_job_person_{last}", "reviews")
        op.create_index(f"ix_reviews_person_job_{last}", "reviews", ["person", "job", last])
