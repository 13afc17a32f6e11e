"""A job's attempts read as a bookkeeper would: every figure is a sum that the database makes.

So a ledger of a million attempts costs no more memory than one of ten.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, distinct, func, literal, select, union, union_all
from sqlalchemy.engine import Row

from agent.records import MicroDollars, Source, TextId, Usage
from agent.store import tables as t
from agent.store.columns import InCodePoints
from agent.store.engine import Database, in_parts
from agent.store.queue import waiting_rows
from agent.store.rows import AttemptState, OracleSpending, Reason, RoundCost, Sum, Trouble

NO_LABEL = "invalid"  # the state of a paid answer that is no label, in `Reason`
FAILED = "failed"  # how the reason of a text begins that was asked in vain and waits for a person
MOST_REASONS = 500

A = t.attempts.c


class Accounts(Database):
    """Queries about what money came to. All are about one job."""

    def reasons(self, job: str) -> list[Reason]:
        """Why attempts gave no label, each reason once, the most frequent first; the rarest may be left out.

        `state` is released, ambiguous, or `invalid` for a paid answer that is no label.
        """
        ended = [AttemptState.RELEASED, AttemptState.AMBIGUOUS]
        known = select(A.state.label("state"), A.reason.label("reason"), A.charged.label("cost"))
        said = t.invalid_answers.c
        invalid = select(literal(NO_LABEL), said.reason, A.charged).select_from(_with_answers())
        invalid = invalid.join(t.invalid_answers, said.answer_id == t.answers.c.id).where(said.id.in_(_last_words()))
        rows = union_all(known.where(A.job == job, A.state.in_(ended)), invalid.where(A.job == job)).subquery()
        query = (
            select(rows.c.state, rows.c.reason, func.count().label("times"), func.sum(rows.c.cost).label("cost"))
            .group_by(rows.c.state, rows.c.reason)
            .order_by(func.count().desc(), rows.c.state, rows.c.reason)
            .limit(MOST_REASONS)
        )
        with self._read(None) as tx:
            return [Reason(r.state, r.reason, int(r.times), _money(r.cost)) for r in tx.execute(query)]

    def round_costs(self, job: str) -> list[RoundCost]:
        """What attempts about picked texts cost, by the round and slice that picked them and by their state."""
        p = t.picks.c
        query = (
            select(p.round, p.slice, A.state, func.sum(A.charged).label("cost"))
            .join(t.picks, (p.job == A.job) & (p.text_id == A.text_id))
            .where(A.job == job)
            .group_by(p.round, p.slice, A.state)
            .order_by(p.round, p.slice, A.state)
        )
        with self._read(None) as tx:
            return [RoundCost(r.round, r.slice, AttemptState(r.state), _money(r.cost)) for r in tx.execute(query)]

    def elsewhere(self, job: str) -> Sum:
        """Paid answers about texts of no round (probes, a gold set), and what attempts about such texts cost."""
        p = t.picks.c
        settled = func.coalesce(func.sum(case((A.state == AttemptState.SETTLED, 1), else_=0)), 0)
        query = (
            select(settled, func.coalesce(func.sum(A.charged), 0))
            .outerjoin(t.picks, (p.job == A.job) & (p.text_id == A.text_id))
            .where(A.job == job, p.id.is_(None))
        )
        return self._sum(query)

    def no_labels(self, job: str) -> Sum:
        """Paid answers that are no label of the task, and their cost."""
        given = select(t.labels.c.answer_id).where(t.labels.c.job == job, t.labels.c.answer_id.is_not(None))
        query = (
            select(func.count(), func.coalesce(func.sum(A.charged), 0))
            .select_from(_with_answers())
            .where(A.job == job, _is_invalid(), t.answers.c.id.not_in(given))
        )
        return self._sum(query)

    def shared(self, job: str) -> Sum:
        """Labels of further texts that came of an answer this job had bought for one, and what those would have
        cost."""
        l = t.labels.c  # noqa: E741
        texts = (
            select(l.answer_id, (func.count(distinct(l.text_id)) - 1).label("more"))
            .where(l.job == job, l.source == Source.ORACLE.value, l.answer_id.is_not(None))
            .group_by(l.answer_id)
            .having(func.count(distinct(l.text_id)) > 1)
            .subquery()
        )
        query = (
            select(func.coalesce(func.sum(texts.c.more), 0), func.coalesce(func.sum(texts.c.more * A.charged), 0))
            .join(t.answers, t.answers.c.id == texts.c.answer_id)
            .join(t.attempts, A.id == t.answers.c.attempt_id)
            .where(A.job == job)
        )
        return self._sum(query)

    def bought_before(self, job: str) -> Sum:
        """Texts with an answer that another job of this store had paid for, and what it paid."""
        l, r = t.labels.c, t.reuses.c  # noqa: E741
        of_labels = (
            select(l.text_id, l.answer_id)
            .join(t.answers, t.answers.c.id == l.answer_id)
            .join(t.attempts, A.id == t.answers.c.attempt_id)
            .where(l.job == job, A.job != job)
        )
        pairs = union(of_labels, select(r.text_id, r.answer_id).where(r.job == job)).subquery()
        query = (
            select(func.count(), func.coalesce(func.sum(A.charged), 0))
            .select_from(pairs)
            .join(t.answers, t.answers.c.id == pairs.c.answer_id)
            .join(t.attempts, A.id == t.answers.c.attempt_id)
        )
        return self._sum(query)

    def batched(self, job: str) -> dict[str, OracleSpending]:
        """By oracle, what its answers used and cost that came in batches, tokens known."""
        query = (
            select(
                A.oracle,
                func.count().label("times"),
                func.sum(A.charged).label("cost"),
                func.sum(A.prompt_tokens).label("prompt"),
                func.sum(A.completion_tokens).label("completion"),
                func.sum(A.cached_tokens).label("cached"),
            )
            .where(
                A.job == job, A.state == AttemptState.SETTLED, A.batch_id.is_not(None), A.prompt_tokens.is_not(None)
            )
            .group_by(A.oracle)
        )
        with self._read(None) as tx:
            return {r.oracle: _in_batches(r) for r in tx.execute(query)}

    # Texts that failed -------------------------------------------------------------------------------------------

    def failed(self, job: str) -> Sum:
        """Texts that were asked in vain and wait for a person, and what asking them cost."""
        texts = _failed(job, t.routes.c.text_id).subquery()
        cost = select(func.coalesce(func.sum(A.charged), 0)).where(
            A.job == job, A.text_id.in_(select(texts.c.text_id))
        )
        with self._read(None) as tx:
            count = tx.execute(select(func.count()).select_from(texts)).scalar_one()
            return Sum(int(count), _money(tx.execute(cost).scalar_one()))

    def failed_reasons(self, job: str) -> list[tuple[str, int]]:
        """Why those texts failed in the end, each reason with its number of texts, the most frequent first."""
        why = t.routes.c.reason
        query = _failed(job, why, func.count().label("times")).group_by(why).order_by(func.count().desc(), why)
        with self._read(None) as tx:
            rows = [(str(r.reason), int(r.times)) for r in tx.execute(query.limit(MOST_REASONS))]
        return [(why.removeprefix(FAILED).lstrip(": "), count) for why, count in rows]

    def failed_texts(self, job: str, limit: int) -> list[tuple[TextId, MicroDollars]]:
        """The first of those texts with what asking them cost, the dearest first."""
        texts = _failed(job, t.routes.c.text_id).subquery()
        cost = func.sum(A.charged).label("cost")
        # attempts first: they have no index by text, and to look them up text by text would read them all each time
        query = (
            select(A.text_id, cost)
            .where(A.job == job, A.text_id.in_(select(texts.c.text_id)))
            .group_by(A.text_id)
            .order_by(cost.desc(), InCodePoints(A.text_id))
            .limit(limit)
        )
        with self._read(None) as tx:
            found = [(r.text_id, _money(r.cost)) for r in tx.execute(query)]
            rest = _failed(job, t.routes.c.text_id).order_by(InCodePoints(t.routes.c.text_id)).limit(limit)
            never = [i for i in tx.execute(rest).scalars() if i not in dict(found)] if len(found) < limit else []
        return [*found, *((i, MicroDollars(0)) for i in never)][:limit]

    def troubles(self, job: str, texts: Iterable[TextId]) -> dict[TextId, Trouble]:
        """What went wrong when these texts were asked, and what asking them cost; for those where something did."""
        found: dict[TextId, dict[str, int]] = {}
        costs: dict[TextId, MicroDollars] = {}
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(texts)):
                for text_id, reason, count in _wrong(tx, job, part):
                    found.setdefault(text_id, {})[reason] = count
                cost = select(A.text_id, func.sum(A.charged)).where(A.job == job, A.text_id.in_(part))
                costs |= {i: _money(c) for i, c in tx.execute(cost.group_by(A.text_id))}
        return {i: Trouble(tuple(reasons.items()), costs[i]) for i, reasons in found.items()}

    def _sum(self, query: Select[Any]) -> Sum:
        with self._read(None) as tx:
            count, cost = tx.execute(query).one()
            return Sum(int(count), _money(cost))


def _money(found: Any) -> MicroDollars:
    return MicroDollars(int(found))  # PostgreSQL sums integers to decimals


def _in_batches(row: Row[Any]) -> OracleSpending:
    usage = Usage(int(row.prompt), int(row.completion), int(row.cached))
    return OracleSpending(_money(row.cost), MicroDollars(0), MicroDollars(0), int(row.times), 0, 0, usage)


def _with_answers() -> Any:
    return t.attempts.join(t.answers, t.answers.c.attempt_id == A.id)


def _is_invalid() -> ColumnElement[bool]:
    return t.answers.c.id.in_(select(t.invalid_answers.c.answer_id))


def _last_words() -> Select[Any]:
    """Of several reasons why one answer is no label, the newest."""
    return select(func.max(t.invalid_answers.c.id)).group_by(t.invalid_answers.c.answer_id)


def _failed(job: str, *what: Any) -> Select[Any]:
    return waiting_rows(job, *what, audits=False).where(t.routes.c.reason.startswith(FAILED))


def _wrong(tx: Connection, job: str, texts: list[TextId]) -> list[tuple[TextId, str, int]]:
    """(text, reason, how often), in the order in which things went wrong."""
    ended = [AttemptState.RELEASED, AttemptState.AMBIGUOUS]
    said = t.invalid_answers.c
    rows = [
        *tx.execute(select(A.id, A.text_id, A.reason).where(A.job == job, A.text_id.in_(texts), A.state.in_(ended))),
        *tx.execute(
            select(A.id, A.text_id, said.reason)
            .select_from(_with_answers())
            .join(t.invalid_answers, said.answer_id == t.answers.c.id)
            .where(A.job == job, A.text_id.in_(texts), said.id.in_(_last_words()))
        ),
    ]
    found: dict[tuple[TextId, str], int] = {}
    for row in sorted(rows, key=lambda r: int(r.id)):
        found[row.text_id, row.reason] = found.get((row.text_id, row.reason), 0) + 1
    return [(text_id, reason, count) for (text_id, reason), count in found.items()]
