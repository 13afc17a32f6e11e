"""What waits for a person, as a table: found at once among 100,000 texts. It is filled from what is there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

FILL = """
INSERT INTO waiting (job, text_id, route_id, skipped, place, routed, by_audit)
SELECT r.job, r.text_id, r.id, EXISTS (
    SELECT 1 FROM reviews s WHERE s.job = r.job AND s.text_id = r.text_id AND s.action = 'skip'
    AND NOT EXISTS (SELECT 1 FROM reviews u WHERE u.undoes = s.id)
), -COALESCE(drawn.priority, r.priority), r.route IN ('person', 'stronger'), drawn.priority
FROM routes r
JOIN (SELECT max(id) AS id FROM routes GROUP BY job, text_id) newest ON newest.id = r.id
LEFT JOIN (
    SELECT i.job, i.text_id, max(i.priority) AS priority FROM audit_items i
    JOIN audits a ON a.id = i.audit_id WHERE a.closed_at IS NULL GROUP BY i.job, i.text_id
) drawn ON drawn.job = r.job AND drawn.text_id = r.text_id
LEFT JOIN current_labels c ON c.job = r.job AND c.text_id = r.text_id
LEFT JOIN labels l ON l.id = c.label_id
WHERE (r.route IN ('person', 'stronger') OR drawn.priority IS NOT NULL) AND (l.id IS NULL OR l.source <> 'person')
"""


def upgrade() -> None:
    op.create_table(
        "waiting",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("text_id", sa.Text(), nullable=False),
        sa.Column("route_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("skipped", sa.Boolean(), nullable=False),
        sa.Column("place", sa.Float(53), nullable=False),
        sa.Column("routed", sa.Boolean(), nullable=False),
        sa.Column("by_audit", sa.Float(53)),
        sa.ForeignKeyConstraint(["route_id"], ["routes.id"], name="fk_waiting_route_id"),
        sa.PrimaryKeyConstraint("job", "text_id", name="pk_waiting"),
    )
    plainly = ' COLLATE "C"' if op.get_bind().dialect.name == "postgresql" else ""  # the order of Python and SQLite
    op.execute(
        f"CREATE INDEX ix_waiting_job_skipped_place_text_id ON waiting (job, skipped, place, text_id{plainly})"
    )
    op.execute(FILL)
    op.create_index("ix_reviews_job_person_action", "reviews", ["job", "person", "action"])
