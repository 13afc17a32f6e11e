"""What asking a text came to, what people's time came to, and how many labels there are: sums by the database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, case, func, select

from agent.records import Source, TextId
from agent.store import tables as t
from agent.store.engine import Database, in_parts
from agent.store.rows import AttemptState, TextCost
from agent.store.waiting import undone

LONGEST_REVIEW_S = 3600.0  # an item that was left open longer was not worked on

A = t.attempts.c


class Tallies(Database):
    """Queries about the costs of texts, and counts. All are about one job."""

    def text_costs(self, job: str, oracle: str, texts: Iterable[TextId]) -> list[TextCost]:
        """What asking an oracle about each of these texts came to, retries and failures included; for those that it
        was asked about, or whose answer another job had bought."""
        found: dict[TextId, TextCost] = {}
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(texts)):
                before = select(t.reuses.c.text_id, func.max(t.reuses.c.saved).label("saved")).where(
                    t.reuses.c.job == job, t.reuses.c.text_id.in_(part)
                )
                for r in tx.execute(before.group_by(t.reuses.c.text_id)):
                    found[r.text_id] = TextCost(r.text_id, float(r.saved), 0.0, True)
                for r in tx.execute(_cost_of(job, oracle, part)):
                    found[r.text_id] = TextCost(r.text_id, float(r.plain), float(r.total - r.plain), bool(r.good))
        return list(found.values())

    def newest_asked(self, job: str, oracle: str, limit: int) -> list[TextId]:
        """The texts that an oracle was asked about last."""
        newest = func.max(A.id)
        query = select(A.text_id).where(A.job == job, A.oracle == oracle, A.state != AttemptState.RESERVED)
        with self._read(None) as tx:
            rows = tx.execute(query.group_by(A.text_id).order_by(newest.desc()).limit(limit))
            return list(rows.scalars())

    def busy_seconds(self, job: str, oracle: str, texts: Iterable[TextId]) -> float:
        """Seconds in which at least one live question about these texts was under way."""
        spans: list[tuple[datetime, datetime]] = []
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(texts)):
                query = select(A.created_at, A.ended_at).where(
                    A.job == job, A.oracle == oracle, A.text_id.in_(part),
                    A.ended_at.is_not(None), A.batch_id.is_(None),
                )  # fmt: skip
                spans += [(r.created_at, r.ended_at) for r in tx.execute(query)]
        return _covered(spans)

    # People and labels -------------------------------------------------------------------------------------------

    def review_seconds(self, job: str) -> float:
        """Seconds that people spent on reviews, those they took back later included: that time is gone too."""
        s = t.reviews.c.seconds
        counted = case((s > LONGEST_REVIEW_S, LONGEST_REVIEW_S), (s > 0, s), else_=0.0)
        with self._read(None) as tx:
            query = select(func.coalesce(func.sum(counted), 0.0)).where(t.reviews.c.job == job)
            return float(tx.execute(query).scalar_one())

    def review_times(self, job: str, newest: int) -> list[tuple[int, float]]:
        """Of the newest labels that people gave and did not take back: the text's characters and the seconds it took,
        oldest first. What was not timed is left out."""
        r = t.reviews.c
        query = (
            select(func.length(t.texts.c.text), r.seconds)
            .join(t.texts, and_(t.texts.c.job == r.job, t.texts.c.text_id == r.text_id))
            .where(r.job == job, r.label_id.is_not(None), r.seconds > 0, ~undone())
            .order_by(r.id.desc())
            .limit(newest)
        )
        with self._read(None) as tx:
            return [(int(length), float(seconds)) for length, seconds in tx.execute(query)][::-1]

    def count_labels(self, job: str) -> dict[Source, int]:
        """How many texts have a label that counts, by who gave it."""
        query = (
            select(t.labels.c.source, func.count().label("times"))
            .join(t.current_labels, t.current_labels.c.label_id == t.labels.c.id)
            .where(t.current_labels.c.job == job)
            .group_by(t.labels.c.source)
        )
        with self._read(None) as tx:
            return {Source(r.source): int(r.times) for r in tx.execute(query)}


def _cost_of(job: str, oracle: str, texts: list[TextId]) -> Select[Any]:
    """Text, `total` charge, `plain` charge (answered, tokens known), and how many answers were `good`."""
    settled = A.state == AttemptState.SETTLED
    invalid = t.answers.c.id.in_(select(t.invalid_answers.c.answer_id))
    plain = case((settled & A.prompt_tokens.is_not(None), A.charged), else_=0)
    return (
        select(
            A.text_id,
            func.sum(A.charged).label("total"),
            func.sum(plain).label("plain"),
            func.sum(case((settled & ~invalid, 1), else_=0)).label("good"),
        )
        .select_from(t.attempts.outerjoin(t.answers, t.answers.c.attempt_id == A.id))
        .where(A.job == job, A.oracle == oracle, A.text_id.in_(texts), A.state != AttemptState.RESERVED)
        .group_by(A.text_id)
    )


def _covered(spans: list[tuple[datetime, datetime]]) -> float:
    """Seconds that lie in at least one span."""
    total, reached = 0.0, None
    for start, end in sorted(spans):
        begin = start if reached is None else max(start, reached)
        total += max(0.0, (end - begin).total_seconds())
        reached = end if reached is None else max(end, reached)
    return total
