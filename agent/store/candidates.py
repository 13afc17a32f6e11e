"""Which of the texts that wait come next for whom: for one person, and for several who ask at the same time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

from agent.records import Source, TextId
from agent.store import tables as t
from agent.store.blanks import AT, JOB, LIMIT, PEOPLE, PERSON, TEXT, TEXTS
from agent.store.columns import Among, InCodePoints
from agent.store.filters import FEW, HEAD, labelled_by, narrowed, sifts
from agent.store.rows import Filter, Wish
from agent.store.waiting import PUT_OFF, skipped_of, undone, withdrawn

W, L = t.waiting.c, t.leases.c
SPARE = 50
"""So many texts more than are wanted are looked at for several people: some of them each has labelled or put off."""


def next_for(sql: Connection, job: str, wish: Wish, at: datetime) -> list[TextId]:
    """The next texts for one person, in order."""
    who = {JOB.key: job, PERSON.key: wish.person, AT.key: at}
    own_too = asks_put_off(wish.only)
    ids: list[TextId] = []

    def add(*, torn: bool, put_off: bool | None) -> None:
        if len(ids) < wish.limit:
            ids.extend(_first(sql, _next(torn=torn, put_off=put_off), who, wish.only, wish.limit - len(ids)))

    for torn in (True, False) if wish.lead else (False,):
        add(torn=torn, put_off=None if own_too else False)
        if wish.again and not own_too:
            add(torn=torn, put_off=True)
    return ids


def next_for_all(sql: Connection, job: str, wishes: Sequence[Wish], at: datetime) -> list[list[TextId] | None]:
    """The next texts for each of several people, as if they had been asked for one wish after the other: in few
    statements, however many they are. None for a wish that is to be asked for alone: for what was put off or fits a
    filter, and where so much of the queue's head is not for that person that there may be more behind it."""
    plain = [wish for wish in wishes if wish.is_plain]
    if len(plain) < 2:
        return [None] * len(wishes)
    torn = _look(sql, job, [wish for wish in plain if wish.lead], at, torn=True)
    whole = _look(sql, job, plain, at, torn=False)
    before: dict[TextId, set[str]] = defaultdict(set)
    for text_id, person in torn.leases + whole.leases:
        before[text_id].add(person)
    found: list[list[TextId] | None] = []
    for wish in wishes:
        if not wish.is_plain:
            found.append(None)
            continue
        ids = torn.open_to(wish.person, before, wish.limit) if wish.lead else []
        if ids is not None:
            more = whole.open_to(wish.person, before, wish.limit - len(ids))
            ids = None if more is None else ids + more
        found.append(ids)
        if ids is not None:
            for people in before.values():
                people.discard(wish.person)
            for text_id in ids:
                before[text_id].add(wish.person)
    return found


class _Look:
    """The head of the queue as some people see it.

    Attributes:
        rows: texts in order, with the votes that each has and needs.
        is_all: nothing behind them is for any of these people.
        leases: (text, person) that have it before them.
        not_for: (text, person) who labelled it, or put it off.
    """

    def __init__(
        self, rows: Sequence[tuple[TextId, int, int]] = (), *, is_all: bool = True, torn: bool = False
    ) -> None:
        self.rows, self.is_all, self._torn = rows, is_all, torn
        self.leases: list[tuple[TextId, str]] = []
        self.not_for: set[tuple[TextId, str]] = set()

    def open_to(self, person: str, before: Mapping[TextId, set[str]], limit: int) -> list[TextId] | None:
        """The first so many for a person, where these people have these texts `before` them; None where there may be
        more."""
        ids: list[TextId] = []
        for text_id, votes, needed in self.rows:
            if len(ids) == limit:
                return ids
            others = len(before.get(text_id, set()) - {person})
            is_free = others == 0 if self._torn else votes + others < needed
            if is_free and (text_id, person) not in self.not_for:
                ids.append(text_id)
        return ids if self.is_all or len(ids) == limit else None


def _look(sql: Connection, job: str, wishes: Sequence[Wish], at: datetime, *, torn: bool) -> _Look:
    if not wishes:
        return _Look()
    people = list({wish.person for wish in wishes})
    most = sum(wish.limit for wish in wishes) + SPARE
    those = {JOB.key: job, PEOPLE.key: people, AT.key: at}
    rows = sql.execute(_head(torn=torn), those | {LIMIT.key: most}).all()
    look = _Look([(row.text_id, row.votes, row.needed) for row in rows], is_all=len(rows) < most, torn=torn)
    those[TEXTS.key] = [row.text_id for row in rows]
    look.leases = [(row.text_id, row.person) for row in sql.execute(_leases(), those)]
    if not torn and any(row.votes for row in rows):
        look.not_for |= {(row.text_id, row.given_by) for row in sql.execute(_labelled(), those)}
    if any(row.skipped for row in rows):
        look.not_for |= {(row.text_id, row.person) for row in sql.execute(_put_off(), those)}
    return look


@cache
def _head(*, torn: bool) -> Select[Any]:
    """Texts in order that one of some people may have, as far as that depends on what all others have."""
    query = select(W.text_id, W.votes, _needed().label("needed"), W.skipped).where(W.job == JOB, W.torn.is_(torn))
    return _in_order(_free(query, ~Among(L.person, PEOPLE), torn=torn))


@cache
def _leases() -> Select[Any]:
    return select(L.text_id, L.person).where(L.job == JOB, Among(L.text_id, TEXTS), L.until > AT)


@cache
def _labelled() -> Select[Any]:
    """Which of some people labelled which of some texts."""
    l = t.labels.c  # noqa: E741
    return select(l.text_id, l.given_by).where(
        l.job == JOB,
        Among(l.text_id, TEXTS),
        Among(l.given_by, PEOPLE),
        l.source == Source.PERSON.value,
        ~withdrawn(l.id),
    )


@cache
def _put_off() -> Select[Any]:
    """Which of some people put off which of some texts."""
    r = t.reviews.c
    return select(r.text_id, r.person).where(
        r.job == JOB, Among(r.text_id, TEXTS), Among(r.person, PEOPLE), r.action.in_(PUT_OFF), ~undone()
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


def matching(sql: Connection, job: str, person: str, only: Filter, limit: int, *, torn: bool) -> list[TextId]:
    """The first so many texts that fit a filter, whatever others have before them."""
    query = _in_order(_open_to(torn=torn, put_off=None if asks_put_off(only) else False))
    return _first(sql, query, {JOB.key: job, PERSON.key: person}, only, limit)


@cache
def _next(*, torn: bool, put_off: bool | None) -> Select[Any]:
    """The next texts for a person, in order: what they put off (or not, or both), and nobody else has before them."""
    return _in_order(_free(_open_to(torn=torn, put_off=put_off), L.person != PERSON, torn=torn))


@cache
def is_open(*, torn: bool) -> Select[Any]:
    """Whether one text may be before a person."""
    return _free(_open_to(torn=torn, put_off=None), L.person != PERSON, torn=torn).where(W.text_id == TEXT)


def _free(query: Select[Any], others: ColumnElement[bool], *, torn: bool) -> Select[Any]:
    """What such others have not before them, as far as it does not need several."""
    count = (
        select(func.count())
        .where(L.job == W.job, L.text_id == W.text_id, others, L.until > AT)
        .correlate(t.waiting)
        .scalar_subquery()
    )
    return query.where(count == 0 if torn else W.votes + count < _needed())


def _needed() -> Any:
    """How many people have to label each text."""
    return select(t.jobs.c.votes).where(t.jobs.c.name == JOB).scalar_subquery()


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


def asks_put_off(only: Filter | None) -> bool:
    """Whether a filter asks for what the person put off, which comes by itself only at the end."""
    return only is not None and (only.skipped or only.flagged)
