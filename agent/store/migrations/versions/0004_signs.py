"""What spoke for and against a label when it was given, from which it is learnt which labels are wrong."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("labels", sa.Column("signs", sa.Text()))
