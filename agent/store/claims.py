"""Who has what before them: items of the queue that are one person's for a while, and then anybody's again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, insert, or_, select, update

from agent.records import TextId
from agent.store import tables as t
from agent.store.columns import InCodePoints, now
from agent.store.filters import FEW, HEAD, labelled_by, narrowed, sifts
from agent.store.queue import Queue, items_of, to_queue_row
from agent.store.rows import Filter, Queued, QueueRow
from agent.store.waiting import LABEL, PUT_OFF, requeue, skipped_of, undone

W, L = t.waiting.c, t.leases.c


class Claims(Queue):
    """Queries about the queue as one of several people sees it."""

    def claim(
        self,
        job: str,
        person: str,
        limit: int,
        seconds: float,
        *,
        again: bool = False,
        torn: bool = False,
        only: Filter | None = None,
        keep: Sequence[TextId] = (),
        tx: Connection | None = None,
    ) -> list[QueueRow]:
        """The next items for a person, theirs for so many seconds from now: what nobody else has before them, as far
        as it does not need several people's labels, and they have not labelled. Claimed again, the time begins anew;
        what else was theirs is anybody's again, but for `keep`: nobody can have the whole queue before them.

        In the queue's order; what the person put off comes only with `again`, at the end, or where a filter asks for
        it. With `torn` it is what others disagree on, with `only` what fits that filter. It is one transaction: no
        two people are given what only one is needed for.
        """
        with self._write(tx, job) as sql:
            at = now()
            sql.execute(delete(t.leases).where(L.job == job, L.until <= at))
            query, own_too = _next(job, person, at, torn=torn), _asks_put_off(only)
            ids = _first(sql, job, query if own_too else query.where(~_skipped_by(person)), (only, person), limit)
            if again and not own_too and len(ids) < limit:
                own = query.where(W.text_id.in_(_put_off(job, person)))
                ids += _first(sql, job, own, (only, person), limit - len(ids))
            mine = delete(t.leases).where(L.job == job, L.person == person)
            sql.execute(mine.where(or_(L.text_id.not_in(keep), L.text_id.in_(ids))))
            if not ids:
                return []
            until = at + timedelta(seconds=seconds)
            rows = [{"job": job, "text_id": text_id, "person": person, "until": until} for text_id in ids]
            sql.execute(insert(t.leases), rows)
            place = {text_id: k for k, text_id in enumerate(ids)}
            items = [to_queue_row(row) for row in sql.execute(items_of(job).where(W.text_id.in_(ids)))]
            return sorted(items, key=lambda row: place[row.text_id])

    def matching(self, job: str, person: str, only: Filter, limit: int, *, torn: bool = False) -> int:
        """How many texts `claim` would give a person in the end, if nobody else were at the queue; so many are
        counted at most."""
        query = _open_to(job, person, torn=torn)
        query = _in_order(query if _asks_put_off(only) else query.where(~_skipped_by(person)))
        with self._read(None) as tx:
            return len(_first(tx, job, query, (only, person), limit))

    def hold(
        self,
        job: str,
        person: str,
        text_id: TextId,
        seconds: float,
        *,
        lead: bool = False,
        tx: Connection | None = None,
    ) -> bool:
        """Have one text before a person, as `claim` would; False where it waits for others, or they have it."""
        with self._write(tx, job) as sql:
            at = now()
            for torn in (False, True) if lead else (False,):
                query = _next(job, person, at, torn=torn).where(W.text_id == text_id)
                if sql.execute(query).first() is not None:
                    sql.execute(delete(t.leases).where(L.job == job, L.person == person, L.text_id == text_id))
                    row = {"job": job, "text_id": text_id, "person": person, "until": at + timedelta(seconds=seconds)}
                    sql.execute(insert(t.leases), [row])
                    return True
            return False

    def let_go(
        self, job: str, person: str, these: Sequence[TextId] | None = None, *, tx: Connection | None = None
    ) -> None:
        """A person has these texts before them no more, or nothing: others need not wait."""
        here = delete(t.leases).where(L.job == job, L.person == person)
        with self._write(tx, job) as sql:
            sql.execute(here if these is None else here.where(L.text_id.in_(these)))

    def set_votes(self, job: str, votes: int, *, tx: Connection | None = None) -> None:
        """So many people have to label each text from now on: what they have labelled already may wait again, or no
        longer."""
        with self._write(tx, job) as sql:
            here = t.jobs.c.name == job
            if sql.execute(select(t.jobs.c.votes).where(here)).scalar_one_or_none() in {votes, None}:
                return
            sql.execute(update(t.jobs).where(here).values(votes=votes))
            routed = select(t.routes.c.text_id).where(t.routes.c.job == job).distinct()
            drawn = select(t.audit_items.c.text_id).where(t.audit_items.c.job == job)
            requeue(sql, job, list(sql.execute(routed.union(drawn)).scalars()))

    def queued(self, job: str, person: str) -> Queued:
        """How the queue stands for one person. Costs what they did, and not what waits."""
        r = t.reviews.c
        mine = (
            select(func.count(func.distinct(r.text_id)))
            .select_from(t.reviews.join(t.waiting, and_(W.job == r.job, W.text_id == r.text_id)))
            .where(r.job == job, r.person == person, ~undone())
        )
        mine, mine_torn = mine.where(W.torn.is_(False)), mine.where(W.torn.is_(True))
        with self._read(None) as tx:
            several = tx.execute(select(t.jobs.c.votes).where(t.jobs.c.name == job)).scalar_one() > 1
            size = select(func.count()).select_from(t.waiting).where(W.job == job)
            whole = int(tx.execute(size).scalar_one())
            torn = int(tx.execute(size.where(W.torn.is_(True))).scalar_one()) if several else 0
            put_off = int(tx.execute(mine.where(r.action.in_(PUT_OFF))).scalar_one())
            torn_put_off = int(tx.execute(mine_torn.where(r.action.in_(PUT_OFF))).scalar_one()) if torn else 0
            acted = int(tx.execute(mine.where(r.action.in_((*PUT_OFF, LABEL)))).scalar_one()) if several else put_off
        return Queued(open=whole - torn - acted, put_off=put_off, torn=torn, torn_put_off=torn_put_off)


def _first(
    sql: Connection, job: str, query: Select[Any], asked: tuple[Filter | None, str], limit: int
) -> list[TextId]:
    """The first so many texts of a query that fit what a person asked for, see `filters`."""
    only, person = asked

    def found(those: Select[Any]) -> list[TextId]:
        return list(sql.execute(those).scalars())

    if only is None:
        return found(query.limit(limit))
    dialect = sql.dialect.name
    wanted = narrowed(query, only, person, dialect)
    if only.flagged or only.skipped:  # what was put off is found by itself
        return found(wanted.limit(limit))
    head = found(query.limit(HEAD))
    first = found(wanted.where(W.text_id.in_(head)).limit(limit))
    if len(first) == limit or len(head) < HEAD:
        return first
    if len(first) < HEAD // 10:
        for sift in sifts(job, only, dialect):
            ids = found(sift.limit(FEW + 1))
            if len(ids) <= FEW:
                return found(wanted.where(W.text_id.in_(ids)).limit(limit))
    return found(wanted.limit(limit))


def _next(job: str, person: str, at: datetime, *, torn: bool) -> Select[Any]:
    others = (
        select(func.count())
        .where(L.job == W.job, L.text_id == W.text_id, L.person != person, L.until > at)
        .correlate(t.waiting)
        .scalar_subquery()
    )
    needed = select(t.jobs.c.votes).where(t.jobs.c.name == job).scalar_subquery()
    query = _open_to(job, person, torn=torn)
    return _in_order(query.where(others == 0 if torn else W.votes + others < needed))


def _in_order(query: Select[Any]) -> Select[Any]:
    return query.order_by(W.skipped, W.place, InCodePoints(W.text_id))


def _open_to(job: str, person: str, *, torn: bool) -> Select[Any]:
    """What waits for a person, whatever others have before them, and what they put off too."""
    query = select(W.text_id).where(W.job == job, W.torn.is_(torn))
    # most texts that wait were labelled by nobody, which is known without looking
    return query if torn else query.where(~and_(W.votes > 0, labelled_by(person)))


def _put_off(job: str, person: str) -> Select[Any]:
    """The texts that a person put off and did not take back: few, beside all that wait."""
    r = t.reviews.c
    return select(r.text_id).where(r.job == job, r.person == person, r.action.in_(PUT_OFF), ~undone())


def _skipped_by(person: str) -> ColumnElement[bool]:
    return and_(W.skipped.is_(True), skipped_of(t.waiting, person))  # most were put off by nobody


def _asks_put_off(only: Filter | None) -> bool:
    return only is not None and (only.skipped or only.flagged)
