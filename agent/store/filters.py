"""Which of the texts that wait a person wants to see, in SQL.

Among 100,000 texts two ways are quick: to go along the queue until enough is found, where what is wanted is common,
and to look through a table from its beginning to its end, where it is rare. So the head of the queue is looked at
first, and tells which of the two it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, case, false, func, or_, select, type_coerce

from agent.records import Source
from agent.store import tables as t
from agent.store.blanks import OneText
from agent.store.columns import MARK, pack_json, pack_text
from agent.store.rows import Filter
from agent.store.waiting import FLAG, acted, skipped_of, withdrawn

W = t.waiting.c
ESCAPE = "\\"
HEAD, FEW = 2000, 4000
"""So many texts at the head of the queue are looked at first; so many ids are few enough to be looked up one by
one."""


def narrowed(query: Select[Any], only: Filter, person: str, dialect: str) -> Select[Any]:
    """A query about `waiting` with just what fits a filter. What asks about the machine's label leaves out what is
    blind: whether a text is found must not tell what is hidden."""
    if only.asks_machine or only.round is not None:
        query = query.join(t.routes, t.routes.c.id == W.route_id)
    if only.round is not None:
        query = query.where(t.routes.c.round == only.round)
    if only.asks_machine:
        query = query.where(t.routes.c.blind.is_(False), W.by_audit.is_(None))
    if (such := _such_label(only)) is not None:
        query = _by_suggestion(query, such)
    if only.disagree:
        query = query.where(_disagree())
    if only.flagged:
        flag = acted(t.waiting, FLAG, person=None if only.of_everybody else person)
        query = query.where(W.skipped.is_(True), flag)
    if only.skipped:
        query = query.where(W.skipped.is_(True), skipped_of(t.waiting, person))
    if only.person is not None:
        query = query.where(W.votes > 0, labelled_by(only.person))
    if only.bulk is not None:
        query = query.where(W.text_id.in_(_to_check(only.bulk)))
    if only.words:  # last, since it reads whole texts
        same = and_(t.texts.c.job == W.job, t.texts.c.text_id == W.text_id)
        query = query.join(t.texts, same).where(_holds(only.words, dialect))
    return query


def sifts(job: str, only: Filter, dialect: str) -> Iterator[Select[Any]]:
    """Queries for ids of texts that hold all that fit a filter, each by looking through one table."""
    l, x, r = t.labels.c, t.texts.c, t.routes.c  # noqa: E741
    if only.bulk is not None:
        yield _to_check(only.bulk)
    if only.words:
        yield select(x.text_id).where(x.job == job, _holds(only.words, dialect))
    if only.person is not None:
        yield select(l.text_id).where(l.job == job, l.given_by == only.person, l.source == Source.PERSON.value)
    if (such := _such_label(only)) is not None:
        yield select(l.text_id).where(l.job == job, such)
    if only.disagree:
        yield select(l.text_id).where(l.job == job, l.source == Source.STUDENT.value)
    if only.round is not None:
        yield select(r.text_id).where(r.job == job, r.round == only.round)


def _to_check(bulk: int) -> Select[Any]:
    """The texts of a bulk that are to be checked."""
    item = t.bulk_items.c
    return (
        select(t.routes.c.text_id)
        .join(t.bulk_items, item.route_id == t.routes.c.id)
        .join(t.bulks, t.bulks.c.id == item.bulk_id)
        .where(item.bulk_id == bulk, item.place < t.bulks.c.drawn, t.bulks.c.job == t.routes.c.job)
    )


def labelled_by(person: OneText) -> ColumnElement[bool]:
    """Whether a label of this person stands of a text that waits."""
    l = t.labels.c  # noqa: E741
    own = select(l.id).where(
        l.job == W.job,
        l.text_id == W.text_id,
        l.given_by == person,
        l.source == Source.PERSON.value,
        ~withdrawn(l.id),
    )
    return own.correlate(t.waiting).exists()


def _by_suggestion(query: Select[Any], such: ColumnElement[bool]) -> Select[Any]:
    """By the label that the page suggests: the one that counts, and where people labelled it the route's."""
    current = t.current_labels
    shown = case((W.votes > 0, t.routes.c.label_id), else_=current.c.label_id)
    return (
        query.outerjoin(current, and_(current.c.job == W.job, current.c.text_id == W.text_id))
        .join(t.labels, t.labels.c.id == shown)
        .where(such)
    )


def _such_label(only: Filter) -> ColumnElement[bool] | None:
    """What a filter asks of the machine's label; None where it asks nothing."""
    asked = []
    if only.label is not None:
        asked.append(_is_or_has(only.label))
    if only.low is not None:
        asked.append(t.labels.c.confidence >= only.low)
    if only.high is not None:
        asked.append(t.labels.c.confidence <= only.high)
    return and_(*asked) if asked else None


def _is_or_has(name: str) -> ColumnElement[bool]:
    """Whether a label's value is a name, or a list with it. In JSON a name in a list follows a bracket or a comma, as
    no other quote does that is not escaped. LIKE would not do: SQLite's knows no case."""
    raw, packed = type_coerce(t.labels.c.value, Text), pack_json(name)
    within = [func.replace(raw, mark + packed, "") != raw for mark in ("[", ",")]
    return or_(raw == packed, and_(func.substr(raw, 1, 1) != '"', or_(*within)))


def _holds(words: str, dialect: str) -> ColumnElement[bool]:
    """Whether a text holds some words, whatever their case. SQLite's LIKE knows that of ASCII letters alone, so words
    with others are looked for as they may be written."""
    raw = type_coerce(t.texts.c.text, Text)
    like = raw.ilike if dialect == "postgresql" else raw.like
    written = [words] if words.isascii() else [words, words.lower(), words.upper(), words.capitalize(), words.title()]
    written = list(dict.fromkeys(written))
    is_packed = func.substr(raw, 1, len(MARK)) == MARK  # what a database cannot keep as it is stands there as JSON
    plain = [like(f"%{_literally(w)}%", escape=ESCAPE) for w in written if pack_text(w) == w]
    escaped = [like(f"%{_literally(json.dumps(w)[1:-1])}%", escape=ESCAPE) for w in written]
    return or_(and_(or_(false(), *plain), ~is_packed), and_(is_packed, or_(*escaped)))


def _literally(words: str) -> str:
    for mark in (ESCAPE, "%", "_"):
        words = words.replace(mark, ESCAPE + mark)
    return words


def _disagree() -> ColumnElement[bool]:
    """Whether the student and an oracle gave a text different labels that stand."""
    mine, other = t.labels.alias(), t.labels.alias()
    both = select(mine.c.id).where(
        mine.c.job == W.job,
        mine.c.text_id == W.text_id,
        mine.c.source == Source.STUDENT.value,
        other.c.job == W.job,
        other.c.text_id == W.text_id,
        other.c.source == Source.ORACLE.value,
        type_coerce(mine.c.value, Text) != type_coerce(other.c.value, Text),
        ~withdrawn(mine.c.id),
        ~withdrawn(other.c.id),
    )
    return both.correlate(t.waiting).exists()
