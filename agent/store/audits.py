"""Audits: what was drawn for people to judge blind, with which chances, and what they said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, or_, select, update
from sqlalchemy.engine import Row

from agent.records import Source, TextId
from agent.store import tables as t
from agent.store.blanks import JOB
from agent.store.columns import now
from agent.store.engine import Database, append, in_parts
from agent.store.rows import AuditAnswer, AuditItem, AuditLeft, AuditRow
from agent.store.waiting import requeue, skipped_of

ITEM = ("text_id", "label_id", "place", "priority", "stratum", "probability", "foretold", "accepted")


class Audits(Database):
    """Queries about audits. What was drawn stays as it was drawn; only whether it still waits is derived."""

    def add_audit(
        self, job: str, design: Mapping[str, Any], items: Sequence[AuditItem], *, tx: Connection | None = None
    ) -> int:
        """Keep an audit with what it drew; returns its id. From then on each item waits for a person, blind.

        The items' texts and labels must be kept.
        """
        with self._write(tx, job) as sql:
            made = append(sql, t.audits, {"job": job, "design": dict(design), "created_at": now()})
            rows = [{"audit_id": made, "job": job} | {name: getattr(i, name) for name in ITEM} for i in items]
            for part in in_parts(rows):
                sql.execute(insert(t.audit_items), part)
            requeue(sql, job, [i.text_id for i in items])
            return made

    def audits(self, job: str, *, of: TextId | None = None, tx: Connection | None = None) -> list[AuditRow]:
        """Every audit of a job, oldest first; or those that drew the text `of`."""
        a, item, query = t.audits.c, t.audit_items.c, _in_order()
        if of is not None:
            query = query.where(a.id.in_(select(item.audit_id).where(item.job == job, item.text_id == of)))
        with self._read(tx) as sql:
            return [AuditRow(r.id, r.design, r.created_at, r.closed_at) for r in sql.execute(query, {JOB.key: job})]

    def audited(self, job: str, *, tx: Connection | None = None) -> set[TextId]:
        """Every text that an audit ever drew."""
        with self._read(tx) as sql:
            query = select(t.audit_items.c.text_id).where(t.audit_items.c.job == job)
            return set(sql.execute(query.distinct()).scalars())

    def audit_answers(self, job: str, audit_id: int, *, tx: Connection | None = None) -> list[AuditAnswer]:
        """What an audit drew, in the order of drawing, and what people said of it."""
        drawn, person = t.labels.alias(), t.labels.alias()
        own = [t.audit_items.c[name] for name in ITEM]
        more = (drawn.c.value.label("drawn"), drawn.c.given_by, person.c.id.label("person"), person.c.value)
        query = (
            _with_person(select(*own, *more, skipped_of(t.audit_items).label("skipped")), person)
            .join(drawn, drawn.c.id == t.audit_items.c.label_id)
            .where(t.audit_items.c.job == job, t.audit_items.c.audit_id == audit_id)
            .order_by(t.audit_items.c.place)
        )
        with self._read(tx) as sql:
            return [_answer(row) for row in sql.execute(query)]

    def audits_left(self, job: str) -> AuditLeft:
        """How many items of audits that are not decided nobody judged."""
        person, item, audit = t.labels.alias(), t.audit_items.c, t.audits.c
        skipped = skipped_of(t.audit_items).label("skipped")
        open_ones = (
            _with_person(select(item.text_id, skipped).distinct(), person)
            .join(t.audits, audit.id == item.audit_id)
            .where(item.job == job, audit.closed_at.is_(None), person.c.id.is_(None))
            .subquery()
        )
        query = select(open_ones.c.skipped, func.count().label("times")).group_by(open_ones.c.skipped)
        with self._read(None) as tx:
            found = {bool(row.skipped): int(row.times) for row in tx.execute(query)}
        return AuditLeft(found.get(False, 0), found.get(True, 0))

    def settled_by_people(self, job: str, text_ids: Sequence[TextId], *, tx: Connection | None = None) -> set[TextId]:
        """Which of these texts have a label of a person, or of the seed, that counts."""
        p, found = t.current_labels.c, set[TextId]()
        with self._read(tx) as sql:
            for part in in_parts(text_ids):
                query = (
                    select(p.text_id)
                    .join(t.labels, t.labels.c.id == p.label_id)
                    .where(p.job == job, p.text_id.in_(part))
                    .where(or_(*(t.labels.c.source == s.value for s in (Source.PERSON, Source.SEED))))
                )
                found |= set(sql.execute(query).scalars())
        return found

    def close_audit(self, job: str, audit_id: int, closed: bool, *, tx: Connection | None = None) -> None:
        """Have nothing of an audit wait any more, since its test is decided; or have it wait again."""
        with self._write(tx, job) as sql:
            what = update(t.audits).where(t.audits.c.job == job, t.audits.c.id == audit_id)
            sql.execute(what.values(closed_at=now() if closed else None))
            item = t.audit_items.c
            drawn = select(item.text_id).where(item.job == job, item.audit_id == audit_id)
            requeue(sql, job, sql.execute(drawn).scalars())


@cache
def _in_order() -> Select[Any]:
    return select(t.audits).where(t.audits.c.job == JOB).order_by(t.audits.c.id)


def _with_person(query: Select[Any], person: Any) -> Select[Any]:
    """A query about items, joined with the label of a person that counts where there is one."""
    item, current, w = t.audit_items.c, t.current_labels.c, t.waiting.c
    # where several people have to label it, the first one's label counts, and is no verdict yet
    waits = select(w.text_id).where(w.job == item.job, w.text_id == item.text_id).correlate(t.audit_items).exists()
    is_verdict = and_(person.c.id == current.label_id, person.c.source == Source.PERSON.value, ~waits)
    return (
        query.select_from(t.audit_items)
        .outerjoin(t.current_labels, and_(current.job == item.job, current.text_id == item.text_id))
        .outerjoin(person, is_verdict)
    )


def _answer(row: Row[Any]) -> AuditAnswer:
    item = AuditItem(*row[: len(ITEM)])
    judged = row.person is not None
    return AuditAnswer(item, row.drawn, row.given_by, judged, row.value, bool(row.skipped) and not judged)
