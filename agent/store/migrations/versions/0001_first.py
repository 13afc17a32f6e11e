"""The first schema.

A released migration is never edited: it says in its own words what a database of that version looks like, and
borrows nothing from `agent.store` that may change.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
NUMBER = sa.Float(53)


def upgrade() -> None:
    _jobs()
    _money()
    _labels()
    _people()


def _need(name: str, kind: sa.types.TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _to(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}")


def _to_text(table: str) -> sa.ForeignKeyConstraint:
    target = ["texts.job", "texts.text_id"]
    return sa.ForeignKeyConstraint(["job", "text_id"], target, name=f"fk_{table}_job_text_id")


def _jobs() -> None:
    op.create_table(
        "jobs",
        _need("name", sa.String()),
        _need("settings", sa.Text()),
        _need("fingerprint", sa.String()),
        _need("cap", sa.BigInteger()),
        _need("spent", sa.BigInteger()),
        _need("reserved", sa.BigInteger()),
        _need("created_at", TIME),
        sa.CheckConstraint("spent >= 0 AND reserved >= 0", name="ck_jobs_not_negative"),
        _key("jobs", "name"),
    )
    op.create_table(
        "rounds",
        _need("job", sa.String()),
        _need("round", sa.Integer(), autoincrement=False),
        _need("figures", sa.Text()),
        _need("finished_at", TIME),
        _to("rounds", "job", "jobs.name"),
        _key("rounds", "job", "round"),
    )
    op.create_table(
        "texts",
        _need("job", sa.String()),
        _need("text_id", sa.Text()),
        _need("text", sa.Text()),
        _to("texts", "job", "jobs.name"),
        _key("texts", "job", "text_id"),
    )
    op.create_table(
        "picks",
        _need("id", ID),
        _need("job", sa.String()),
        _need("text_id", sa.Text()),
        _need("row", sa.BigInteger()),
        _need("round", sa.Integer()),
        _need("slice", sa.Text()),
        sa.Column("score", NUMBER),
        sa.Column("probability", NUMBER),
        _need("why", sa.Text()),
        _to_text("picks"),
        _key("picks", "id"),
        sa.UniqueConstraint("job", "text_id", name="uq_picks_job_text_id"),
    )


def _money() -> None:
    op.create_table(
        "attempts",
        _need("id", ID),
        _need("job", sa.String()),
        _need("oracle", sa.String()),
        _need("question_key", sa.String()),
        _need("text_id", sa.Text()),
        _need("worst", sa.BigInteger()),
        _need("charged", sa.BigInteger()),
        _need("state", sa.String()),
        _need("reason", sa.Text()),
        _need("owner", sa.String()),
        sa.Column("prompt_tokens", sa.BigInteger()),
        sa.Column("completion_tokens", sa.BigInteger()),
        sa.Column("cached_tokens", sa.BigInteger()),
        _need("created_at", TIME),
        sa.Column("ended_at", TIME),
        sa.CheckConstraint("worst >= 0 AND charged >= 0", name="ck_attempts_not_negative"),
        sa.CheckConstraint("state IN ('reserved', 'settled', 'released', 'ambiguous')", name="ck_attempts_state"),
        _to("attempts", "job", "jobs.name"),
        _key("attempts", "id"),
    )
    op.create_index("ix_attempts_job_state", "attempts", ["job", "state"])
    op.create_table(
        "answers",
        _need("id", ID),
        _need("attempt_id", ID),
        _need("question_key", sa.String()),
        _need("endpoint", sa.Text()),
        _need("prompt_hash", sa.String()),
        _need("raw", sa.Text()),
        _need("created_at", TIME),
        _to("answers", "attempt_id", "attempts.id"),
        _key("answers", "id"),
        sa.UniqueConstraint("attempt_id", name="uq_answers_attempt_id"),
    )
    op.create_index("ix_answers_question_key", "answers", ["question_key"])
    op.create_table(
        "invalid_answers",
        _need("id", ID),
        _need("answer_id", ID),
        _need("reason", sa.Text()),
        _need("created_at", TIME),
        _to("invalid_answers", "answer_id", "answers.id"),
        _key("invalid_answers", "id"),
    )
    op.create_index("ix_invalid_answers_answer_id", "invalid_answers", ["answer_id"])


def _labels() -> None:
    op.create_table(
        "labels",
        _need("id", ID),
        _need("job", sa.String()),
        _need("text_id", sa.Text()),
        sa.Column("value", sa.Text()),
        _need("source", sa.String()),
        _need("given_by", sa.Text()),
        sa.Column("probabilities", sa.Text()),
        sa.Column("confidence", NUMBER),
        _need("lost_mass", NUMBER),
        _need("prompt_hash", sa.String()),
        sa.Column("answer_id", ID),
        _need("cost", sa.BigInteger()),
        _need("created_at", TIME),
        _to("labels", "answer_id", "answers.id"),
        _to("labels", "job", "jobs.name"),
        _key("labels", "id"),
    )
    op.create_index("ix_labels_job_text_id", "labels", ["job", "text_id"])
    op.create_table(
        "withdrawals",
        _need("label_id", ID, autoincrement=False),
        _need("reason", sa.Text()),
        _need("created_at", TIME),
        _to("withdrawals", "label_id", "labels.id"),
        _key("withdrawals", "label_id"),
    )
    op.create_table(
        "current_labels",
        _need("job", sa.String()),
        _need("text_id", sa.Text()),
        _need("label_id", ID),
        _to("current_labels", "job", "jobs.name"),
        _to("current_labels", "label_id", "labels.id"),
        _key("current_labels", "job", "text_id"),
    )


def _people() -> None:
    op.create_table(
        "routes",
        _need("id", ID),
        _need("job", sa.String()),
        _need("text_id", sa.Text()),
        _need("round", sa.Integer()),
        sa.Column("label_id", ID),
        _need("route", sa.String()),
        _need("reason", sa.Text()),
        sa.Column("confidence", NUMBER),
        _need("blind", sa.Boolean()),
        sa.Column("probability", NUMBER),
        _need("priority", NUMBER),
        _need("created_at", TIME),
        _to_text("routes"),
        _to("routes", "label_id", "labels.id"),
        _key("routes", "id"),
    )
    op.create_index("ix_routes_job_text_id", "routes", ["job", "text_id"])
    op.create_table(
        "reviews",
        _need("id", ID),
        _need("job", sa.String()),
        _need("text_id", sa.Text()),
        _need("person", sa.Text()),
        _need("action", sa.String()),
        sa.Column("label_id", ID),
        sa.Column("undoes", ID),
        _need("seconds", NUMBER),
        _need("blind", sa.Boolean()),
        _need("created_at", TIME),
        _to_text("reviews"),
        _to("reviews", "label_id", "labels.id"),
        _to("reviews", "undoes", "reviews.id"),
        _key("reviews", "id"),
        sa.UniqueConstraint("undoes", name="uq_reviews_undoes"),
    )
    op.create_index("ix_reviews_job_text_id", "reviews", ["job", "text_id"])
