"""What waits for a person, kept as a table of its own, so that a page's next items are found among 100,000 at once.

It is derived, as `current_labels` is: from a text's newest route, the label that counts, open audits, and whether a
person put the text off. Whoever changes one of these for a text says so here, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert

from agent.records import Route, Source, TextId
from agent.store import tables as t
from agent.store.blanks import JOB, TEXTS, OneText
from agent.store.columns import Among
from agent.store.engine import in_parts

W = t.waiting.c
MORE, TORN = bindparam("its_more", type_=Integer()), bindparam("its_torn", type_=Integer())
LABEL, SKIP, FLAG, DECIDE, ACCEPT, POT = "label", "skip", "flag", "decide", "accept", "honey pot"
"""What people do with a text. To flag it is to skip it with a note; to decide is to label what others disagree on; to
accept is to take machines' labels of many texts at once; a honey pot is a label of a text whose answer is known."""
UNDO = "undo"
PUT_OFF = (SKIP, FLAG)
GIVES = (LABEL, DECIDE, POT)
"""What comes with a label."""


def requeue(tx: Connection, job: str, text_ids: Iterable[TextId]) -> None:
    """Note anew which of these texts wait for a person, and where in the queue."""
    for part in in_parts(dict.fromkeys(text_ids)):
        these = {JOB.key: job, TEXTS.key: part}
        before = list(tx.execute(_clear(), these).scalars())
        after = list(tx.execute(_fill(), these).scalars())
        add_to_count(tx, job, len(after) - len(before), sum(after) - sum(before))


def add_to_count(tx: Connection, job: str, more: int, torn: int = 0) -> None:
    """Keep count of what waits, and of what of it is torn, after so many more do."""
    if more or torn:
        tx.execute(_count(), {JOB.key: job, MORE.key: more, TORN.key: torn})


@cache
def _clear() -> ReturningDelete[Any]:
    return delete(t.waiting).where(W.job == JOB, Among(W.text_id, TEXTS)).returning(W.torn)


@cache
def _fill() -> ReturningInsert[Any]:
    return insert(t.waiting).from_select([c.name for c in W], _queued(JOB, TEXTS)).returning(W.torn)


@cache
def _count() -> Update:
    j = t.jobs.c
    return update(t.jobs).where(j.name == JOB).values(waiting=j.waiting + MORE, torn=j.torn + TORN)


def _queued(job: OneText, texts: BindParameter[Any]) -> Select[tuple[object, ...]]:
    """The rows of `waiting` of some texts: those that were last routed to a person, are put off until a stronger
    oracle is asked, or were drawn by an audit, and that fewer people than have to have labelled; or as many, who
    disagree, until somebody decides. What somebody accepted with many others at once waits no more."""
    r, drawn, said = t.routes.c, drawn_of(job, texts), _said_of(job, texts)
    needed = select(t.jobs.c.votes).where(t.jobs.c.name == job).scalar_subquery()
    votes = func.coalesce(said.c.votes, 0)
    torn = and_(needed > 1, votes >= needed, said.c.answers > 1)
    newest = (
        select(func.max(r.id).label("id")).where(r.job == job, Among(r.text_id, texts)).group_by(r.text_id).subquery()
    )
    routed = and_(r.route.in_([Route.PERSON.value, Route.STRONGER.value]), ~accepted(r.id))
    by_audit = drawn.c.priority
    place = -func.coalesce(by_audit, r.priority)
    columns = (
        r.job,
        r.text_id,
        r.id,
        skipped_of(t.routes),
        place,
        routed,
        by_audit,
        votes,
        func.coalesce(torn, False),
    )
    return (
        select(*columns)
        .join(newest, newest.c.id == r.id)
        .outerjoin(drawn, drawn.c.text_id == r.text_id)
        .outerjoin(said, said.c.text_id == r.text_id)
        .where(or_(routed, by_audit.is_not(None)))
        .where(or_(votes < needed, torn), ~acted(t.routes, DECIDE))
    )


def _said_of(job: OneText, texts: BindParameter[Any]) -> FromClause:
    """How many people labelled each of these texts, and how many different labels stand."""
    l = t.labels.c  # noqa: E741
    here = select(func.max(l.id)).where(
        l.job == job, Among(l.text_id, texts), l.source == Source.PERSON.value, ~withdrawn(l.id)
    )
    # of one person who labelled it twice (in a file), the newest counts
    newest = here.group_by(l.text_id, l.given_by)
    return (
        select(
            l.text_id,
            func.count(func.distinct(l.given_by)).label("votes"),
            func.count(func.distinct(l.value)).label("answers"),
        )
        .where(l.id.in_(newest))
        .group_by(l.text_id)
        .subquery()
    )


def drawn_of(job: OneText, texts: BindParameter[Any]) -> FromClause:
    """Which of these texts an audit drew that is not decided, with their priority in the queue."""
    item = t.audit_items.c
    return (
        select(item.text_id, func.max(item.priority).label("priority"))
        .join(t.audits, t.audits.c.id == item.audit_id)
        .where(item.job == job, Among(item.text_id, texts), t.audits.c.closed_at.is_(None))
        .group_by(item.text_id)
        .subquery()
    )


def same_text(other: FromClause) -> ColumnElement[bool]:
    """Of the same text as a route."""
    return and_(other.c.job == t.routes.c.job, other.c.text_id == t.routes.c.text_id)


def skipped_of(other: Table, person: OneText | None = None) -> ColumnElement[bool]:
    """Whether the text of a row of another table was put off by somebody (or by one person), who did not take that
    back."""
    return acted(other, *PUT_OFF, person=person)


def undone() -> ColumnElement[bool]:
    """Whether a review was taken back."""
    undo = t.reviews.alias()
    return select(undo.c.id).where(undo.c.undoes == t.reviews.c.id).correlate(t.reviews).exists()


def accepted(route_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the label of a decision with this id was accepted with many others at once, and that was not taken
    back."""
    here = select(t.bulk_accepts.c.route_id).join(t.reviews, t.reviews.c.id == t.bulk_accepts.c.review_id)
    return here.where(t.bulk_accepts.c.route_id == route_id, ~undone()).exists()


def withdrawn(label_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the label of a row with this id was taken back."""
    gone = t.withdrawals.c.label_id
    return select(gone).where(gone == label_id).exists()


def acted(other: Table, *actions: str, person: OneText | None = None) -> ColumnElement[bool]:
    """Whether somebody (or one person) did one of these with the text of a row of another table, and did not take it
    back."""
    act = t.reviews.c
    here = select(act.id).where(
        act.job == other.c.job, act.text_id == other.c.text_id, act.action.in_(actions), ~undone()
    )
    return (here if person is None else here.where(act.person == person)).correlate(other).exists()
