"""The tables, as the newest migration leaves them (a test compares the two).

Append-only, but for ten things that are derived, a counter or of the moment: a job's purse, settings and count of
what waits, an attempt's end, where a batch is, a round's figures, when an audit's test was decided, how many of a
bulk were drawn, `current_labels` and `waiting`, which only point at the label that counts and at what waits for a
person, who may review, and what each has before them (`leases`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.sql.elements import conv  # a name as it is: the first migration put the prefix before checks twice

from agent.store.columns import AnyText, Id, Json, Utc

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", String, primary_key=True),
    Column("settings", Json, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("cap", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("owner", String),  # the run that may reserve; null where none took the job over
    Column("votes", Integer, nullable=False, server_default="1"),  # people who have to label a text that waits
    Column("waiting", Integer, nullable=False, server_default="0"),  # rows of `waiting`, and those of them that are
    Column("torn", Integer, nullable=False, server_default="0"),  # torn: to count 100,000 anew takes 7 ms
    CheckConstraint("spent >= 0 AND reserved >= 0", name=conv("ck_jobs_ck_jobs_not_negative")),
)

texts = Table(
    "texts",
    metadata,
    Column("job", ForeignKey("jobs.name"), primary_key=True),
    Column("text_id", AnyText, primary_key=True),
    Column("text", AnyText, nullable=False),
)

picks = Table(
    "picks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", String, nullable=False),
    Column("text_id", AnyText, nullable=False),
    Column("row", BigInteger, nullable=False),
    Column("round", Integer, nullable=False),
    Column("slice", AnyText, nullable=False),
    Column("score", Float(53)),  # null where it is not a number
    Column("probability", Float(53)),
    Column("why", Json, nullable=False),
    UniqueConstraint("job", "text_id"),
    ForeignKeyConstraint(["job", "text_id"], ["texts.job", "texts.text_id"]),
)

rounds = Table(
    "rounds",
    metadata,
    Column("job", ForeignKey("jobs.name"), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("figures", Json, nullable=False),
    Column("finished_at", Utc, nullable=False),
)

frames = Table(
    "frames",
    metadata,
    Column("job", ForeignKey("jobs.name"), primary_key=True),
    Column("text_id", AnyText, primary_key=True),
    Column("names", Json, nullable=False),
    Column("examples", Json),
    Column("created_at", Utc, nullable=False),
)

dialects = Table(
    "dialects",
    metadata,
    Column("endpoint", AnyText, primary_key=True),
    Column("model", AnyText, primary_key=True),
    Column("found", Json, nullable=False),
    Column("changed_at", Utc, nullable=False),
)

siblings = Table(
    "siblings",
    metadata,
    Column("endpoint", AnyText, primary_key=True),
    Column("model", AnyText, primary_key=True),
    Column("family", AnyText, nullable=False),  # the same for all that serve one model
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", ForeignKey("jobs.name"), nullable=False),
    Column("oracle", String, nullable=False),
    Column("question_key", String, nullable=False),
    Column("text_id", AnyText, nullable=False),
    Column("worst", BigInteger, nullable=False),
    Column("charged", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", AnyText, nullable=False),
    Column("owner", String, nullable=False),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("created_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Column("batch_id", Id, index=True),  # of `batches`, where it was sent in one
    CheckConstraint("worst >= 0 AND charged >= 0", name=conv("ck_attempts_ck_attempts_not_negative")),
    CheckConstraint(
        "state IN ('reserved', 'settled', 'released', 'ambiguous')", name=conv("ck_attempts_ck_attempts_state")
    ),
    Index(None, "job", "state"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", ForeignKey("jobs.name"), nullable=False, index=True),
    Column("oracle", String, nullable=False),
    Column("state", String, nullable=False),
    Column("remote_id", AnyText, nullable=False),  # the provider's name for it, "" where it has none yet
    Column("details", Json, nullable=False),  # files and counts
    Column("reason", AnyText, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("changed_at", Utc, nullable=False),
)

answers = Table(
    "answers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("attempt_id", ForeignKey("attempts.id"), nullable=False, unique=True),
    Column("question_key", String, nullable=False),
    Column("endpoint", AnyText, nullable=False),
    Column("prompt_hash", String, nullable=False),
    Column("raw", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Index(None, "question_key"),
)

invalid_answers = Table(
    "invalid_answers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("answer_id", ForeignKey("answers.id"), nullable=False, index=True),
    Column("reason", AnyText, nullable=False),
    Column("created_at", Utc, nullable=False),
)

reuses = Table(
    "reuses",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", ForeignKey("jobs.name"), nullable=False),
    Column("text_id", AnyText, nullable=False),
    Column("answer_id", ForeignKey("answers.id"), nullable=False),
    Column("saved", BigInteger, nullable=False),  # what the answer cost whoever bought it, micro-dollars
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("job", "text_id", "answer_id"),
)

labels = Table(
    "labels",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", ForeignKey("jobs.name"), nullable=False),
    Column("text_id", AnyText, nullable=False),
    Column("value", Json),
    Column("source", String, nullable=False),
    Column("given_by", AnyText, nullable=False),
    Column("probabilities", Json),
    Column("confidence", Float(53)),
    Column("lost_mass", Float(53), nullable=False),
    Column("prompt_hash", String, nullable=False),
    Column("answer_id", ForeignKey("answers.id")),
    Column("cost", BigInteger, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("signs", Json),
    Index(None, "job", "text_id"),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("label_id", ForeignKey("labels.id"), primary_key=True, autoincrement=False),
    Column("reason", AnyText, nullable=False),
    Column("created_at", Utc, nullable=False),
)

current_labels = Table(
    "current_labels",
    metadata,
    Column("job", ForeignKey("jobs.name"), primary_key=True),
    Column("text_id", AnyText, primary_key=True),
    Column("label_id", ForeignKey("labels.id"), nullable=False),
)

routes = Table(
    "routes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", String, nullable=False),
    Column("text_id", AnyText, nullable=False),
    Column("round", Integer, nullable=False),
    Column("label_id", ForeignKey("labels.id")),
    Column("route", String, nullable=False),
    Column("reason", AnyText, nullable=False),
    Column("confidence", Float(53)),
    Column("blind", Boolean, nullable=False),
    Column("probability", Float(53)),
    Column("priority", Float(53), nullable=False),
    Column("created_at", Utc, nullable=False),
    ForeignKeyConstraint(["job", "text_id"], ["texts.job", "texts.text_id"]),
    Index(None, "job", "text_id"),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", String, nullable=False),
    Column("text_id", AnyText, nullable=False),
    Column("person", AnyText, nullable=False),
    Column("action", String, nullable=False),
    Column("label_id", ForeignKey("labels.id")),
    Column("undoes", ForeignKey("reviews.id"), unique=True),  # a review is taken back at most once
    Column("seconds", Float(53), nullable=False),
    Column("blind", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("note", AnyText),  # what a person wrote to it
    Column("bulk_id", Id),  # of `bulks`, where many texts were accepted at once: which, is in `bulk_accepts`
    ForeignKeyConstraint(["job", "text_id"], ["texts.job", "texts.text_id"]),
    Index(None, "job", "text_id"),
    # the person first: no query that names none can mistake these for quicker than the one above
    Index(None, "person", "job", "action"),
    Index(None, "person", "job", "id"),
)

honey_pots = Table(
    "honey_pots",
    metadata,
    Column("job", String, primary_key=True),
    Column("person", AnyText, primary_key=True),
    Column("text_id", AnyText, primary_key=True),
    Column("known", Json, nullable=False),  # the answer, as it was known when it was drawn
    Column("beside", AnyText, nullable=False),  # the text that it came with
    Column("probability", Float(53), nullable=False),  # that such a text comes with one
    Column("among", Integer, nullable=False),  # so many texts, of which it was drawn
    Column("created_at", Utc, nullable=False),
    ForeignKeyConstraint(["job", "text_id"], ["texts.job", "texts.text_id"]),
)

reviewers = Table(
    "reviewers",
    metadata,
    Column("job", ForeignKey("jobs.name"), primary_key=True),
    Column("name", AnyText, primary_key=True),
    Column("role", String, nullable=False),
    Column("token_hash", String, nullable=False, unique=True),  # SHA-256: nobody can read the token here
    Column("created_at", Utc, nullable=False),
    Column("revoked_at", Utc),  # since when the token opens nothing
)

leases = Table(
    "leases",
    metadata,
    Column("job", String, primary_key=True),
    Column("text_id", AnyText, primary_key=True),
    Column("person", AnyText, primary_key=True),
    Column("until", Utc, nullable=False),  # it is nobody's after that
    ForeignKeyConstraint(["job", "text_id"], ["texts.job", "texts.text_id"]),
    Index(None, "job", "person"),
)

waiting = Table(
    "waiting",
    metadata,
    Column("job", String, primary_key=True),
    Column("text_id", AnyText, primary_key=True),
    Column("route_id", ForeignKey("routes.id"), nullable=False),
    Column("skipped", Boolean, nullable=False),
    Column("place", Float(53), nullable=False),  # the lowest comes first: its priority, below nought
    Column("routed", Boolean, nullable=False),  # it waits by its route, and not only since an audit drew it
    Column("by_audit", Float(53)),  # its priority where an audit drew it
    Column("votes", Integer, nullable=False, server_default="0"),  # people who have labelled it
    Column("torn", Boolean, nullable=False, server_default=false()),  # as many as have to did, and disagree
    Index(None, "job", "skipped", "place", "text_id"),
    Index("ix_waiting_torn", "job", sqlite_where=text("torn IS 1"), postgresql_where=text("torn IS true")),
)

audits = Table(
    "audits",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", ForeignKey("jobs.name"), nullable=False, index=True),
    Column("design", Json, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("closed_at", Utc),  # since when none of it waits any more: its test is decided
)

audit_items = Table(
    "audit_items",
    metadata,
    Column("audit_id", ForeignKey("audits.id"), primary_key=True, autoincrement=False),
    Column("job", String, nullable=False),
    Column("text_id", AnyText, primary_key=True),
    Column("label_id", ForeignKey("labels.id"), nullable=False),  # as it was drawn
    Column("place", Integer, nullable=False),  # in the order of drawing
    Column("priority", Float(53), nullable=False),  # in people's queue
    Column("stratum", Integer, nullable=False),
    Column("probability", Float(53), nullable=False),
    Column("foretold", Float(53), nullable=False),
    Column("accepted", Boolean, nullable=False),  # the label counted then, and did not wait for a person
    ForeignKeyConstraint(["job", "text_id"], ["texts.job", "texts.text_id"]),
    Index(None, "job", "text_id"),
)

bulks = Table(
    "bulks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", ForeignKey("jobs.name"), nullable=False, index=True),
    Column("person", AnyText, nullable=False),
    Column("asked", Json, nullable=False),  # the filter
    Column("population", Integer, nullable=False),
    Column("drawn", Integer, nullable=False),  # so many of its items are to be checked one by one
    Column("most_wrong", Float(53), nullable=False),  # the share that is to be shown not to be reached
    Column("alpha", Float(53), nullable=False),
    Column("created_at", Utc, nullable=False),
)

bulk_items = Table(
    "bulk_items",
    metadata,
    Column("bulk_id", ForeignKey("bulks.id"), primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),  # in the order of drawing, all of the population
    Column("route_id", ForeignKey("routes.id"), nullable=False, index=True),  # its text, and the label it was about
)

bulk_accepts = Table(
    "bulk_accepts",
    metadata,
    Column("review_id", ForeignKey("reviews.id"), primary_key=True, autoincrement=False),
    Column("route_id", ForeignKey("routes.id"), primary_key=True, autoincrement=False, index=True),
)
