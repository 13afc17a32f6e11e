"""Labels: append-only, with a derived pointer to the one that counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from agent.errors import StoreError
from agent.records import Label, Source, TextId
from agent.store import tables as t
from agent.store.columns import known, now, pack_json
from agent.store.engine import Database, in_parts
from agent.store.waiting import requeue

# (text, answer) to the (id, value as JSON) of every label derived from it
Derived = dict[tuple[TextId, int | None], list[tuple[int, str]]]

RANK = {Source.PERSON: 3, Source.SEED: 2, Source.ORACLE: 1, Source.STUDENT: 0}


class Labels(Database):
    """Queries about labels. A person's label beats a seed's, a seed's an oracle's, an oracle's a student's; of one
    rank the newest counts; one that was withdrawn never counts."""

    def add_labels(self, job: str, labels: Sequence[Label], *, tx: Connection | None = None) -> list[int]:
        """Give labels; returns their ids in order.

        A label that was derived from the same answer before, with the same value, is not given again: its id is
        returned, so that a run that goes on after a crash may derive all anew. One that was withdrawn stays so.
        """
        with self._write(tx, job) as sql:
            before = self._derived(sql, job, [x.answer_id for x in labels if x.answer_id is not None])
            known_ids = [_same(x, before) for x in labels]
            new = [x for x, i in zip(labels, known_ids, strict=True) if i is None]
            made = iter(_insert(sql, job, new))
            point(sql, job, [x.text_id for x in new])
            return [next(made) if i is None else i for i in known_ids]

    def labels(self, job: str, *, source: Source | None = None) -> list[Label]:
        """Every label that was ever given, oldest first, also superseded and withdrawn ones."""
        query = select(t.labels).where(t.labels.c.job == job).order_by(t.labels.c.id)
        if source is not None:
            query = query.where(t.labels.c.source == source.value)
        with self._read(None) as tx:
            return [to_label(row) for row in tx.execute(query)]

    def asked(self, job: str) -> list[tuple[str, str]]:
        """Which oracles gave labels, and the hashes of the prompts that they were asked with, in order."""
        l = t.labels.c  # noqa: E741
        query = select(l.given_by, l.prompt_hash).where(l.job == job, l.source == Source.ORACLE.value).distinct()
        with self._read(None) as tx:
            return sorted((str(by), str(hashed)) for by, hashed in tx.execute(query))

    def label(self, job: str, label_id: int) -> Label | None:
        """One label, whether or not it stands."""
        with self._read(None) as tx:
            row = tx.execute(select(t.labels).where(t.labels.c.job == job, t.labels.c.id == label_id)).one_or_none()
            return None if row is None else to_label(row)

    def labels_with(self, job: str, ids: Iterable[int]) -> dict[int, Label]:
        """Labels by their ids, whether or not they stand."""
        l, found = t.labels.c, dict[int, Label]()  # noqa: E741
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(ids)):
                query = select(t.labels).where(l.job == job, l.id.in_(part))
                found.update((row.id, to_label(row)) for row in tx.execute(query))
        return found

    def label_of(self, job: str, text_id: TextId) -> Label | None:
        """The label that counts for one text."""
        query = (
            select(t.labels)
            .join(t.current_labels, t.current_labels.c.label_id == t.labels.c.id)
            .where(t.current_labels.c.job == job, t.current_labels.c.text_id == text_id)
        )
        with self._read(None) as tx:
            row = tx.execute(query).one_or_none()
            return None if row is None else to_label(row)

    def current(self, job: str) -> dict[TextId, Label]:
        """The label that counts for every text that has one."""
        query = (
            select(t.labels)
            .join(t.current_labels, t.current_labels.c.label_id == t.labels.c.id)
            .where(t.current_labels.c.job == job)
            .order_by(t.labels.c.id)
        )
        with self._read(None) as tx:
            return {label.text_id: label for label in map(to_label, tx.execute(query))}

    def contested(self, job: str) -> list[Label]:
        """The labels that stand of every text that has more than one, oldest first."""
        l = t.labels.c  # noqa: E741
        gone = select(t.withdrawals.c.label_id)
        several = select(l.text_id).where(l.job == job, l.id.not_in(gone)).group_by(l.text_id)
        query = (
            select(t.labels)
            .where(l.job == job, l.id.not_in(gone), l.text_id.in_(several.having(func.count() > 1)))
            .order_by(l.id)
        )
        with self._read(None) as tx:
            return [to_label(row) for row in tx.execute(query)]

    def standing(self, job: str, ids: Iterable[TextId], *, tx: Connection | None = None) -> list[Label]:
        """The labels that stand of these texts, oldest first."""
        l = t.labels.c  # noqa: E741
        gone = select(t.withdrawals.c.label_id)
        found: list[Label] = []
        with self._read(tx) as sql:
            for part in in_parts(dict.fromkeys(ids)):
                query = select(t.labels).where(l.job == job, l.text_id.in_(part), l.id.not_in(gone))
                found += [to_label(row) for row in sql.execute(query)]
        return sorted(found, key=lambda label: label.id or 0)

    def withdraw(self, job: str, label_id: int, reason: str, *, tx: Connection | None = None) -> None:
        """Take a label back. It stays in `labels`; what counted before counts again. Twice is the same as once.

        Raises StoreError where the job has no such label.
        """
        with self._write(tx, job) as sql:
            query = select(t.labels.c.text_id).where(t.labels.c.job == job, t.labels.c.id == label_id)
            text_id = sql.execute(query).scalar_one_or_none()
            if text_id is None:
                raise StoreError(f"store {self.name}: job {job!r} has no label {label_id}")
            gone = select(t.withdrawals.c.label_id).where(t.withdrawals.c.label_id == label_id)
            if sql.execute(gone).one_or_none() is None:
                sql.execute(insert(t.withdrawals).values(label_id=label_id, reason=reason, created_at=now()))
                point(sql, job, [text_id])

    def withdrawn(self, job: str) -> dict[int, str]:
        """Label id to the reason why it was taken back."""
        query = (
            select(t.withdrawals.c.label_id, t.withdrawals.c.reason)
            .join(t.labels, t.labels.c.id == t.withdrawals.c.label_id)
            .where(t.labels.c.job == job)
            .order_by(t.withdrawals.c.label_id)
        )
        with self._read(None) as tx:
            return {row.label_id: row.reason for row in tx.execute(query)}

    def _derived(self, tx: Connection, job: str, answer_ids: Iterable[int]) -> Derived:
        found: Derived = {}
        c = t.labels.c
        for part in in_parts(dict.fromkeys(answer_ids)):
            query = select(c.id, c.text_id, c.answer_id, c.value).where(c.job == job, c.answer_id.in_(part))
            for row in tx.execute(query.order_by(c.id)):
                found.setdefault((row.text_id, row.answer_id), []).append((row.id, pack_json(row.value)))
        return found


def _same(label: Label, derived: Derived) -> int | None:
    same = [i for i, value in derived.get((label.text_id, label.answer_id), []) if value == pack_json(label.value)]
    return same[-1] if same else None


def _insert(tx: Connection, job: str, labels: Sequence[Label]) -> list[int]:
    """Append labels; ids in order. The pointer is not moved."""
    if not labels:
        return []
    made = insert(t.labels).returning(t.labels.c.id, sort_by_parameter_order=True)
    return list(tx.execute(made, [_values(job, label) for label in labels]).scalars())


def _values(job: str, label: Label) -> dict[str, Any]:
    return {
        "job": job,
        "text_id": label.text_id,
        "value": label.value,
        "source": Source(label.source).value,
        "given_by": label.by,
        "probabilities": None if label.probabilities is None else dict(label.probabilities),
        "confidence": known(label.confidence),
        "lost_mass": known(label.lost_mass) or 0.0,
        "prompt_hash": label.prompt_hash,
        "answer_id": label.answer_id,
        "cost": int(label.cost),
        "created_at": label.created_at or now(),
        "signs": None if label.signs is None else dict(label.signs),
    }


def point(tx: Connection, job: str, text_ids: Iterable[TextId]) -> None:
    """Point at the labels that count now, for these texts; a person's takes a text off the queue."""
    l, w, p = t.labels.c, t.withdrawals.c, t.current_labels.c  # noqa: E741
    for part in in_parts(dict.fromkeys(text_ids)):
        standing = (
            select(l.id, l.text_id, l.source)
            .outerjoin(t.withdrawals, w.label_id == l.id)
            .where(l.job == job, l.text_id.in_(part), w.label_id.is_(None))
        )
        rows = sorted(tx.execute(standing), key=lambda r: (RANK[Source(r.source)], r.id))
        best = {row.text_id: row.id for row in rows}  # the last one wins
        tx.execute(delete(t.current_labels).where(p.job == job, p.text_id.in_(part)))
        if best:
            pointers = [{"job": job, "text_id": text_id, "label_id": i} for text_id, i in best.items()]
            tx.execute(insert(t.current_labels), pointers)
        requeue(tx, job, part)


def to_label(values: Sequence[Any]) -> Label:
    """The columns of one row of the labels table, in the table's order, as a record."""
    number, _, text_id, value, source, by, chances, confidence, lost, prompt_hash, answer, cost, at, signs = values
    return Label(
        text_id=text_id,
        value=value,
        source=Source(source),
        by=by,
        probabilities=chances,
        confidence=confidence,
        lost_mass=lost,
        prompt_hash=prompt_hash,
        answer_id=answer,
        cost=cost,
        created_at=at,
        id=number,
        signs=signs,
    )
