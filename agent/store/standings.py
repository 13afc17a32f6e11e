"""How what people said stands beside what machines and other people said of the same texts.

Nothing here tells of a text that still waits, but for those that people disagree on.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select

from agent.records import Source
from agent.store import tables as t
from agent.store.engine import Database
from agent.store.rows import Beside
from agent.store.waiting import GIVES, LABEL, undone, withdrawn

NEWEST = 5000  # of one person's labels are looked at


class Standings(Database):
    """Queries about how far people agree with machines, and with each other."""

    def beside_machine(self, job: str, person: str) -> list[Beside]:
        """A person's labels that stand, newest first, beside what an oracle had said of the text before."""
        own, machine, earlier, r = t.labels.alias(), t.labels.alias(), t.labels.alias(), t.reviews.c
        before = (
            select(func.max(earlier.c.id))
            .where(
                earlier.c.job == job,
                earlier.c.text_id == own.c.text_id,
                earlier.c.source == Source.ORACLE.value,
                earlier.c.id < own.c.id,
            )
            .correlate(own)
            .scalar_subquery()
        )
        query = (
            select(r.blind, own.c.value, machine.c.value)
            .select_from(t.reviews)
            .join(own, own.c.id == r.label_id)
            .join(machine, machine.c.id == before)
            .where(r.job == job, r.person == person, r.action.in_(GIVES), ~undone(), ~withdrawn(own.c.id), ~_waits())
            .order_by(r.id.desc())
            .limit(NEWEST)
        )
        with self._read(None) as tx:
            return [Beside(bool(row[0]), row[1], row[2]) for row in tx.execute(query)]

    def blind_verdicts(self, job: str) -> list[Beside]:
        """What people said, who saw no label, of accepted labels that triage had drawn for that, oldest first."""
        person, machine, newer = t.labels.alias(), t.labels.alias(), t.routes.alias()
        current, route, r = t.current_labels.c, t.routes.c, t.reviews.c
        is_newer = select(newer.c.id).where(
            newer.c.job == route.job, newer.c.text_id == route.text_id, newer.c.id > route.id
        )
        query = (
            select(person.c.value, machine.c.value, route.probability)
            .select_from(t.reviews)
            .join(t.routes, and_(route.job == r.job, route.text_id == r.text_id, route.blind.is_(True)))
            .join(t.current_labels, and_(current.job == r.job, current.text_id == r.text_id))
            .join(person, person.c.id == current.label_id)
            .join(machine, machine.c.id == route.label_id)
            .where(r.job == job, r.action == LABEL, r.blind.is_(True), r.label_id == person.c.id, ~undone())
            .where(~is_newer.correlate(t.routes).exists(), ~_waits())
            .order_by(r.id)
        )
        with self._read(None) as tx:
            return [Beside(True, row[0], row[1], row[2]) for row in tx.execute(query)]

    def said_alike(self, job: str) -> tuple[int, int]:
        """How many texts several people labelled, and of how many of those all said the same."""
        l, one = t.labels.c, t.labels.alias()  # noqa: E741
        newest = (
            select(func.max(l.id))
            .where(l.job == job, l.source == Source.PERSON.value, ~withdrawn(l.id))
            .group_by(l.text_id, l.given_by)
        )
        w = t.waiting.c
        open_yet = select(w.text_id).where(w.job == job, w.text_id == one.c.text_id, w.torn.is_(False))
        each = (
            select(func.count(func.distinct(one.c.value)).label("answers"))
            .where(one.c.id.in_(newest), ~open_yet.correlate(one).exists())
            .group_by(one.c.text_id)
            .having(func.count(func.distinct(one.c.given_by)) > 1)
            .subquery()
        )
        query = select(func.count(), func.coalesce(func.sum(case((each.c.answers == 1, 1), else_=0)), 0))
        with self._read(None) as tx:
            texts, same = tx.execute(query.select_from(each)).one()
            return int(texts), int(same)


def _waits() -> ColumnElement[Any]:
    """Whether the text of a review still waits for somebody."""
    w = t.waiting.c
    here = select(w.text_id).where(w.job == t.reviews.c.job, w.text_id == t.reviews.c.text_id)
    return here.correlate(t.reviews).exists()
