"""Who has what before them: items of the queue that are one person's for a while, and then anybody's again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from agent.records import TextId
from agent.store import tables as t
from agent.store.blanks import AT, JOB, LIMIT, PERSON, TEXT, TEXTS
from agent.store.columns import Among, InCodePoints, now
from agent.store.filters import FEW, HEAD, labelled_by, narrowed, sifts
from agent.store.queue import Queue, these_items, to_queue_row
from agent.store.rows import Filter, Queued, QueueRow
from agent.store.waiting import GIVES, LABEL, PUT_OFF, UNDO, requeue, skipped_of, undone

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
            who = {JOB.key: job, PERSON.key: person, AT.key: at}
            own_too = _asks_put_off(only)
            ids = _first(sql, _next(torn=torn, put_off=None if own_too else False), who, only, limit)
            if again and not own_too and len(ids) < limit:
                ids += _first(sql, _next(torn=torn, put_off=True), who, only, limit - len(ids))
            still = [text_id for text_id in keep if text_id not in set(ids)]
            sql.execute(_over(), who | {TEXTS.key: still})
            if not ids:
                return []
            until = at + timedelta(seconds=seconds)
            sql.execute(_theirs(), {JOB.key: job, PERSON.key: person, AT.key: until, TEXTS.key: ids})
            place = {text_id: k for k, text_id in enumerate(ids)}
            items = [to_queue_row(row) for row in sql.execute(these_items(), {JOB.key: job, TEXTS.key: ids})]
            return sorted(items, key=lambda row: place[row.text_id])

    def matching(self, job: str, person: str, only: Filter, limit: int, *, torn: bool = False) -> int:
        """How many texts `claim` would give a person in the end, if nobody else were at the queue; so many are
        counted at most."""
        query = _in_order(_open_to(torn=torn, put_off=None if _asks_put_off(only) else False))
        with self._read(None) as tx:
            return len(_first(tx, query, {JOB.key: job, PERSON.key: person}, only, limit))

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
            who = {JOB.key: job, PERSON.key: person, AT.key: at, TEXT.key: text_id}
            if not any(
                sql.execute(_is_open(torn=torn), who).first() for torn in ((False, True) if lead else (False,))
            ):
                return False
            sql.execute(_let_go_of(), who)
            row = {"job": job, "text_id": text_id, "person": person, "until": at + timedelta(seconds=seconds)}
            sql.execute(insert(t.leases), [row])
            return True

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

    def recount(self, job: str, *, tx: Connection | None = None) -> None:
        """Count anew what waits, which a program from before there was a count may have changed beside this one."""
        here = select(func.count()).select_from(t.waiting).where(W.job == job)
        counted = {"waiting": here.scalar_subquery(), "torn": here.where(W.torn.is_(True)).scalar_subquery()}
        with self._write(tx, job) as sql:
            sql.execute(update(t.jobs).where(t.jobs.c.name == job).values(**counted))

    def queued(self, job: str, person: str) -> Queued:
        """How the queue stands for one person. Costs what they did, and what waits is only counted."""
        with self._read(None) as tx:
            row = tx.execute(_figures(), {JOB.key: job, PERSON.key: person}).one()
        torn, torn_put_off, acted = (row.torn, row.torn_put_off, row.acted) if row.votes > 1 else (0, 0, row.put_off)
        return Queued(
            open=row.whole - torn - acted,
            put_off=row.put_off,
            torn=torn,
            torn_put_off=torn_put_off,
            labelled=row.given - row.taken_back,
            newest=row.newest,
        )


def _first(
    sql: Connection, query: Select[Any], who: Mapping[str, Any], only: Filter | None, limit: int
) -> list[TextId]:
    """The first so many texts of a query that fit what a person asked for, see `filters`."""

    def found(those: Select[Any], most: int) -> list[TextId]:
        return list(sql.execute(those.limit(LIMIT), {**who, LIMIT.key: most}).scalars())

    if only is None:
        return list(sql.execute(query, {**who, LIMIT.key: limit}).scalars())
    dialect = sql.dialect.name
    wanted = narrowed(query, only, who[PERSON.key], dialect)
    if only.flagged or only.skipped:  # what was put off is found by itself
        return found(wanted, limit)
    head = found(query, HEAD)
    first = found(wanted.where(W.text_id.in_(head)), limit)
    if len(first) == limit or len(head) < HEAD:
        return first
    if len(first) < HEAD // 10:
        for sift in sifts(who[JOB.key], only, dialect):
            ids = found(sift, FEW + 1)
            if len(ids) <= FEW:
                return found(wanted.where(W.text_id.in_(ids)), limit)
    return found(wanted, limit)


@cache
def _next(*, torn: bool, put_off: bool | None) -> Select[Any]:
    """The next texts for a person, in order: what they put off (or not, or both), and nobody else has before them."""
    return _in_order(_free(_open_to(torn=torn, put_off=put_off), torn=torn))


@cache
def _is_open(*, torn: bool) -> Select[Any]:
    return _free(_open_to(torn=torn, put_off=None), torn=torn).where(W.text_id == TEXT)


def _free(query: Select[Any], *, torn: bool) -> Select[Any]:
    """What nobody else has before them, as far as it does not need several."""
    others = (
        select(func.count())
        .where(L.job == W.job, L.text_id == W.text_id, L.person != PERSON, L.until > AT)
        .correlate(t.waiting)
        .scalar_subquery()
    )
    needed = select(t.jobs.c.votes).where(t.jobs.c.name == JOB).scalar_subquery()
    return query.where(others == 0 if torn else W.votes + others < needed)


def _in_order(query: Select[Any]) -> Select[Any]:
    """A query, in the queue's order, with its `LIMIT` to be filled in."""
    return query.order_by(W.skipped, W.place, InCodePoints(W.text_id)).limit(LIMIT)


@cache
def _open_to(*, torn: bool, put_off: bool | None) -> Select[Any]:
    """What waits for a person, whatever others have before them: what they put off, or not, or both."""
    query = select(W.text_id).where(W.job == JOB, W.torn.is_(torn))
    if not torn:  # most texts that wait were labelled by nobody, which is known without looking
        query = query.where(~and_(W.votes > 0, labelled_by(PERSON)))
    if put_off:  # few, beside all that wait
        r = t.reviews.c
        own = select(r.text_id).where(r.job == JOB, r.person == PERSON, r.action.in_(PUT_OFF), ~undone())
        return query.where(W.text_id.in_(own))
    # most were put off by nobody
    return query if put_off is None else query.where(~and_(W.skipped.is_(True), skipped_of(t.waiting, PERSON)))


@cache
def _figures() -> Select[Any]:
    """All of `queued` in one statement."""
    r = t.reviews.c
    mine = (
        select(func.count(func.distinct(r.text_id)))
        .select_from(t.reviews.join(t.waiting, and_(W.job == r.job, W.text_id == r.text_id)))
        .where(r.job == JOB, r.person == PERSON, ~undone())
    )
    given, undo = t.reviews.alias(), t.reviews.alias()
    labels = select(func.count()).where(r.job == JOB, r.person == PERSON, r.action.in_(GIVES))
    taken_back = (
        select(func.count())
        .select_from(undo.join(given, given.c.id == undo.c.undoes))
        .where(undo.c.job == JOB, undo.c.person == PERSON, undo.c.action == UNDO, given.c.action.in_(GIVES))
    )
    own = select(r.id).where(r.job == JOB, r.person == PERSON, r.action != UNDO, ~undone())
    undecided, here = mine.where(W.torn.is_(False)), t.jobs.c.name == JOB
    figures = {
        "votes": select(t.jobs.c.votes).where(here),
        "whole": select(t.jobs.c.waiting).where(here),
        "torn": select(t.jobs.c.torn).where(here),
        "put_off": undecided.where(r.action.in_(PUT_OFF)),
        "torn_put_off": mine.where(W.torn.is_(True), r.action.in_(PUT_OFF)),
        "acted": undecided.where(r.action.in_((*PUT_OFF, LABEL))),
        "given": labels,
        "taken_back": taken_back,
        "newest": own.order_by(r.id.desc()).limit(1),
    }
    asked: dict[str, ColumnElement[Any]] = {name: query.scalar_subquery() for name, query in figures.items()}
    # along all that a person ever did: only where it is needed
    asked["acted"] = case((asked["votes"] > 1, asked["acted"]), else_=0)
    return select(*(figure.label(name) for name, figure in asked.items()))


@cache
def _over() -> Delete:
    """All that anybody had for too long, and all that a person has before them, but for some."""
    theirs = and_(L.person == PERSON, ~Among(L.text_id, TEXTS))
    return delete(t.leases).where(L.job == JOB, or_(L.until <= AT, theirs))


@cache
def _theirs() -> Insert:
    """Some texts that wait are before a person until a moment."""
    those = select(W.job, W.text_id, PERSON, AT).where(W.job == JOB, Among(W.text_id, TEXTS))
    return insert(t.leases).from_select([L.job, L.text_id, L.person, L.until], those)


@cache
def _let_go_of() -> Delete:
    return delete(t.leases).where(L.job == JOB, L.person == PERSON, L.text_id == TEXT)


def _asks_put_off(only: Filter | None) -> bool:
    return only is not None and (only.skipped or only.flagged)
