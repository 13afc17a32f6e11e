"""Who has what before them: items of the queue that are one person's for a while, and then anybody's again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Row,
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
from agent.store.blanks import AT, JOB, PEOPLE, PERSON, TEXT, TEXTS
from agent.store.candidates import is_open, matching, next_for, next_for_all
from agent.store.columns import Among, now, rows_of
from agent.store.queue import Queue, these_items, to_queue_row
from agent.store.rows import Filter, Queued, QueueRow, Wish
from agent.store.waiting import GIVES, LABEL, PUT_OFF, UNDO, requeue, undone

W, L = t.waiting.c, t.leases.c


class Claims(Queue):
    """Queries about the queue as one of several people sees it."""

    def claim(
        self, job: str, wishes: Sequence[Wish], seconds: float, *, tx: Connection | None = None
    ) -> list[list[QueueRow]]:
        """The next items for each of some people, theirs for so many seconds from now: what nobody else has before
        them, as far as it does not need several people's labels, and they have not labelled. Claimed again, the time
        begins anew; what else was theirs is anybody's again: nobody can have the whole queue before them.

        In the queue's order; what a person put off comes only where they ask for it `again`, at the end, or by a
        filter. A lead is given first what others disagree on. It is one transaction: no two people are given what
        only one is needed for.
        """
        with self._write(tx, job) as sql:
            at = now()
            until = at + timedelta(seconds=seconds)
            found = next_for_all(sql, job, wishes, at)
            together = {w.person: ids for w, ids in zip(wishes, found, strict=True) if ids is not None}
            _lease(sql, job, together, at, until)
            for k, wish in enumerate(wishes):
                if found[k] is None:
                    found[k] = ids = next_for(sql, job, wish, at)
                    _lease(sql, job, {wish.person: ids}, at, until)
            given = [ids or [] for ids in found]
            wanted = list({text_id for ids in given for text_id in ids})
            if not wanted:
                return [[] for _ in wishes]
            rows = map(to_queue_row, sql.execute(these_items(), {JOB.key: job, TEXTS.key: wanted}))
            items = {row.text_id: row for row in rows}
            return [[items[text_id] for text_id in ids] for ids in given]

    def matching(self, job: str, person: str, only: Filter, limit: int, *, torn: bool = False) -> int:
        """How many texts `claim` would give a person in the end, if nobody else were at the queue; so many are
        counted at most."""
        with self._read(None) as tx:
            return len(matching(tx, job, person, only, limit, torn=torn))

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
                sql.execute(is_open(torn=torn), who).first() for torn in ((False, True) if lead else (False,))
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

    def queued(self, job: str, people: Sequence[str]) -> dict[str, Queued]:
        """How the queue stands for each of some people. Costs what they did, and what waits is only counted."""
        with self._read(None) as tx:
            rows = tx.execute(_figures(tx.dialect.name), {JOB.key: job, PEOPLE.key: list(dict.fromkeys(people))})
            return {row.person: _as_queued(row) for row in rows}


def _as_queued(row: Row[Any]) -> Queued:
    torn, torn_put_off, acted = (row.torn, row.torn_put_off, row.acted) if row.votes > 1 else (0, 0, row.put_off)
    return Queued(
        open=row.whole - torn - acted,
        put_off=row.put_off,
        torn=torn,
        torn_put_off=torn_put_off,
        labelled=row.given - row.taken_back,
        newest=row.newest,
    )


def _lease(sql: Connection, job: str, given: Mapping[str, Sequence[TextId]], at: datetime, until: datetime) -> None:
    """Have these people these texts before them, and no others. What anybody had for too long is over."""
    if not given:
        return
    sql.execute(_over(), {JOB.key: job, AT.key: at, PEOPLE.key: list(given)})
    pairs = [(text_id, person) for person, ids in given.items() for text_id in ids]
    if pairs:
        texts, people = zip(*pairs, strict=True)
        sql.execute(_theirs(sql.dialect.name), {JOB.key: job, AT.key: until, TEXTS.key: texts, PEOPLE.key: people})


@cache
def _figures(dialect: str) -> Select[Any]:
    """All of `queued` in one statement."""
    r, who = t.reviews.c, rows_of(dialect, person=PEOPLE)
    person = who.c.person
    mine = (
        select(func.count(func.distinct(r.text_id)))
        .select_from(t.reviews.join(t.waiting, and_(W.job == r.job, W.text_id == r.text_id)))
        .where(r.job == JOB, r.person == person, ~undone())
    )
    given, undo = t.reviews.alias(), t.reviews.alias()
    labels = select(func.count()).select_from(t.reviews).where(r.job == JOB, r.person == person, r.action.in_(GIVES))
    taken_back = (
        select(func.count())
        .select_from(undo.join(given, given.c.id == undo.c.undoes))
        .where(undo.c.job == JOB, undo.c.person == person, undo.c.action == UNDO, given.c.action.in_(GIVES))
    )
    own = select(r.id).select_from(t.reviews).where(r.job == JOB, r.person == person, r.action != UNDO, ~undone())
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
    asked: dict[str, ColumnElement[Any]] = {
        name: query.correlate(who).scalar_subquery() for name, query in figures.items()
    }
    # along all that a person ever did: only where it is needed
    asked["acted"] = case((asked["votes"] > 1, asked["acted"]), else_=0)
    return select(person, *(figure.label(name) for name, figure in asked.items()))


@cache
def _over() -> Delete:
    """All that anybody had for too long, and all that some people have before them."""
    return delete(t.leases).where(L.job == JOB, or_(L.until <= AT, Among(L.person, PEOPLE)))


@cache
def _theirs(dialect: str) -> Insert:
    """Each of some texts is before its person until a moment."""
    pairs = rows_of(dialect, text_id=TEXTS, person=PEOPLE)
    those = select(JOB, pairs.c.text_id, pairs.c.person, AT)
    return insert(t.leases).from_select([L.job, L.text_id, L.person, L.until], those)


@cache
def _let_go_of() -> Delete:
    return delete(t.leases).where(L.job == JOB, L.person == PERSON, L.text_id == TEXT)
